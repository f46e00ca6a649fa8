/* Nodes that get nothing new, and nodes whose instances move elsewhere. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

static void want(const char *node, bool unschedulable, bool drain)
{
    struct actions out = {0};

    core_node(w->core, w->now, node, &(struct node_wanted){unschedulable, drain}, &out);
    take_actions(w, &out);
    settle(w);
}

static void apply_min(const char *key, uint32_t min)
{
    struct function *f = make_function(key, "r1");

    f->scaling.min = min;
    apply(w, NULL, f);
}

START_TEST(cordoned_gets_nothing_new)
{
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    b = join(w, 1, 1024 * MI);
    want("node-0", true, false);
    ck_assert(a->cordoned);
    apply_min(KEY, 4);
    ck_assert_uint_eq(a->count, 0);
    ck_assert_uint_eq(b->count, 4);
    want("node-1", true, false);
    ready_all(w, b);
    pass(w, S(5));
    ck_assert_uint_eq(count_in(b, STATE_READY), 4); /* what is there stays */
    apply_min("default/other", 1);
    ck_assert_uint_eq(a->count + b->count, 4);
    want("node-0", false, false); /* what found no room goes there at once */
    ck_assert(!a->cordoned);
    ck_assert_uint_eq(a->count, 1);
    world_done(w);
}
END_TEST

START_TEST(drained_after_the_others_are_ready)
{
    struct agent *a, *b;
    struct fake_instance *first;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_min(KEY, 3);
    ready_all(w, a);
    b = join(w, 1, 4096 * MI);
    want("node-0", false, true);
    ck_assert(a->cordoned);
    ck_assert_uint_eq(count_in(b, STATE_PENDING), 3);
    pass(w, S(5));
    ck_assert_uint_eq(count_in(a, STATE_READY), 3); /* nobody leaves before the others serve */
    ck_assert_uint_eq(b->endpoint_count, 3);
    first = nth(b, STATE_PENDING, 0);
    tell(w, b, first, STATE_READY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2); /* one for one */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    ck_assert_uint_eq(b->endpoint_count, 3);
    ready_all(w, b);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 3);
    stop_drained(w, a);
    pass(w, S(5));
    ck_assert_uint_eq(a->count, 0);
    ck_assert_uint_eq(count_in(b, STATE_READY), 3);
    ck_assert_uint_eq(counts(w, KEY).instances, 3);
    world_done(w);
}
END_TEST

/* Those that make way count once: who waits meanwhile is no reason to start more for them again and again. */
START_TEST(requests_that_wait_meanwhile)
{
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 64 * 1024 * MI);
    apply_min(KEY, 3);
    ready_all(w, a);
    b = join(w, 1, 64 * 1024 * MI);
    settle(w);
    for (int i = 0; i < 2; i++)
        ticket(w, a, KEY);
    want("node-0", false, true);
    for (int i = 0; i < 10; i++) {
        ticket(w, a, KEY);
        pass(w, MS(1) / 10);
    }
    ck_assert_uint_eq(counts(w, KEY).requested, 3);
    ck_assert_uint_eq(count_in(b, STATE_PENDING), 3);
    world_done(w);
}
END_TEST

START_TEST(no_room_elsewhere)
{
    struct agent *a, *b;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_min(KEY, 3);
    ready_all(w, a);
    b = join(w, 1, 128 * MI); /* for one */
    want("node-0", true, true);
    ready_all(w, b);
    pass(w, S(30));
    ck_assert_uint_eq(count_in(b, STATE_READY), 1);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2); /* serves on */
    t = ticket(w, b, KEY);
    settle(w);
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert(answer_of(w, t)->granted);
    want("node-0", true, false); /* not any more: they may stay */
    ck_assert(a->cordoned);
    pass(w, S(30));
    ck_assert_uint_eq(count_in(a, STATE_READY), 2);
    ck_assert_uint_eq(counts(w, KEY).instances, 3);
    world_done(w);
}
END_TEST

START_TEST(idle_ones_go_first_and_those_on_their_way_at_once)
{
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_min(KEY, 2);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    b = join(w, 1, 4096 * MI);
    want("node-0", false, true);
    tell(w, b, nth(b, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 0);
    world_done(w);
}
END_TEST

START_TEST(remembered_for_a_node_that_is_away)
{
    struct core_config c = world_config();
    struct agent *a, *b;

    world_init(w, &c);
    want("node-0", true, false);
    a = join(w, 0, 4096 * MI);
    ck_assert(a->cordoned);
    apply_min(KEY, 2);
    ck_assert_uint_eq(a->count, 0);
    leave(w, a);
    pass(w, S(3700)); /* forgotten, but not this */
    b = join(w, 0, 0);
    ck_assert(b->cordoned);
    ck_assert_uint_eq(a->count, 0);
    want("node-0", false, false);
    ck_assert_uint_eq(a->count, 2);
    leave(w, a);
    a->cordoned = true; /* as an agent that missed that */
    join(w, 0, 0);
    ck_assert(!a->cordoned);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_drain", cordoned_gets_nothing_new, drained_after_the_others_are_ready,
          requests_that_wait_meanwhile, no_room_elsewhere,
          idle_ones_go_first_and_those_on_their_way_at_once, remembered_for_a_node_that_is_away)
