#include "autoscaler/histogram.h"
#include "base/clock.h"
#include "unit.h"

#define MIN(m) ((uint64_t)(m)*60 * NS_PER_S)

static struct idle_plan plan_of(uint64_t every_ns, int times)
{
    struct idle_histogram h = {0};

    for (int i = 0; i < times; i++)
        idle_histogram_add(&h, every_ns);
    return idle_histogram_plan(&h);
}

START_TEST(a_regular_caller)
{
    struct idle_plan p = plan_of(MIN(30) + 1, 20);

    ck_assert(p.known);
    ck_assert_uint_eq(p.wake_ns, MIN(27)); /* 30 less 10 % */
    ck_assert_uint_eq(p.keep_ns, MIN(31) / 10 * 11);
    ck_assert(idle_plan_awake(&p, MIN(0), MIN(1)));
    ck_assert(!idle_plan_awake(&p, MIN(1), MIN(1)));
    ck_assert(!idle_plan_awake(&p, MIN(27) - 1, MIN(1)));
    ck_assert(idle_plan_awake(&p, MIN(27), MIN(1)));
    ck_assert(idle_plan_awake(&p, MIN(34), MIN(1)));
    ck_assert(!idle_plan_awake(&p, MIN(35), MIN(1)));
}
END_TEST

START_TEST(a_busy_one_does_not_sleep_in_between)
{
    struct idle_plan p = plan_of(MIN(1) / 2, 20);

    ck_assert(p.known);
    ck_assert_uint_eq(p.wake_ns, 0);
    ck_assert_uint_eq(p.keep_ns, MIN(1) / 10 * 11);
}
END_TEST

START_TEST(what_says_nothing)
{
    struct idle_histogram h = {0};

    ck_assert(!plan_of(MIN(30), IDLE_TIMES_MIN - 1).known);
    ck_assert(plan_of(MIN(30), IDLE_TIMES_MIN).known);
    ck_assert(!plan_of(MIN(IDLE_MINUTES), 100).known); /* beyond the range */
    for (int i = 0; i < IDLE_MINUTES; i++)             /* all alike: a variation of 0 */
        idle_histogram_add(&h, MIN(i));
    ck_assert(!idle_histogram_plan(&h).known);
    h = (struct idle_histogram){0};
    for (int i = 0; i < 48; i++) /* n / bins - 1 = 4: a coefficient of 2, just enough */
        idle_histogram_add(&h, MIN(i));
    ck_assert(idle_histogram_plan(&h).known);
    idle_histogram_add(&h, MIN(100));
    ck_assert(!idle_histogram_plan(&h).known);
    h = (struct idle_histogram){0};
    for (int i = 0; i < 20; i++)
        idle_histogram_add(&h, i < 9 ? MIN(5) : MIN(500));
    ck_assert(!idle_histogram_plan(&h).known); /* most are beyond it */
}
END_TEST

START_TEST(percentiles)
{
    struct idle_histogram h = {0};
    struct idle_plan p;

    for (int i = 0; i < 100; i++)
        idle_histogram_add(&h, MIN(i < 4 ? 1 : i < 99 ? 20 : 200));
    p = idle_histogram_plan(&h);
    ck_assert_uint_eq(p.wake_ns, MIN(18)); /* 4 % are left out below, 1 % above */
    ck_assert_uint_eq(p.keep_ns, MIN(21) / 10 * 11);
    idle_histogram_add(&h, MIN(1));
    p = idle_histogram_plan(&h);
    ck_assert_uint_eq(p.wake_ns, MIN(18));
    for (int i = 0; i < 5; i++)
        idle_histogram_add(&h, MIN(1));
    p = idle_histogram_plan(&h);
    ck_assert_uint_eq(p.wake_ns, MIN(1) / 10 * 9);
}
END_TEST

START_TEST(habits_change)
{
    struct idle_histogram h = {0};

    for (int i = 0; i < 1000; i++)
        idle_histogram_add(&h, MIN(30));
    for (int i = 0; i < 6000; i++)
        idle_histogram_add(&h, MIN(60));
    ck_assert_uint_eq(idle_histogram_plan(&h).wake_ns, MIN(54));
    ck_assert_uint_le(h.within + h.beyond, IDLE_TIMES_MAX);
}
END_TEST

UNIT_MAIN("histogram", a_regular_caller, a_busy_one_does_not_sleep_in_between, what_says_nothing,
          percentiles, habits_change)
