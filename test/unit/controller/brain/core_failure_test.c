/* Instances that fail: who is told, who waits, when it is tried again. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

START_TEST(init_fails)
{
    struct agent *a;
    uint64_t t, after;
    struct function *fixed;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    t = ticket(w, a, KEY);
    settle(w);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed",
             "SyntaxError: invalid \xff syntax \xc3\xa9");
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 502); /* at once */
    ck_assert_str_eq(answer_of(w, t)->reason, "InitFailed");
    after = ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(answer_of(w, after)->status, 503);
    ck_assert_str_eq(answer_of(w, after)->reason, "CrashLoop");
    ck_assert_uint_eq(answer_of(w, after)->retry_after, 10);
    ck_assert_ptr_nonnull(strstr(answer_of(w, after)->message, "InitFailed"));
    ck_assert_ptr_null(strstr(answer_of(w, after)->message, "SyntaxError")); /* not for the public */
    ck_assert_ptr_null(strstr(answer_of(w, t)->message, "SyntaxError"));
    ck_assert_str_eq(w->status.conditions[2].message, "SyntaxError: invalid ? syntax \xc3\xa9");
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    ck_assert(in_metrics(w, "rouse_function_crash_loop{namespace=\"default\",function=\"hello\","
                            "reason=\"InitFailed\"} 1\n"));
    pass(w, S(11));
    ck_assert(!in_metrics(w, "rouse_function_crash_loop{"));
    ck_assert_uint_eq(a->count, 0); /* nobody asks: no try */
    for (int i = 0; i < 5; i++)
        ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(a->count, 1); /* one try for all of them */
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "again");
    settle(w);
    after = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, after)->retry_after, 20); /* doubled */
    fixed = make_function(KEY, "r2");
    apply(w, NULL, fixed); /* a new revision starts afresh */
    after = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, after));
    ck_assert_uint_eq(a->count, 1);
    ready_all(w, a);
    settle(w);
    pass(w, S(1));
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_FALSE);
    world_done(w);
}
END_TEST

START_TEST(sandbox_fails_three_times)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    t = ticket(w, a, KEY);
    settle(w);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(answer_of(w, t));
        ck_assert_uint_eq(a->count, 1);
        tell(w, a, nth(a, STATE_PENDING, 0), STATE_CREATING);
        tell_why(w, a, nth(a, STATE_CREATING, 0), STATE_FAILED, "SandboxFailed", "mount: no");
        settle(w);
    }
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_str_eq(answer_of(w, t)->reason, "CrashLoop");
    ck_assert_uint_eq(a->count, 0);
    world_done(w);
}
END_TEST

START_TEST(dies_while_it_serves)
{
    struct agent *a;
    uint64_t t = 0;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 5; i++) {
        t = ticket(w, a, KEY);
        settle(w);
        ck_assert_msg(a->count == 1, "%d", i);
        ready_all(w, a);
        offer(w, a, &a->instances[0]);
        ck_assert(answer_of(w, t)->granted);
        tell_why(w, a, &a->instances[0], STATE_FAILED, "OOMKilled", "");
        settle(w);
    }
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(answer_of(w, t)->reason, "CrashLoop");
    /* It gets up again and stays: forgiven, so the next crash is the first. */
    pass(w, S(11));
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    pass(w, S(13));
    tell_why(w, a, &a->instances[0], STATE_FAILED, "OOMKilled", "");
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    for (int i = 0; i < 5; i++)
        ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_ge(count_in(a, STATE_PENDING), 6); /* a crowd is a crowd again */
    world_done(w);
}
END_TEST

static void apply_min(uint32_t min)
{
    struct function *f = make_function(KEY, "r1");

    f->scaling.min = min;
    apply(w, NULL, f);
    settle(w);
}

/* Nobody waits here: they are wanted for scaling.min. */
START_TEST(one_try_at_a_time_whoever_asks)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_min(4);
    ck_assert_uint_eq(a->count, 4); /* nothing has failed yet */
    while (a->count) {
        tell(w, a, &a->instances[0], STATE_INITIALIZING);
        tell_why(w, a, &a->instances[0], STATE_FAILED, "InitFailed", "no");
        settle(w);
    }
    pass(w, S(11));
    ck_assert_uint_eq(a->count, 1);
    pass(w, S(4)); /* nor does a tick add to it */
    ck_assert_uint_eq(a->count, 1);
    ready_all(w, a);
    settle(w);
    ck_assert_uint_eq(a->count, 4); /* it works */
    world_done(w);
}
END_TEST

/* Who crashes soon after it was ready is replaced one by one, and all at once when one has stayed. */
START_TEST(one_by_one_until_one_stays)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_min(4);
    ready_all(w, a);
    for (int i = 0; i < 3; i++)
        tell_why(w, a, &a->instances[0], STATE_FAILED, "OOMKilled", "");
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);
    ck_assert_uint_eq(a->count, 2);
    pass(w, S(13));
    ck_assert_uint_eq(a->count, 4);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_failure", init_fails, sandbox_fails_three_times, dies_while_it_serves,
          one_try_at_a_time_whoever_asks, one_by_one_until_one_stays)
