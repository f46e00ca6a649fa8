/* The table's columns from what is told, in any order of time. */
#include "simulate/outcome.h"
#include "base/clock.h"
#include "unit.h"

#define S(n) ((uint64_t)((n)*NS_PER_S))

static bool close_to(double v, double to, double by)
{
    return v > to - by && v < to + by;
}

/* The last first: rules tell of an instance when its function is looked at again. */
START_TEST(memory_over_time)
{
    struct outcome o = {0};

    outcome_begin(&o, S(4096));
    outcome_end(&o, 512, S(3000), S(3600), S(1));
    outcome_end(&o, 256, S(10), S(3010.5), S(100));
    outcome_end(&o, 1024, S(5.25), S(5.75), 0); /* within a slice */
    outcome_end(&o, 128, S(7), S(7), 0);
    outcome_close(&o);
    ck_assert(close_to(o.memory_peak, 768, 1));
    ck_assert(close_to(o.instance_s, 600 + 3000.5 + 0.5, 0.001));
    ck_assert(close_to(o.busy_s, 101, 0.001));
    ck_assert(close_to(o.memory_s, 512 * 600 + 256 * 3000.5 + 512, 0.01));
}
END_TEST

START_TEST(a_moment_is_as_much_as_its_share_of_a_slice)
{
    struct outcome o = {0};

    outcome_begin(&o, S(4096));
    outcome_end(&o, 1000, S(5.25), S(5.75), 0);
    outcome_close(&o);
    ck_assert(close_to(o.memory_peak, 500, 1));
}
END_TEST

/* 1000 MiB for ten minutes on nodes of 500 with 80 % in use: three, and ten minutes more. */
START_TEST(nodes_for_the_memory)
{
    struct outcome o = {0};

    outcome_begin(&o, S(4096));
    outcome_end(&o, 1000, S(100), S(700), 0);
    outcome_close(&o);
    outcome_pack(&o, 500);
    ck_assert(close_to(o.node_peak, 3, 0.001));
    ck_assert(close_to(o.node_s, 3 * 1200, 3 * 3));
}
END_TEST

START_TEST(waits)
{
    struct outcome o = {0};

    for (int i = 0; i < 98; i++)
        outcome_began(&o, 0, false);
    outcome_began(&o, S(1), true);
    outcome_began(&o, S(10), true);
    ck_assert_uint_eq(o.cold, 2);
    ck_assert(close_to(outcome_wait(&o, 0.5), 0, 1));
    ck_assert(close_to(outcome_wait(&o, 0.985), NS_PER_S, 0.08 * NS_PER_S));
    ck_assert(close_to(outcome_wait(&o, 1), 10.0 * NS_PER_S, 0.8 * NS_PER_S));
}
END_TEST

UNIT_MAIN("outcome", memory_over_time, a_moment_is_as_much_as_its_share_of_a_slice,
          nodes_for_the_memory, waits)
