/* Scenarios of the decision core: tickets, slots, growing and going back to sleep. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

START_TEST(cold_start)
{
    struct agent *a;
    struct fake_instance *i;
    uint64_t t, slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    ck_assert_uint_eq(a->welcomes, 1);
    ck_assert(a->routes_full);
    apply_simple(w, KEY, "r1");
    ck_assert_str_eq(a->routed[0][0], KEY);
    ck_assert_uint_eq(a->count, 0);
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_TRUE); /* Ready at zero */
    ck_assert_int_eq(w->status.conditions[1].status, CONDITION_FALSE);

    t = ticket(w, a, KEY);
    turn(w); /* no time has gone by: no tick */
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    ck_assert_uint_eq(a->wanted, 1);
    ck_assert_ptr_null(answer_of(w, t));
    i = nth(a, STATE_PENDING, 0);
    ck_assert_str_eq(i->revision, "r1");
    tell(w, a, i, STATE_FETCHING);
    tell(w, a, i, STATE_CREATING);
    tell(w, a, i, STATE_INITIALIZING);
    tell(w, a, i, STATE_READY);
    slot = offer(w, a, i);
    settle(w);
    ck_assert_ptr_nonnull(answer_of(w, t));
    ck_assert(answer_of(w, t)->granted);
    ck_assert_uint_eq(answer_of(w, t)->slot, slot);
    ck_assert_str_eq(answer_of(w, t)->instance, i->id);
    ck_assert_uint_eq(a->wanted, 0);
    ck_assert_uint_eq(a->endpoint_count, 1);
    ck_assert_uint_eq(w->status.ready_instances, 1);

    /* Idle: it stays for idleTimeout, then it is unrouted, removed, stopped. */
    pass(w, S(55));
    ck_assert_uint_eq(a->endpoint_count, 1);
    pass(w, S(8));
    ck_assert_uint_eq(a->endpoint_count, 0);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    stop_drained(w, a);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).instances + counts(w, KEY).leaving, 0);
    pass(w, S(3));
    ck_assert_uint_eq(core_due(w->core), UINT64_MAX); /* nothing is ever due at zero */
    world_done(w);
}
END_TEST

START_TEST(busy_does_not_go_to_sleep)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    for (int s = 0; s < 200; s++) {
        load_reports(w, 1, KEY);
        pass(w, S(1));
        ck_assert_uint_ge(count_in(a, STATE_READY), 1);
    }
    world_done(w);
}
END_TEST

START_TEST(crowd_from_zero)
{
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 20; i++)
        ticket(w, a, KEY);
    turn(w);
    ck_assert_uint_eq(a->count + b->count, 20);
    ck_assert_uint_ge(a->count, 5);
    ck_assert_uint_ge(b->count, 5);
    ck_assert_uint_eq(a->wanted, 20);
    ck_assert_uint_eq(b->wanted, 20);
    ck_assert_uint_le(a->desired_messages, 2); /* one decision for the crowd */
    ready_all(w, a);
    for (size_t i = 0; i < a->count; i++)
        offer(w, a, &a->instances[i]);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).waiting, 20 - a->count);
    for (size_t i = 0; i < a->count; i++) /* in order */
        ck_assert_uint_eq(w->answers[i].ticket, i + 1);
    world_done(w);
}
END_TEST

START_TEST(grows_on_the_panic_window)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    for (int i = 0; i < 9; i++)
        ticket(w, a, KEY); /* one runs, nine wait */
    settle(w);
    ck_assert_uint_eq(a->count, 1); /* something serves: the windows decide */
    for (int s = 0; s < 3; s++) {
        load_reports(w, 1, KEY);
        pass(w, S(1));
    }
    ck_assert_uint_ge(counts(w, KEY).instances, 10);
    ck_assert_uint_le(counts(w, KEY).instances, 15);
    world_done(w);
}
END_TEST

START_TEST(min_is_there_at_once_and_max_is_kept)
{
    struct agent *a;
    struct function *f = make_function(KEY, "r1");

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    f->scaling.min = 2;
    f->scaling.max = 3;
    apply(w, NULL, f);
    ck_assert_uint_eq(a->count, 2);
    ready_all(w, a);
    for (int i = 0; i < 50; i++)
        ticket(w, a, KEY);
    for (int s = 0; s < 10; s++) {
        load_reports(w, 2, KEY);
        pass(w, S(1));
        ready_all(w, a);
    }
    ck_assert_uint_eq(counts(w, KEY).instances, 3);
    pass(w, S(200));
    ck_assert_uint_eq(counts(w, KEY).instances, 2);
    world_done(w);
}
END_TEST

START_TEST(queue_full)
{
    struct core_config c = world_config();
    struct agent *a;
    struct function *f = make_function(KEY, "r1");
    uint64_t t;

    c.queue_per_function = 3;
    world_init(w, &c);
    a = join(w, 0, 4096 * MI);
    f->scaling.max = 1;
    apply(w, NULL, f);
    for (int i = 0; i < 3; i++)
        ticket(w, a, KEY);
    t = ticket(w, a, KEY); /* before there is an instance */
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    t = ticket(w, a, KEY); /* scaling.max is reached */
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 429);
    ck_assert_str_eq(answer_of(w, t)->reason, "QueueFull");
    ck_assert_uint_gt(answer_of(w, t)->retry_after, 0);
    world_done(w);
}
END_TEST

START_TEST(deadline)
{
    struct agent *a;
    uint64_t late, young, back;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    late = ticket(w, a, KEY);
    pass(w, S(10));
    young = ticket(w, a, KEY);
    back = ticket_on(w, a, KEY, NULL, NULL, 25000, 1); /* 5 s are left of its 30 */
    pass(w, S(6));
    ck_assert_str_eq(answer_of(w, back)->reason, "DeadlineExceeded");
    ck_assert_ptr_null(answer_of(w, late));
    pass(w, S(15));
    ck_assert_uint_eq(answer_of(w, late)->status, 503);
    ck_assert_str_eq(answer_of(w, late)->reason, "DeadlineExceeded");
    ck_assert_ptr_null(answer_of(w, young));
    pass(w, S(10));
    ck_assert_uint_eq(answer_of(w, young)->status, 503);
    ck_assert_uint_eq(w->answer_count, 3);
    world_done(w);
}
END_TEST

START_TEST(nowhere_to_go)
{
    struct agent *a;
    struct function *f = make_function(KEY, "r1"), *g = make_function("default/huge", "r1");
    uint64_t t;

    world_init(w, NULL);
    apply(w, NULL, f);
    a = join(w, 0, 200 * MI); /* room for one */
    ticket(w, a, KEY);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(a->count, 1);
    pass(w, S(31));
    ck_assert_str_eq(w->answers[0].reason, "NoCapacity");
    g->memory = 300 * MI; /* fits on no node, ever */
    apply(w, NULL, g);
    t = ticket(w, a, "default/huge");
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_str_eq(answer_of(w, t)->reason, "NoCapacity");
    for (int i = 0; i < 100 && (strcmp(w->status_key, "default/huge") != 0 ||
                                w->status.conditions[2].status != CONDITION_TRUE);
         i++)
        pass(w, MS(10));
    ck_assert_str_eq(w->status_key, "default/huge");
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    ck_assert_str_eq(w->status.conditions[2].reason, "NoCapacity");
    world_done(w);
}
END_TEST

/* A node that is full of one and two, of which two has been idle longest. */
static struct agent *two_idle(void)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 300 * MI); /* room for two */
    apply_simple(w, "default/one", "r1");
    apply_simple(w, "default/two", "r1");
    for (int i = 0; i < 2; i++) {
        struct fake_instance *in;

        ticket(w, a, i ? "default/two" : "default/one");
        settle(w);
        in = nth(a, STATE_PENDING, 0);
        tell(w, a, in, STATE_READY);
        offer(w, a, in);
        report_instance(w, a, in, 0, i ? 2000 : 3000);
        settle(w);
    }
    return a;
}

START_TEST(idle_ones_make_way)
{
    struct agent *a = two_idle();
    uint64_t t;

    apply_simple(w, "default/three", "r1");
    t = ticket(w, a, "default/three");
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    ck_assert_str_eq(nth(a, STATE_DRAINING, 0)->key, "default/two");
    stop_drained(w, a);
    settle(w);
    ck_assert_str_eq(nth(a, STATE_PENDING, 0)->key, "default/three");
    ready_all(w, a);
    offer(w, a, &a->instances[a->count - 1]);
    ck_assert(answer_of(w, t)->granted);
    world_done(w);
}
END_TEST

START_TEST(a_large_one_needs_the_room_of_two)
{
    struct function *f = make_function("default/three", "r1");
    struct agent *a = two_idle();

    f->memory = 256 * MI;
    apply(w, NULL, f);
    ticket(w, a, "default/three");
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 2);
    world_done(w);
}
END_TEST

START_TEST(client_gone)
{
    struct agent *a;
    uint64_t ids[2], second;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ids[0] = ticket(w, a, KEY);
    ids[1] = 999;
    second = ticket(w, a, KEY);
    settle(w);
    tickets_gone(w, a->peer, ids, 2);
    settle(w);
    ck_assert_uint_eq(a->wanted, 1);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, second)->granted);
    ck_assert_ptr_null(answer_of(w, ids[0]));
    world_done(w);
}
END_TEST

START_TEST(refused_by_the_owner_and_back)
{
    struct agent *a;
    uint64_t first, second, again;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    first = ticket(w, a, KEY);
    settle(w);
    w->now += MS(10);
    second = ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, first)->granted);
    w->now += MS(10);
    again = ticket_on(w, a, KEY, NULL, NULL, 20, 1); /* older than `second` */
    settle(w);
    offer(w, a, &a->instances[0]);
    ck_assert_ptr_null(answer_of(w, second));
    ck_assert(answer_of(w, again)->granted);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, second)->granted);
    world_done(w);
}
END_TEST

START_TEST(slot_in_hand)
{
    struct agent *a;
    uint64_t t, slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    slot = offer(w, a, &a->instances[0]); /* nobody waits: kept */
    settle(w);
    t = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, t)->slot, slot);
    ck_assert_uint_eq(a->slots_back, 0);
    world_done(w);
}
END_TEST

/* Its node's own requests would have to ask for it here: it is not kept until its lease is over. */
START_TEST(a_slot_that_nobody_wants_goes_back)
{
    struct agent *a;
    uint64_t t, slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    slot = offer(w, a, &a->instances[0]);
    settle(w);
    ck_assert_uint_eq(core_due(w->core), w->now + MS(5));
    w->now += MS(5);
    settle(w);
    ck_assert_uint_eq(a->slots_back, 1);
    ck_assert_uint_eq(a->slot_back, slot);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->wanted, 1);
    /* The thread stood still: what is too old to be granted goes back, too. */
    offer(w, a, &a->instances[0]);
    slot = offer(w, a, &a->instances[0]);
    w->now += MS(60);
    t = ticket(w, a, KEY);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->slots_back, 2);
    ck_assert_uint_eq(a->slot_back, slot);
    world_done(w);
}
END_TEST

START_TEST(figures)
{
    struct agent *a;
    struct buffer b = {0};
    char *text;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    apply_simple(w, "default/asleep", "r2");
    ticket(w, a, KEY);
    ticket(w, a, "default/none");
    settle(w);
    core_metrics(w->core, w->now, &b);
    text = buffer_take_string(&b);
    ck_assert_ptr_nonnull(strstr(text, "rouse_autoscaler_requested_instances{namespace=\"default\","
                                       "function=\"hello\",revision=\"r1\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nrouse_activator_tickets 1\n"));
    ck_assert_ptr_null(strstr(text, "\"asleep\"")); /* ten thousand cost nothing */
    ck_assert_ptr_nonnull(strstr(text, "rouse_activator_refused_total{reason=\"NotFound\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "rouse_nodes{state=\"Ready\"} 1\n"));
    free(text);
    world_done(w);
}
END_TEST

UNIT_MAIN("core", cold_start, busy_does_not_go_to_sleep, crowd_from_zero, grows_on_the_panic_window,
          min_is_there_at_once_and_max_is_kept, queue_full, deadline, nowhere_to_go,
          idle_ones_make_way, a_large_one_needs_the_room_of_two, client_gone,
          refused_by_the_owner_and_back, slot_in_hand, a_slot_that_nobody_wants_goes_back, figures)
