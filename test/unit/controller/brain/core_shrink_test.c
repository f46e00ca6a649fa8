/* Who leaves when there are too many, and when nobody does. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

static struct function *with_min(uint32_t min, uint32_t concurrency)
{
    struct function *f = make_function(KEY, "r1");

    f->concurrency = concurrency;
    f->scaling.min = min;
    f->scaling.max = min ? min : 100;
    return f;
}

/* The same revision with other bounds: max is what makes it shrink at once. */
static struct function *resized(struct function *old, uint32_t max, uint32_t concurrency)
{
    struct function *now = with_min(max, concurrency);

    apply(w, old, now);
    return now;
}

START_TEST(idle_ones_alone)
{
    struct agent *a;
    struct function *f = function_ref(with_min(4, 1));

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply(w, NULL, f);
    ready_all(w, a);
    for (size_t k = 0; k < 4; k++)
        report_instance(w, a, nth(a, STATE_READY, k), k < 3, k < 3 ? 0 : 1);
    resized(f, 1, 1);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    ck_assert_uint_eq(count_in(a, STATE_READY), 3);
    pass(w, S(300)); /* however long they work */
    ck_assert_uint_eq(count_in(a, STATE_READY), 3);
    report_instance(w, a, nth(a, STATE_READY, 1), 0, 7);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2); /* at once when it is idle */
    report_instance(w, a, nth(a, STATE_READY, 0), 0, 9);
    report_instance(w, a, nth(a, STATE_READY, 1), 0, 8);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);
    function_unref(f);
    world_done(w);
}
END_TEST

START_TEST(many_at_once_are_never_idle)
{
    struct agent *a;
    struct function *f = function_ref(with_min(3, 10));

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply(w, NULL, f);
    ready_all(w, a);
    for (size_t k = 0; k < 3; k++)
        report_instance(w, a, nth(a, STATE_READY, k), 3 - (uint32_t)k, 0);
    resized(f, 2, 10);
    pass(w, S(29));
    ck_assert_uint_eq(count_in(a, STATE_READY), 3);
    for (int s = 0; s < 4; s++) {
        for (size_t k = 0; k < 3; k++)
            if (nth(a, STATE_READY, k))
                report_instance(w, a, nth(a, STATE_READY, k), 3 - (uint32_t)k, 0);
        pass(w, S(1));
    }
    ck_assert_uint_eq(count_in(a, STATE_READY), 2);
    ck_assert_uint_eq(a->instances[2].state, STATE_DRAINING); /* the one with the least */
    function_unref(f);
    world_done(w);
}
END_TEST

START_TEST(spread_over_nodes)
{
    struct agent *a, *b, *c;
    struct function *f = function_ref(with_min(8, 1));

    world_init(w, NULL);
    a = join(w, 0, 6 * 128 * MI);
    apply(w, NULL, f);
    b = join(w, 1, 128 * MI);
    c = join(w, 2, 128 * MI);
    pass(w, S(3));
    ready_all(w, a);
    ready_all(w, b);
    ready_all(w, c);
    for (size_t k = 0; k < 6; k++)
        report_instance(w, a, nth(a, STATE_READY, k), 0, 100);
    report_instance(w, b, nth(b, STATE_READY, 0), 0, 1); /* idle for the longest time */
    report_instance(w, c, nth(c, STATE_READY, 0), 0, 1);
    resized(f, 3, 1);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);
    ck_assert_uint_eq(count_in(b, STATE_READY), 1);
    ck_assert_uint_eq(count_in(c, STATE_READY), 1);
    function_unref(f);
    world_done(w);
}
END_TEST

START_TEST(halted_while_many_are_silent)
{
    struct agent *all[6];
    struct function *f = function_ref(with_min(12, 1));
    uint64_t t;

    world_init(w, NULL);
    for (int k = 0; k < 6; k++)
        all[k] = join(w, k, 4096 * MI);
    apply(w, NULL, f);
    for (int k = 0; k < 6; k++)
        ready_all(w, all[k]);
    settle(w);
    for (int k = 0; k < 4; k++)
        leave(w, all[k]);
    pass(w, S(60));
    ck_assert_uint_eq(counts(w, KEY).instances, 12); /* none is given up, so none is replaced */
    ck_assert_uint_eq(all[4]->count + all[5]->count, 4);
    resized(f, 2, 1);
    function_unref(f);
    pass(w, S(10));
    ck_assert_uint_eq(count_in(all[4], STATE_READY) + count_in(all[5], STATE_READY), 4);
    for (int k = 0; k < 4; k++)
        join(w, k, 0);
    pass(w, S(5));
    ck_assert_uint_eq(counts(w, KEY).instances, 2);
    /* But requests that wait do not wait for them. */
    apply_simple(w, "default/other", "r1");
    t = ticket(w, all[0], "default/other");
    settle(w);
    for (int k = 0; k < 6; k++)
        ready_all(w, all[k]);
    settle(w);
    for (int k = 0; k < 6; k++)
        if (all[k]->count && !strcmp(all[k]->instances[all[k]->count - 1].key, "default/other"))
            offer(w, all[k], &all[k]->instances[all[k]->count - 1]);
    ck_assert(answer_of(w, t)->granted);
    world_done(w);
}
END_TEST

START_TEST(a_few_silent_ones_halt_nothing)
{
    struct agent *all[6];

    world_init(w, NULL);
    for (int k = 0; k < 6; k++)
        all[k] = join(w, k, 4096 * MI);
    apply(w, NULL, with_min(12, 1));
    for (int k = 0; k < 6; k++)
        ready_all(w, all[k]);
    settle(w);
    for (int k = 0; k < 3; k++)
        leave(w, all[k]);
    pass(w, S(12));
    ck_assert_uint_eq(counts(w, KEY).instances, 12);
    ck_assert_uint_eq(all[3]->count + all[4]->count + all[5]->count, 12);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_shrink", idle_ones_alone, many_at_once_are_never_idle, spread_over_nodes,
          halted_while_many_are_silent, a_few_silent_ones_halt_nothing)
