/* merge_test.c - reports, metrics and logs of several loops, made one. */
#include "base/metrics.h"
#include "shard/merge_lines.h"
#include "shard/merge_metrics.h"
#include "shard/merge_report.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- reports */
typedef Rouse__Control__V1__Report Report;

static Report *report_new(uint32_t interval_ms)
{
    Report *r = malloc(sizeof(*r));

    ck_assert_ptr_nonnull(r);
    rouse__control__v1__report__init(r);
    r->interval_ms = interval_ms;
    return r;
}

static void add_load(Report *r, const char *function, const char *revision, double concurrency,
                     uint64_t requests)
{
    Rouse__Control__V1__FunctionLoad *l = malloc(sizeof(*l));

    rouse__control__v1__function_load__init(l);
    l->function_key = strdup(function);
    l->revision = strdup(revision);
    l->concurrency = concurrency;
    l->requests = requests;
    r->functions = realloc(r->functions, (r->n_functions + 1) * sizeof(l));
    r->functions[r->n_functions++] = l;
}

static void add_instance(Report *r, const char *id)
{
    Rouse__Control__V1__InstanceLoad *l = malloc(sizeof(*l));

    rouse__control__v1__instance_load__init(l);
    l->id = strdup(id);
    l->cpu = 250;
    l->memory = 1000;
    r->instances = realloc(r->instances, (r->n_instances + 1) * sizeof(l));
    r->instances[r->n_instances++] = l;
}

static void reserve(Report *r, uint64_t memory, uint32_t cpu)
{
    r->reserved = malloc(sizeof(*r->reserved));
    rouse__control__v1__resources__init(r->reserved);
    r->reserved->memory = memory;
    r->reserved->cpu = cpu;
}

static const Rouse__Control__V1__FunctionLoad *load_of(const Report *r, const char *function,
                                                       const char *revision)
{
    const Rouse__Control__V1__FunctionLoad *found = NULL;

    for (size_t i = 0; i < r->n_functions; i++)
        if (!strcmp(r->functions[i]->function_key, function) &&
            !strcmp(r->functions[i]->revision, revision)) {
            ck_assert_ptr_null(found);
            found = r->functions[i];
        }
    ck_assert_ptr_nonnull(found);
    return found;
}

static void merge_and_free(Report *to, Report *part, bool fresh)
{
    ck_assert_int_eq(merge_report(to, part, fresh), 0);
    rouse__control__v1__report__free_unpacked(part, NULL);
}

START_TEST(loads_of_one_revision_are_summed)
{
    Report *sum = report_new(0), *a = report_new(1000), *b = report_new(1001);

    add_load(a, "ns/f", "r1", 0.5, 3);
    add_load(a, "ns/f", "r2", 1, 1);
    add_instance(a, "i1");
    reserve(a, 100, 1);
    add_load(b, "ns/g", "r1", 4, 4);
    add_load(b, "ns/f", "r1", 0.25, 2);
    add_instance(b, "i2");
    add_instance(b, "i3");
    reserve(b, 50, 2);
    merge_and_free(sum, a, true);
    merge_and_free(sum, b, true);
    ck_assert_uint_eq(sum->interval_ms, 1001);
    ck_assert_uint_eq(sum->n_functions, 3);
    ck_assert_double_eq(load_of(sum, "ns/f", "r1")->concurrency, 0.75);
    ck_assert_uint_eq(load_of(sum, "ns/f", "r1")->requests, 5);
    ck_assert_uint_eq(load_of(sum, "ns/f", "r2")->requests, 1);
    ck_assert_uint_eq(load_of(sum, "ns/g", "r1")->requests, 4);
    ck_assert_uint_eq(sum->n_instances, 3);
    ck_assert_uint_eq(sum->reserved->memory, 150);
    ck_assert_uint_eq(sum->reserved->cpu, 3);
    rouse__control__v1__report__free_unpacked(sum, NULL);
}
END_TEST

START_TEST(a_late_shard_is_not_counted_twice)
{
    Report *sum = report_new(0), *a = report_new(1000), *stale = report_new(9000);

    add_load(a, "ns/f", "r1", 1, 3);
    add_load(stale, "ns/f", "r1", 2, 100);
    add_instance(stale, "i9");
    merge_and_free(sum, a, true);
    merge_and_free(sum, stale, false);
    ck_assert_uint_eq(sum->interval_ms, 1000);
    ck_assert_double_eq(load_of(sum, "ns/f", "r1")->concurrency, 3);
    ck_assert_uint_eq(load_of(sum, "ns/f", "r1")->requests, 3);
    ck_assert_uint_eq(sum->n_instances, 1);
    ck_assert_uint_eq(sum->instances[0]->cpu, 250); /* a rate: it is told again as it was */
    ck_assert_uint_eq(sum->instances[0]->memory, 1000);
    rouse__control__v1__report__free_unpacked(sum, NULL);
}
END_TEST

/* ---------------------------------------------------------------- metrics */
static char *merged(const char *const *texts, unsigned count)
{
    struct buffer in[4] = {0}, out = {0};
    const struct buffer *all[4] = {0};

    for (unsigned i = 0; i < count; i++) {
        buffer_puts(&in[i], texts[i]);
        all[i] = &in[i];
    }
    ck_assert_int_eq(merge_metrics(&out, all, count), 0);
    for (unsigned i = 0; i < count; i++)
        buffer_done(&in[i]);
    return buffer_take_string(&out);
}

START_TEST(samples_are_summed_by_their_labels)
{
    static const char *const texts[] = {
        "# HELP a_total What a is.\n# TYPE a_total counter\na_total{code=\"200\"} 3\n"
        "a_total{code=\"500\",why=\"a b\"} 1\n# HELP g Now.\n# TYPE g gauge\ng 1.5\n",
        "# HELP a_total What a is.\n# TYPE a_total counter\na_total{code=\"404\"} 7\n"
        "a_total{code=\"200\"} 4\n# HELP g Now.\n# TYPE g gauge\ng 2\n"
        "# HELP only_here x\n# TYPE only_here counter\nonly_here{loop=\"1\"} 9\n",
    };
    char *out = merged(texts, 2);

    ck_assert_str_eq(out, "# HELP a_total What a is.\n# TYPE a_total counter\n"
                          "a_total{code=\"200\"} 7\na_total{code=\"500\",why=\"a b\"} 1\n"
                          "a_total{code=\"404\"} 7\n# HELP g Now.\n# TYPE g gauge\ng 3.5\n"
                          "# HELP only_here x\n# TYPE only_here counter\n"
                          "only_here{loop=\"1\"} 9\n");
    free(out);
}
END_TEST

START_TEST(a_family_without_samples_is_named_once)
{
    static const char empty[] = "# HELP a x\n# TYPE a counter\n# HELP b y\n# TYPE b gauge\n";
    static const char *const texts[] = {
        empty, "# HELP a x\n# TYPE a counter\na 1\n# HELP b y\n# TYPE b gauge\n", empty};
    char *out = merged(texts, 3);

    ck_assert_str_eq(out, "# HELP a x\n# TYPE a counter\na 1\n# HELP b y\n# TYPE b gauge\n");
    free(out);
}
END_TEST

START_TEST(what_is_said_of_the_whole_is_not_summed)
{
    static const char *const texts[] = {
        "# HELP process_open_fds x\n# TYPE process_open_fds gauge\nprocess_open_fds 10\n"
        "# HELP rouse_gateway_functions x\n# TYPE rouse_gateway_functions gauge\n"
        "rouse_gateway_functions 4\n",
        "# HELP process_open_fds x\n# TYPE process_open_fds gauge\nprocess_open_fds 11\n"
        "# HELP rouse_gateway_functions x\n# TYPE rouse_gateway_functions gauge\n"
        "rouse_gateway_functions 4\n",
    };
    char *out = merged(texts, 2);

    ck_assert_ptr_nonnull(strstr(out, "\nprocess_open_fds 11\n"));
    ck_assert_ptr_nonnull(strstr(out, "\nrouse_gateway_functions 4\n"));
    free(out);
}
END_TEST

START_TEST(histograms_are_summed)
{
    struct buffer one = {0}, two = {0};
    struct histogram h;
    char *a, *b, *out;
    const char *texts[2];

    histogram_init(&h, histogram_seconds);
    histogram_observe(&h, 0.00005);
    histogram_observe(&h, 1e9);
    metrics_family(&one, "h", "histogram", "x");
    metrics_histogram(&one, "h", &h, NULL);
    histogram_observe(&h, 0.00005);
    metrics_family(&two, "h", "histogram", "x");
    metrics_histogram(&two, "h", &h, NULL);
    texts[0] = a = buffer_take_string(&one);
    texts[1] = b = buffer_take_string(&two);
    out = merged(texts, 2);
    ck_assert_msg(strstr(out, "h_bucket{le=\"0.0001\"} 3\n") != NULL, "%s", out);
    ck_assert_ptr_nonnull(strstr(out, "h_bucket{le=\"+Inf\"} 5\n"));
    ck_assert_ptr_nonnull(strstr(out, "h_count 5\n"));
    ck_assert_ptr_eq(strstr(strstr(out, "# HELP") + 1, "# HELP"), NULL);
    free(a);
    free(b);
    free(out);
}
END_TEST

START_TEST(a_text_alone_stays_as_it_is)
{
    static const char *const texts[] = {"# HELP a x\n# TYPE a counter\na 1\n", ""};
    char *out = merged(texts, 2);

    ck_assert_str_eq(out, texts[0]);
    free(out);
}
END_TEST

/* ---------------------------------------------------------------- logs */
#define T(s) "2026-11-23T10:00:" s "Z - "
static void expect_lines(const char *a, const char *b, uint32_t limit, const char *want)
{
    struct buffer in[2] = {0}, out = {0};
    const struct buffer *all[] = {&in[0], &in[1]};
    char *text;

    buffer_puts(&in[0], a);
    buffer_puts(&in[1], b);
    ck_assert_int_eq(merge_lines(&out, all, 2, limit), 0);
    text = buffer_take_string(&out);
    ck_assert_str_eq(text ? text : "", want);
    free(text);
    buffer_done(&in[0]);
    buffer_done(&in[1]);
}

START_TEST(lines_are_in_the_order_of_time)
{
    static const char a[] = T("01.000") "one\n" T("03.000") "three\n" T("03.000") "again\n";
    static const char b[] = T("02.000") "two\n" T("03.000") "other three\n" T("04.000") "four\n";

    expect_lines(a, b, 0,
                 T("01.000") "one\n" T("02.000") "two\n" T("03.000") "three\n" T(
                     "03.000") "again\n" T("03.000") "other three\n" T("04.000") "four\n");
    expect_lines(a, b, 2, T("03.000") "other three\n" T("04.000") "four\n");
    expect_lines(a, b, 6,
                 T("01.000") "one\n" T("02.000") "two\n" T("03.000") "three\n" T(
                     "03.000") "again\n" T("03.000") "other three\n" T("04.000") "four\n");
    expect_lines("", b, 1, T("04.000") "four\n");
    expect_lines("", "", 5, "");
}
END_TEST

START_TEST(a_line_without_a_stamp_is_kept)
{
    expect_lines("short\n", T("01.000") "one\n", 0, "short\n" T("01.000") "one\n");
}
END_TEST

UNIT_MAIN("merge", loads_of_one_revision_are_summed, a_late_shard_is_not_counted_twice,
          samples_are_summed_by_their_labels, what_is_said_of_the_whole_is_not_summed,
          a_family_without_samples_is_named_once, histograms_are_summed, a_text_alone_stays_as_it_is,
          lines_are_in_the_order_of_time, a_line_without_a_stamp_is_kept)
