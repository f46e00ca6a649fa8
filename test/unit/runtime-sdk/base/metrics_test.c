#include "base/metrics.h"
#include "unit.h"

#include <string.h>

START_TEST(text_format)
{
    cleanup_buffer struct buffer b = {0};
    char *s;

    metrics_family(&b, "x_total", "counter", "Help.");
    metrics_sample(&b, "x_total", 3, NULL);
    metrics_sample(&b, "x_total", 1.5, "a", "q\"b\\\n", "c", "", NULL);
    s = buffer_take_string(&b);
    ck_assert_str_eq(s, "# HELP x_total Help.\n# TYPE x_total counter\nx_total 3\n"
                        "x_total{a=\"q\\\"b\\\\\\n\",c=\"\"} 1.5\n");
    free(s);
}
END_TEST

START_TEST(histogram_is_cumulative)
{
    cleanup_buffer struct buffer b = {0};
    struct histogram h;
    char *s;

    histogram_init(&h, histogram_seconds);
    histogram_observe(&h, 0.0001);
    histogram_observe(&h, 0.0002);
    histogram_observe(&h, 1e9);
    metrics_histogram(&b, "y", &h, "k", "v", NULL);
    s = buffer_take_string(&b);
    ck_assert_ptr_nonnull(strstr(s, "y_bucket{k=\"v\",le=\"0.0001\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(s, "y_bucket{k=\"v\",le=\"0.00025\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(s, "y_bucket{k=\"v\",le=\"60\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(s, "y_bucket{k=\"v\",le=\"+Inf\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(s, "y_count{k=\"v\"} 3\n"));
    free(s);
}
END_TEST

START_TEST(process_figures)
{
    cleanup_buffer struct buffer b = {0};
    char *s, *at;

    metrics_process(&b);
    s = buffer_take_string(&b);
    at = strstr(s, "\nprocess_start_time_seconds ");
    ck_assert_ptr_nonnull(at);
    ck_assert(strtod(at + 28, NULL) > 1e9);
    at = strstr(s, "\nprocess_resident_memory_bytes ");
    ck_assert_ptr_nonnull(at);
    ck_assert(strtod(at + 31, NULL) > 1e5);
    free(s);
}
END_TEST

UNIT_MAIN("metrics", text_format, histogram_is_cumulative, process_figures)
