/* What is told of functions and nodes, and how often. */
#include "world.h"

#define KEY "default/f"

static struct world worlds, *w = &worlds;

static struct agent *begin(uint64_t memory)
{
    world_init(w, NULL);
    apply_simple(w, KEY, "r1");
    return join(w, 0, memory);
}

START_TEST(a_wake_is_told_at_once_and_a_burst_is_one_note)
{
    struct agent *a = begin(4096 * MI);

    for (int i = 0; i < 9; i++) {
        ticket(w, a, KEY);
        settle(w);
    }
    ck_assert_uint_eq(noted(w, KEY " ScaledUp: from 0 to 1 instances: Waiting"), 1);
    ck_assert_uint_eq(noted(w, "Scaled"), 1); /* the rest at the tick */
    pass(w, S(3));
    ck_assert_uint_eq(noted(w, KEY " ScaledUp: from 1 to 13 instances: Concurrency"), 1);
    pass(w, S(10));
    ck_assert_uint_eq(noted(w, "Scaled"), 2);
    ready_all(w, a);
    for (size_t i = 0; i < 9; i++)
        offer(w, a, nth(a, STATE_READY, i));
    pass(w, S(200));
    stop_drained(w, a);
    pass(w, S(5));
    ck_assert_uint_eq(noted(w, " to 0 instances: Idle"), 1);
    world_done(w);
}
END_TEST

START_TEST(no_room_is_told_once)
{
    struct function *f = make_function(KEY, "r1");
    struct agent *a;

    f->scaling.min = 6;
    world_init(w, NULL);
    apply(w, NULL, f);
    settle(w);
    pass(w, S(5));
    ck_assert_uint_eq(
        noted(w, KEY " !FailedPlacement: 6 instances wait for a node: no node takes new"), 1);
    a = join(w, 0, 512 * MI);
    ready_all(w, a);
    pass(w, S(9));
    ck_assert_uint_eq(noted(w, "FailedPlacement"), 1);
    world_done(w);
}
END_TEST

START_TEST(failures)
{
    struct agent *a = begin(4096 * MI);

    ticket(w, a, KEY);
    settle(w);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "SyntaxError: line 1");
    settle(w);
    ck_assert_uint_eq(noted(w, KEY " !InitFailed: an instance on "), 1);
    ck_assert_uint_eq(noted(w, "SyntaxError: line 1"), 1);
    ck_assert_uint_eq(noted(w, KEY " !BackOff: no other instance is tried for 10 s"), 1);
    world_done(w);
}
END_TEST

START_TEST(nodes_come_and_go)
{
    struct agent *a = begin(4096 * MI);
    char line[128];
    struct actions out = {0};

    snprintf(line, sizeof(line), "%s NodeReady: ", a->name);
    ck_assert_uint_eq(noted(w, line), 1);
    ticket(w, a, KEY);
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    core_node(w->core, w->now, a->name, &(struct node_wanted){true, true}, &out);
    take_actions(w, &out);
    settle(w);
    ck_assert_uint_eq(noted(w, " Cordoned: "), 1);
    ck_assert_uint_eq(noted(w, " Draining: its 2 instances move elsewhere"), 1);
    ck_assert_uint_eq(noted(w, " Drained: "), 0);
    leave(w, a);
    ck_assert_uint_eq(noted(w, " !NodeNotReady: its agent is silent"), 1);
    pass(w, S(11));
    ck_assert_uint_eq(noted(w, " !NodeLost: "), 1);
    ck_assert_uint_eq(noted(w, KEY " !InstanceLost: "), 2);
    ck_assert_uint_eq(noted(w, " Drained: "), 1);
    world_done(w);
}
END_TEST

START_TEST(a_revision_takes_over)
{
    struct agent *a = begin(4096 * MI);
    struct function *two = make_function(KEY, "r2");

    (void)a;
    apply(w, NULL, two);
    settle(w);
    ck_assert_uint_eq(noted(w, KEY " RevisionActive: revision r2 has the traffic that r1 had"), 1);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_note", a_wake_is_told_at_once_and_a_burst_is_one_note, no_room_is_told_once,
          failures, nodes_come_and_go, a_revision_takes_over)
