#include "base/clock.h"
#include "report/report.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static char *metrics_text(struct report *r)
{
    struct buffer b = {0};

    report_metrics(r, &b);
    return buffer_take_string(&b);
}

START_TEST(names_and_values)
{
    static const char *const wanted[] = {
        "rouse_requests_total{namespace=\"default\",function=\"hello\",code=\"200\"} 2\n",
        "rouse_requests_total{namespace=\"default\",function=\"hello\",code=\"404\"} 1\n",
        "rouse_request_seconds_count 3\n",
        "rouse_in_flight 1\n",
        "rouse_cold_starts_total{namespace=\"default\",function=\"hello\"} 1\n",
        "rouse_cold_start_seconds_count{phase=\"first_byte\"} 1\n",
        "rouse_cold_start_seconds_count{phase=\"schedule\"} 0\n",
        "# TYPE rouse_requests_total counter\n",
        "# TYPE rouse_request_seconds histogram\n",
        "process_open_fds ",
    };
    struct report *r;
    char *text;

    ck_assert_int_eq(report_new(&r), 0);
    report_request(r, "default/hello", 200, NS_PER_MS);
    report_request(r, "default/hello", 200, NS_PER_MS);
    report_request(r, "default/hello", 404, NS_PER_MS);
    report_begin(r, "default/hello", "r1", 1);
    report_cold_start(r, "default/hello");
    report_phase(r, PHASE_FIRST_BYTE, NS_PER_MS);
    text = metrics_text(r);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        ck_assert_msg(strstr(text, wanted[i]) != NULL, "no %s in\n%s", wanted[i], text);
    free(text);
    report_free(r);
}
END_TEST

START_TEST(labels_are_bounded)
{
    struct report *r;
    char key[64];
    char *text;
    size_t lines = 0;

    ck_assert_int_eq(report_new(&r), 0);
    for (int i = 0; i < 10005; i++) {
        snprintf(key, sizeof(key), "default/f%d", i);
        report_request(r, key, 200, 1);
    }
    for (int code = 200; code < 300; code++)
        report_request(r, "default/f0", code, 1);
    text = metrics_text(r);
    ck_assert_ptr_nonnull(strstr(text, "{namespace=\"\",function=\"other\",code=\"200\"} 5\n"));
    ck_assert_ptr_nonnull(strstr(text, "{namespace=\"default\",function=\"f0\",code=\"other\"} 85\n"));
    for (const char *p = text; (p = strstr(p, "rouse_requests_total{")); p++)
        lines++;
    ck_assert_uint_eq(lines, 10000 + 15 + 1);
    free(text);
    report_free(r);
}
END_TEST

static const Rouse__Control__V1__FunctionLoad *find(const Rouse__Control__V1__Report *m,
                                                    const char *revision)
{
    for (size_t i = 0; i < m->n_functions; i++)
        if (!strcmp(m->functions[i]->revision, revision))
            return m->functions[i];
    return NULL;
}

/* Two at once for half of the interval, one for a quarter: a mean of 1.25. */
START_TEST(concurrency_is_time_weighted)
{
    uint64_t t0 = clock_monotonic_ns() + NS_PER_S;
    struct report *r;
    Rouse__Control__V1__Report m;
    const Rouse__Control__V1__FunctionLoad *f;

    ck_assert_int_eq(report_new(&r), 0);
    report_load(r, t0, &m);
    ck_assert_uint_eq(m.n_functions, 0);
    report_load_done(&m);

    report_instance(r, "a/f", "r1", 1);
    report_begin(r, "a/f", "r1", t0);
    report_begin(r, "a/f", "r1", t0);
    report_end(r, "a/f", "r1", t0 + 500 * NS_PER_MS);
    report_end(r, "a/f", "r1", t0 + 750 * NS_PER_MS);
    report_load(r, t0 + NS_PER_S, &m);
    f = find(&m, "r1");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(m.interval_ms, 1000);
    ck_assert_str_eq(f->function_key, "a/f");
    ck_assert_double_eq_tol(f->concurrency, 1.25, 1e-9);
    ck_assert_uint_eq(f->requests, 2);
    report_load_done(&m);

    /* What runs on across a report counts in both intervals, and begins in the first only. */
    report_begin(r, "a/f", "r1", t0 + 1500 * NS_PER_MS);
    report_load(r, t0 + 2 * NS_PER_S, &m);
    ck_assert_double_eq_tol(find(&m, "r1")->concurrency, 0.5, 1e-9);
    report_load_done(&m);
    report_load(r, t0 + 3 * NS_PER_S, &m);
    ck_assert_double_eq_tol(find(&m, "r1")->concurrency, 1, 1e-9);
    ck_assert_uint_eq(find(&m, "r1")->requests, 0);
    report_load_done(&m);

    /* Gone with its last instance, told once more. */
    report_end(r, "a/f", "r1", t0 + 3 * NS_PER_S);
    report_instance(r, "a/f", "r1", -1);
    report_load(r, t0 + 4 * NS_PER_S, &m);
    ck_assert_ptr_nonnull(find(&m, "r1"));
    report_load_done(&m);
    report_load(r, t0 + 5 * NS_PER_S, &m);
    ck_assert_uint_eq(m.n_functions, 0);
    report_load_done(&m);
    report_free(r);
}
END_TEST

static void fill(void *user, Rouse__Control__V1__Report *m)
{
    report_begin(user, "a/f", "r1", clock_monotonic_ns());
    m->instances = malloc(sizeof(*m->instances));
    m->instances[0] = malloc(sizeof(*m->instances[0]));
    rouse__control__v1__instance_load__init(m->instances[0]);
    m->instances[0]->id = strdup("i-1");
    m->n_instances = 1;
}

START_TEST(source_adds_instances)
{
    struct report *r;
    Rouse__Control__V1__Report m;

    ck_assert_int_eq(report_new(&r), 0);
    report_set_source(r, fill, r);
    report_load(r, clock_monotonic_ns(), &m);
    ck_assert_uint_eq(find(&m, "r1")->requests, 1); /* it was summed after that */
    ck_assert_uint_eq(m.n_instances, 1);
    ck_assert_str_eq(m.instances[0]->id, "i-1");
    report_load_done(&m);
    report_free(r);
}
END_TEST

UNIT_MAIN("report", names_and_values, labels_are_bounded, concurrency_is_time_weighted,
          source_adds_instances)
