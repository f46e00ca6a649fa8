/* Tables from the documented algorithm of autoscaling/v2. */
#include "autoscaler/hpa.h"
#include "unit.h"

#include <errno.h>

static const struct hpa_tolerance tenth = {0.1, 0.1};

START_TEST(of_instances)
{
    static const struct {
        const char *what;
        enum hpa_target target;
        double value, request, usage;
        uint32_t ready, missing, unready, current, wanted;
    } rows[] = {
        {"twice the use", HPA_UTILIZATION, 50, 1000, 3000, 3, 0, 0, 3, 6},
        {"half the use", HPA_UTILIZATION, 50, 1000, 1000, 4, 0, 0, 4, 2},
        {"rounded up", HPA_UTILIZATION, 50, 1000, 1700, 3, 0, 0, 3, 4},
        {"on target", HPA_UTILIZATION, 50, 1000, 1500, 3, 0, 0, 3, 3},
        {"within the tolerance above", HPA_UTILIZATION, 50, 1000, 1640, 3, 0, 0, 3, 3},
        {"beyond it above", HPA_UTILIZATION, 50, 1000, 1660, 3, 0, 0, 3, 4},
        {"within the tolerance below", HPA_UTILIZATION, 50, 1000, 4510, 10, 0, 0, 10, 10},
        {"beyond it below", HPA_UTILIZATION, 50, 1000, 4490, 10, 0, 0, 10, 9},
        {"no use at all", HPA_UTILIZATION, 50, 1000, 0, 3, 0, 0, 3, 0},
        {"average value", HPA_AVERAGE, 100, 0, 600, 3, 0, 0, 3, 6},
        {"average value, down", HPA_AVERAGE, 100, 0, 100, 3, 0, 0, 3, 1},
        /* missing: at nothing on the way up, so 6000 over 4 of 1000 */
        {"missing, up", HPA_UTILIZATION, 50, 1000, 3000, 3, 1, 0, 4, 6},
        {"missing, up is within the tolerance", HPA_UTILIZATION, 50, 1000, 1700, 3, 1, 0, 4, 4},
        {"missing, up flips", HPA_UTILIZATION, 50, 1000, 1700, 3, 3, 0, 6, 6},
        /* at 100 % on the way down: 500 + 1000 over 3 */
        {"missing, down", HPA_UTILIZATION, 70, 1000, 500, 2, 1, 0, 3, 3},
        {"missing, down at least", HPA_UTILIZATION, 90, 1000, 100, 4, 1, 0, 5, 2},
        {"missing, down flips", HPA_UTILIZATION, 50, 1000, 800, 2, 2, 0, 4, 4},
        {"missing counts at a target over 100", HPA_UTILIZATION, 200, 1000, 2000, 2, 2, 0, 4, 3},
        {"missing, average, down", HPA_AVERAGE, 100, 0, 100, 3, 1, 0, 4, 2},
        {"missing, average, up", HPA_AVERAGE, 100, 0, 600, 3, 1, 0, 4, 6},
        /* not ready: nothing on the way up, ignored on the way down */
        {"unready, up", HPA_UTILIZATION, 50, 1000, 3000, 2, 0, 2, 4, 6},
        {"unready, up within the tolerance", HPA_UTILIZATION, 50, 1000, 2100, 2, 0, 2, 4, 4},
        {"unready, up flips", HPA_UTILIZATION, 50, 1000, 1500, 2, 0, 2, 4, 4},
        {"unready, down", HPA_UTILIZATION, 50, 1000, 600, 4, 0, 2, 6, 2},
        {"unready and missing, up", HPA_UTILIZATION, 50, 1000, 6000, 2, 1, 1, 4, 12},
        /* it would be more than there are, though it goes down: it stays */
        {"down to more", HPA_UTILIZATION, 50, 1000, 1600, 4, 0, 0, 2, 4},
        {"down to more with missing", HPA_UTILIZATION, 50, 1000, 500, 4, 1, 0, 2, 2},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hpa_metric m = {rows[i].target, rows[i].value, rows[i].request};
        struct hpa_sample s = {rows[i].usage, rows[i].ready, rows[i].missing, rows[i].unready};
        uint32_t got = 4711;

        ck_assert_int_eq(hpa_of_instances(&m, &s, rows[i].current, &tenth, &got), 0);
        ck_assert_msg(got == rows[i].wanted, "%s: %u", rows[i].what, got);
    }
}
END_TEST

START_TEST(nothing_is_measured)
{
    struct hpa_metric m = {HPA_AVERAGE, 100, 0};
    uint32_t got = 4711;

    ck_assert_int_eq(hpa_of_instances(&m, &(struct hpa_sample){0, 0, 3, 2}, 3, &tenth, &got),
                     -ENODATA);
    ck_assert_uint_eq(got, 4711);
}
END_TEST

START_TEST(tolerances)
{
    struct hpa_metric m = {HPA_AVERAGE, 100, 0};
    struct hpa_sample up = {1050, 10, 0, 0}, down = {950, 10, 0, 0};
    uint32_t got;

    hpa_of_instances(&m, &up, 10, &(struct hpa_tolerance){0, 0.1}, &got);
    ck_assert_uint_eq(got, 11);
    hpa_of_instances(&m, &down, 10, &(struct hpa_tolerance){0, 0.1}, &got);
    ck_assert_uint_eq(got, 10);
    down.usage = 890;
    hpa_of_instances(&m, &down, 10, &(struct hpa_tolerance){0, 0.1}, &got);
    ck_assert_uint_eq(got, 9);
    hpa_of_instances(&m, &down, 10, &(struct hpa_tolerance){0, 0.2}, &got);
    ck_assert_uint_eq(got, 10);
    m.value = 0.7; /* at the limit, which the last digits of fractions pass */
    up = (struct hpa_sample){2.31, 3, 0, 0};
    hpa_of_instances(&m, &up, 3, &tenth, &got);
    ck_assert_uint_eq(got, 3);
    m.value = 0.1;
    down = (struct hpa_sample){0.18, 2, 0, 0};
    hpa_of_instances(&m, &down, 4, &tenth, &got);
    ck_assert_uint_eq(got, 4);
}
END_TEST

START_TEST(of_outside)
{
    static const struct {
        enum hpa_target target;
        double value, usage;
        uint32_t ready, current, wanted;
    } rows[] = {
        {HPA_VALUE, 100, 200, 3, 3, 6},  {HPA_VALUE, 100, 105, 3, 3, 3},
        {HPA_VALUE, 100, 50, 3, 4, 2}, /* those that are ready */
        {HPA_VALUE, 100, 250, 0, 0, 3},  {HPA_VALUE, 100, 0, 0, 0, 0},
        {HPA_AVERAGE, 30, 100, 2, 2, 4}, {HPA_AVERAGE, 30, 92, 3, 3, 3},
        {HPA_AVERAGE, 30, 59, 3, 3, 2},  {HPA_AVERAGE, 30, 0, 3, 3, 0},
        {HPA_AVERAGE, 30, 1, 0, 0, 1},   {HPA_AVERAGE, 0.5, 1e12, 1, 1, UINT32_MAX},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hpa_metric m = {rows[i].target, rows[i].value, 0};
        uint32_t got = hpa_of_outside(&m, rows[i].usage, rows[i].ready, rows[i].current, &tenth);

        ck_assert_msg(got == rows[i].wanted, "row %zu: %u", i, got);
    }
}
END_TEST

UNIT_MAIN("hpa", of_instances, nothing_is_measured, tolerances, of_outside)
