#include "http/metrics.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void has(const char *text, const char *line)
{
    ck_assert_msg(strstr(text, line), "%s is not in\n%s", line, text);
}

START_TEST(a_server)
{
    struct http_server_stats s = {
        .accepted = 9, .requests = 8, .bad_requests = 7, .timeouts = 6, .connections = 5};
    struct buffer b = {0};
    char *text;

    http_server_metrics(&b, "x", &s);
    text = buffer_take_string(&b);
    has(text, "# TYPE x_connections gauge\nx_connections 5\n");
    has(text, "# TYPE x_accepted_total counter\nx_accepted_total 9\n");
    has(text, "\nx_bad_requests_total 7\n");
    has(text, "\nx_timeouts_total 6\n");
    free(text);
}
END_TEST

START_TEST(pools_of_one_text)
{
    struct http_client_stats one = {.calls = 1,
                                    .dials = 2,
                                    .reused = 3,
                                    .stale = 4,
                                    .retries = 5,
                                    .connect_failures = 6,
                                    .backed_off = 7,
                                    .over_limit = 8,
                                    .links = 9,
                                    .failing = 10},
                             two = {.calls = 11, .failing = 12};
    struct http_client_sample both[] = {{"a", &one}, {"b", &two}};
    struct buffer b = {0};
    char *text;

    http_client_metrics(&b, both, 2);
    text = buffer_take_string(&b);
    has(text, "# TYPE rouse_http_client_calls_total counter\n"
              "rouse_http_client_calls_total{client=\"a\"} 1\n"
              "rouse_http_client_calls_total{client=\"b\"} 11\n");
    has(text, "\nrouse_http_client_dials_total{client=\"a\"} 2\n");
    has(text, "\nrouse_http_client_reused_total{client=\"a\"} 3\n");
    has(text, "\nrouse_http_client_stale_total{client=\"a\"} 4\n");
    has(text, "\nrouse_http_client_retries_total{client=\"a\"} 5\n");
    has(text, "\nrouse_http_client_connect_failures_total{client=\"a\"} 6\n");
    has(text, "\nrouse_http_client_backed_off_total{client=\"a\"} 7\n");
    has(text, "\nrouse_http_client_over_limit_total{client=\"a\"} 8\n");
    has(text, "\nrouse_http_client_connections{client=\"a\"} 9\n");
    has(text, "# TYPE rouse_http_client_failing_addresses gauge\n"
              "rouse_http_client_failing_addresses{client=\"a\"} 10\n"
              "rouse_http_client_failing_addresses{client=\"b\"} 12\n");
    free(text);
    http_client_metrics(&b, both, 0);
    ck_assert_uint_eq(buffer_size(&b), 0);
}
END_TEST

UNIT_MAIN("metrics", a_server, pools_of_one_text)
