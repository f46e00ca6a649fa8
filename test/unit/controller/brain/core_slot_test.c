/* Slots that agents offer and the levels that make them: told again when they have to be, never for nothing. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

/* Of the controller's own front: it outlives every agent. */
static uint64_t front_ticket(const char *key, uint32_t held)
{
    const struct core_ticket t = {.id = ++w->next_ticket, .function_key = key, .held = held};
    struct actions out = {0};

    core_ticket(w->core, w->now, &t, &out);
    take_actions(w, &out);
    return t.id;
}

static void apply_scaled(uint32_t min, uint32_t max)
{
    struct function *f = make_function(KEY, "r1");

    f->scaling.min = min;
    f->scaling.max = max;
    apply(w, NULL, f);
}

/* As many wait as did when the connection broke: the agent that is back has not heard of them. */
START_TEST(a_level_ends_with_its_connection)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    front_ticket(KEY, 1);
    settle(w);
    ck_assert_uint_eq(a->wanted, 1);
    leave(w, a);
    pass(w, S(11)); /* its lease is over, and what it had is lost */
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    ck_assert_uint_eq(counts(w, KEY).waiting, 1);
    a->count = 0;
    a->incarnation++;
    a->desired = a->routes = 0;
    join(w, 0, 4096 * MI);
    ck_assert_uint_ge(a->count, 1);
    ck_assert_uint_eq(a->wanted, 1);
    world_done(w);
}
END_TEST

/* Given back it would be offered again at once, and again, as long as somebody waits. */
START_TEST(a_slot_that_leaves_is_not_asked_for_again_and_again)
{
    struct agent *a, *b;
    struct fake_instance *leaves;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_scaled(2, 2);
    ready_all(w, a);
    settle(w);
    b = join(w, 1, 4096 * MI);
    b->silent = true;
    apply_scaled(1, 1); /* one is unrouted, but not acknowledged */
    ck_assert_uint_eq(a->endpoint_count, 1);
    leaves = &a->instances[!strcmp(a->instances[0].id, a->endpoints[0])];
    t = ticket(w, a, KEY);
    settle(w);
    a->wanted = 0;
    offer(w, a, leaves);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->slots_back, 0);
    ck_assert_uint_eq(a->wanted, 1); /* of another one */
    world_done(w);
}
END_TEST

/* What is offered and cannot be used says nothing of how long calls take. */
START_TEST(a_slot_that_leaves_serves_nobody)
{
    struct agent *a, *b;
    struct fake_instance *leaves;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_scaled(2, 2);
    ready_all(w, a);
    settle(w);
    b = join(w, 1, 4096 * MI);
    b->silent = true;
    apply_scaled(1, 1);
    leaves = &a->instances[!strcmp(a->instances[0].id, a->endpoints[0])];
    apply_scaled(1, 5);
    ticket(w, a, KEY);
    for (int k = 0; k < 60 && counts(w, KEY).requested == 1; k++) {
        offer(w, a, leaves);
        pass(w, MS(10));
    }
    ck_assert_uint_gt(counts(w, KEY).requested, 1);
    world_done(w);
}
END_TEST

START_TEST(who_is_pushed_out_wants_no_slot)
{
    struct core_config c = world_config();
    struct agent *a;
    uint64_t t;

    c.held_total = 1000;
    world_init(w, &c);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    apply_simple(w, "default/other", "r1");
    t = front_ticket(KEY, 900);
    settle(w);
    ck_assert_uint_eq(level_of(a, KEY, "r1")->wanted, 1);
    front_ticket("default/other", 200);
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_uint_eq(level_of(a, KEY, "r1")->wanted, 0);
    world_done(w);
}
END_TEST

/* What it was leased while it was on its way out is of use again: told at once, by a grant or by giving it back. */
START_TEST(a_slot_of_who_comes_back)
{
    struct agent *a, *b;
    struct fake_instance *leaves;
    uint64_t t[2], slot;

    for (int late = 0; late < 2; late++) {
        world_init(w, NULL);
        a = join(w, 0, 4096 * MI);
        apply_scaled(2, 2);
        ready_all(w, a);
        settle(w);
        b = join(w, 1, 4096 * MI);
        b->silent = true;
        apply_scaled(1, 1);
        leaves = &a->instances[!strcmp(a->instances[0].id, a->endpoints[0])];
        for (int k = 0; k < 2; k++)
            t[k] = ticket(w, a, KEY);
        settle(w);
        slot = offer(w, a, leaves);
        if (late)
            w->now += MS(60); /* too late for the way of a grant */
        settle(w);
        ck_assert_ptr_null(answer_of(w, t[0]));
        ck_assert_uint_eq(a->slots_back, 0);
        a->wanted = 0;
        apply_scaled(2, 2);
        settle(w);
        ck_assert_uint_eq(a->endpoint_count, 2);
        if (late) {
            ck_assert_ptr_null(answer_of(w, t[0]));
            ck_assert_uint_eq(a->slots_back, 1);
            ck_assert_uint_eq(a->slot_back, slot);
            ck_assert_uint_eq(a->wanted, 2); /* it has forgotten what is wanted */
        } else {
            ck_assert_ptr_nonnull(answer_of(w, t[0]));
            ck_assert_uint_eq(answer_of(w, t[0])->slot, slot);
            ck_assert_uint_eq(a->slots_back, 0);
        }
        ck_assert_ptr_null(answer_of(w, t[1]));
        world_done(w);
    }
}
END_TEST

/* Its node may use it until it is told to end that instance, and after it came back. */
START_TEST(who_leaves_gets_its_kept_slots_back)
{
    struct agent *a, *b;
    uint64_t slots[2];

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_scaled(2, 2);
    ready_all(w, a);
    settle(w);
    b = join(w, 1, 4096 * MI);
    b->silent = true;
    for (int k = 0; k < 2; k++)
        slots[k] = offer(w, a, &a->instances[k]);
    apply_scaled(1, 1);
    ck_assert_uint_eq(a->endpoint_count, 1);
    ck_assert_uint_eq(a->slots_back, 1);
    ck_assert_uint_eq(a->slot_back, slots[strcmp(a->instances[1].id, a->endpoints[0]) != 0]);
    world_done(w);
}
END_TEST

/* Nobody is there any more where it was granted to: who waits elsewhere gets it from its node. */
START_TEST(an_unused_slot_goes_back)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    SlotUnused u = ROUSE__CONTROL__V1__SLOT_UNUSED__INIT;
    struct agent *a, *b;
    struct actions out = {0};
    uint64_t slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_scaled(1, 1);
    ready_all(w, a);
    settle(w);
    b = join(w, 1, 4096 * MI);
    ticket(w, b, KEY);
    ticket(w, b, KEY);
    settle(w);
    slot = offer(w, a, &a->instances[0]);
    settle(w);
    a->wanted = 0;
    u.slot = slot;
    u.instance = a->instances[0].id;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_UNUSED;
    m.slot_unused = &u;
    send_message(w, b->peer, &m);
    settle(w);
    ck_assert_uint_eq(a->slots_back, 1);
    ck_assert_uint_eq(a->slot_back, slot);
    ck_assert_uint_eq(a->wanted, 1);
    u.instance = (char *)"nobody";
    send_message(w, b->peer, &m);
    ck_assert_uint_eq(a->slots_back, 1);
    /* Of the front's. */
    core_slot_unused(w->core, w->now, a->instances[0].id, 99, &out);
    take_actions(w, &out);
    ck_assert_uint_eq(a->slots_back, 2);
    ck_assert_uint_eq(a->slot_back, 99);
    /* What is kept here was not granted, whoever says so. */
    offer(w, a, &a->instances[0]); /* to the other one */
    u.instance = a->instances[0].id;
    u.slot = offer(w, a, &a->instances[0]);
    send_message(w, b->peer, &m);
    ck_assert_uint_eq(a->slots_back, 2);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_slot", a_level_ends_with_its_connection,
          a_slot_that_leaves_is_not_asked_for_again_and_again, a_slot_that_leaves_serves_nobody,
          who_is_pushed_out_wants_no_slot, a_slot_of_who_comes_back,
          who_leaves_gets_its_kept_slots_back, an_unused_slot_goes_back)
