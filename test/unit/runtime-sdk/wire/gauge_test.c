/* A function's own metrics: names, values, how many, and METRIC's payload. */
#include "wire/gauge.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LONGEST "a23456789012345678901234567890123456789012345678901234567890123"

static const char *refusal(const char *name, double value)
{
    return gauge_refusal(name, strlen(name), value);
}

START_TEST(names)
{
    static const char *const good[] = {"a", "_", "queue_length", "a0", "z_9_", LONGEST};
    static const char *const bad[] = {"",    "0a",       "A",         "a-b", "a b",
                                      "a.b", "\xc3\xa9", LONGEST "4", "aB"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(!refusal(good[i], 1), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_ptr_nonnull(refusal(bad[i], 1));
        ck_assert_msg(strstr(refusal(bad[i], 1), "[a-z_][a-z0-9_]{0,62}"), "%s", bad[i]);
    }
    ck_assert_ptr_nonnull(gauge_refusal("a\0b", 3, 1));
    ck_assert_ptr_nonnull(strstr(refusal("concurrency", 1), "platform's own"));
    ck_assert_ptr_nonnull(strstr(refusal("requests_per_second", 1), "platform's own"));
    ck_assert_ptr_null(refusal("concurrency_", 1));
}
END_TEST

START_TEST(values)
{
    static const double good[] = {0, -0.0, 0.001, 1, 1e18, 5e-324};
    static const double bad[] = {-1, -5e-324, 1.1e18, INFINITY, -INFINITY, NAN};

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_ptr_null(refusal("a", good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_ptr_nonnull(refusal("a", bad[i]));
        ck_assert_ptr_nonnull(strstr(refusal("a", bad[i]), "from 0 to 1e18"));
    }
}
END_TEST

START_TEST(the_last_value_wins)
{
    struct gauges g = {0};
    bool changed = false;

    ck_assert_ptr_null(gauges_set(&g, "a", 1, 3, &changed));
    ck_assert(changed);
    ck_assert_ptr_null(gauges_set(&g, "a", 1, 3, &changed));
    ck_assert(!changed);
    ck_assert_ptr_null(gauges_set(&g, "a", 1, 4, &changed));
    ck_assert(changed);
    ck_assert_ptr_nonnull(gauges_set(&g, "a", 1, -4, &changed));
    ck_assert_uint_eq(g.count, 1);
    ck_assert_double_eq(gauges_find(&g, "a", 1)->value, 4);
    ck_assert_ptr_null(gauges_find(&g, "ab", 2));
    ck_assert_ptr_null(gauges_find(&g, "a", 0));
    ck_assert_ptr_null(gauges_set(&g, "a", 1, -0.0, NULL));
    ck_assert(!signbit(gauges_find(&g, "a", 1)->value));
}
END_TEST

START_TEST(sixteen)
{
    struct gauges g = {0};
    char name[16];

    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        ck_assert_ptr_null(gauges_set(&g, name, strlen(name), i, NULL));
    }
    ck_assert_ptr_nonnull(strstr(gauges_set(&g, "m16", 3, 1, NULL), "at most 16"));
    ck_assert_ptr_null(gauges_set(&g, "m15", 3, 7, NULL)); /* one that is there */
    ck_assert_double_eq(gauges_find(&g, "m15", 3)->value, 7);
    ck_assert_ptr_null(gauges_find(&g, "m16", 3));
    ck_assert_uint_eq(g.count, 16);
}
END_TEST

START_TEST(payload)
{
    uint8_t bytes[FRAME_METRIC_MAX];
    struct frame f = {.type = FRAME_METRIC, .payload = bytes};
    const char *name;
    double value;
    size_t n;

    f.length = (uint32_t)frame_metric_put(bytes, LONGEST, 63, 12.5);
    ck_assert_uint_eq(f.length, FRAME_METRIC_MAX);
    ck_assert(!memcmp(bytes, "\0\0\0\0\0\0\x29\x40", 8));
    ck_assert_int_eq(frame_metric_parse(&f, &name, &n, &value), 0);
    ck_assert_uint_eq(n, 63);
    ck_assert(!memcmp(name, LONGEST, n));
    ck_assert_double_eq(value, 12.5);
    for (f.length = 0; f.length <= 8; f.length++)
        ck_assert_int_eq(frame_metric_parse(&f, &name, &n, &value), -EBADMSG);
    f.length = 9;
    ck_assert_int_eq(frame_metric_parse(&f, &name, &n, &value), 0);
    f.type = FRAME_LOG;
    ck_assert_int_eq(frame_metric_parse(&f, &name, &n, &value), -EBADMSG);
}
END_TEST

UNIT_MAIN("gauge", names, values, the_last_value_wins, sixteen, payload)
