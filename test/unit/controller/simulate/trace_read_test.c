/* The data set's own files: what they say is what is called, and what is wrong in them is named. */
#include "simulate/csv.h"
#include "simulate/trace.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INVOCATIONS "invocations.csv"
#define DURATIONS   "durations.csv"
#define MEMORY      "memory.csv"

static char folder[] = "/tmp/rouse-trace-XXXXXX";

static const char durations[] =
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,"
    "percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n"
    "o1,a1,f2,200,9,1,2,100,100,150,200,250,300,300\r\n"
    "o9,a1,f2,1,9,1,2,1,1,1,1,1,1,1\n"; /* no function of the other file's */
static const char memory[] =
    "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\n"
    "o1,a1,7,210.9,1\no2,a2,7,3.5,1\n";

static FILE *begin(const char *name)
{
    FILE *f = fopen(name, "w");

    ck_assert_ptr_nonnull(f);
    return f;
}

static void with_text(const char *name, const char *text)
{
    FILE *f = begin(name);

    fputs(text, f);
    fclose(f);
}

static FILE *begin_invocations(void)
{
    FILE *f = begin(INVOCATIONS);

    fputs("HashOwner,HashApp,HashFunction,Trigger", f);
    for (int m = 1; m <= TRACE_MINUTES; m++)
        fprintf(f, ",%d", m);
    fputs("\n", f);
    return f;
}

/* `every` minutes so many calls, from minute `first` on (0 is the first). */
static void put(FILE *f, const char *names, const char *trigger, int first, int every,
                const char *calls)
{
    fprintf(f, "%s,%s", names, trigger);
    for (int m = 0; m < TRACE_MINUTES; m++)
        fprintf(f, ",%s", m >= first && (m - first) % every == 0 ? calls : "0");
    fputs("\n", f);
}

static void put_all(void)
{
    FILE *f = begin_invocations();

    put(f, "o1,a1,f1", "timer", 0, 60, "2");
    put(f, "o1,a1,f2", "http", 10, 2000, "500");
    put(f, "o2,a2,f1", "queue", 1439, 1, "3");
    fclose(f);
    with_text(DURATIONS, durations);
    with_text(MEMORY, memory);
}

static int read_all(struct trace **ret, struct err *e)
{
    const struct trace_config c = {.seed = 1, .rate_max = 20, .duration_max = 60};
    const struct trace_files f = {INVOCATIONS, DURATIONS, MEMORY};

    return trace_read(&c, &f, ret, e);
}

static struct trace *read_well(void)
{
    struct trace *t;
    struct err e;

    ck_assert_msg(read_all(&t, &e) == 0, "%s", e.message);
    return t;
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    put_all();
}

static void teardown(void)
{
    unlink(INVOCATIONS);
    unlink(DURATIONS);
    unlink(MEMORY);
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(folder);
}

START_TEST(every_call_in_its_minute)
{
    struct trace *t = read_well();
    struct trace_call k;
    unsigned calls[3] = {0};
    uint64_t last = 0;

    ck_assert_uint_eq(trace_functions(t), 3);
    for (trace_next(t, &k); k.at < TRACE_NEVER; trace_next(t, &k)) {
        uint64_t minute = k.at / (60 * NS_PER_S);

        ck_assert_uint_ge(k.at, last);
        last = k.at;
        calls[k.function]++;
        if (k.function == 0) /* a timer: at the minute's begin and half */
            ck_assert(minute % 60 == 0 && k.at % (30 * NS_PER_S) == 0);
        else
            ck_assert_uint_eq(minute, k.function == 1 ? 10 : 1439);
    }
    ck_assert(calls[0] == 48 && calls[1] == 500 && calls[2] == 3);
    trace_next(t, &k);
    ck_assert_uint_eq(k.at, TRACE_NEVER);
    trace_free(t);
}
END_TEST

START_TEST(durations_lie_between_the_percentiles)
{
    struct trace *t = read_well();
    struct trace_call k;
    unsigned low = 0, middle = 0;

    for (trace_next(t, &k); k.at < TRACE_NEVER; trace_next(t, &k)) {
        if (k.function != 1)
            continue;
        ck_assert(k.duration >= 100 * NS_PER_MS && k.duration <= 300 * NS_PER_MS);
        low += k.duration < 150 * NS_PER_MS;
        middle += k.duration < 200 * NS_PER_MS;
    }
    ck_assert(low > 95 && low < 155);
    ck_assert(middle > 215 && middle < 285);
    ck_assert(trace_function(t, 1)->duration > 0.199 && trace_function(t, 1)->duration < 0.201);
    ck_assert(trace_function(t, 0)->duration > 0); /* drawn */
    trace_free(t);
}
END_TEST

START_TEST(memory_is_the_apps)
{
    struct trace *t = read_well();

    ck_assert_uint_eq(trace_function(t, 0)->memory, 210);
    ck_assert_uint_eq(trace_function(t, 1)->memory, 210);
    ck_assert_uint_eq(trace_function(t, 2)->memory, 32); /* the least that a function may have */
    ck_assert_int_eq(trace_function(t, 2)->trigger, TRACE_QUEUE);
    trace_free(t);
}
END_TEST

START_TEST(so_many_of_the_first)
{
    const struct trace_config c = {.seed = 1, .functions = 2, .rate_max = 20, .duration_max = 60};
    const struct trace_files f = {INVOCATIONS, NULL, NULL};
    struct trace *t;
    struct err e;

    ck_assert_int_eq(trace_read(&c, &f, &t, &e), 0);
    ck_assert_uint_eq(trace_functions(t), 2);
    trace_free(t);
}
END_TEST

/* ---- what is wrong is named */

static void refused(const char *why)
{
    struct trace *t;
    struct err e;

    ck_assert_int_lt(read_all(&t, &e), 0);
    ck_assert_msg(strstr(e.message, why), "\"%s\" does not have \"%s\"", e.message, why);
}

static void with_row(const char *names, const char *trigger, int first, const char *calls)
{
    FILE *f = begin_invocations();

    put(f, "o1,a1,f1", "timer", 0, 60, "2");
    put(f, names, trigger, first, 5000, calls);
    fclose(f);
}

START_TEST(a_wrong_field_has_its_place)
{
    with_row("o1,a1,f2", "http", 6, "12x");
    refused(INVOCATIONS ":3: column 11 (7): \"12x\" is no number of 0 to 10000000");
    with_row("o1,a1,f2", "http", 6, "10000001");
    refused(INVOCATIONS ":3: column 11 (7): \"10000001\" is no number");
    with_row("o1,a1,f2", "http", 6, "-1");
    refused(INVOCATIONS ":3: column 11 (7): \"-1\" is no number");
    with_row("o1,a1,f2", "http", 6, "");
    refused(INVOCATIONS ":3: column 11 (7): \"\" is no number");
    with_row("o1,a1,f2", "cron", 6, "1");
    refused(INVOCATIONS ":3: column 4 (Trigger): \"cron\" is none of http, queue");
    with_row("o1,,f2", "http", 6, "1");
    refused(INVOCATIONS ":3: column 2 (HashApp): \"\" is no name of 1 to 128 bytes");
    with_row("o1,a1,f2,f3", "http", 6, "1");
    refused(INVOCATIONS ":3: the line has 1445 columns, the first one has 1444");
}
END_TEST

START_TEST(other_files)
{
    with_text(DURATIONS, "HashOwner,HashApp\n");
    refused(DURATIONS ":1: there is no column \"HashFunction\"");
    with_text(DURATIONS, "");
    refused(DURATIONS ":1: there is no line");
    put_all();
    with_text(MEMORY, "HashOwner,HashApp,AverageAllocatedMb\no,a,nan\n");
    refused(MEMORY ":2: column 3 (AverageAllocatedMb): \"nan\" is no number");
    with_text(MEMORY, "HashOwner,HashApp,AverageAllocatedMb\no,a,-0.5\n");
    refused(MEMORY ":2: column 3 (AverageAllocatedMb): \"-0.5\" is no number");
    unlink(MEMORY);
    refused(MEMORY ": No such file");
    put_all();
    with_text(INVOCATIONS, "HashOwner,HashApp,HashFunction,Trigger,1\n");
    refused(INVOCATIONS ":1: the columns are not");
    fclose(begin_invocations());
    refused(INVOCATIONS ": there is no function in it");
}
END_TEST

START_TEST(a_line_has_an_end)
{
    FILE *f = begin_invocations();

    for (int i = 0; i < 70000; i++)
        fputc('x', f);
    fclose(f);
    refused(INVOCATIONS ":2: the line is longer than 65536 bytes");
    f = begin_invocations();
    fwrite("a\0b\n", 1, 4, f);
    fclose(f);
    refused(INVOCATIONS ":2: the line has a NUL byte");
    f = begin_invocations();
    for (int i = 0; i < CSV_COLUMNS_MAX; i++)
        fputs("a,", f);
    fclose(f);
    refused(INVOCATIONS ":2: there are more than 1600 columns");
    ck_assert_int_eq(unlink(INVOCATIONS), 0);
    ck_assert_int_eq(symlink("/dev/zero", INVOCATIONS), 0); /* a line without an end */
    refused(INVOCATIONS ":1: the line is longer than 65536 bytes");
    ck_assert_int_eq(unlink(INVOCATIONS), 0);
    f = begin(INVOCATIONS);
    for (int i = 0; i < CSV_COLUMNS_MAX; i++)
        fputs("a,", f);
    fclose(f);
    refused(INVOCATIONS ":1: there are more than 1600 columns");
}
END_TEST

int main(void)
{
    const TTest *const cases[] = {
        every_call_in_its_minute, durations_lie_between_the_percentiles, memory_is_the_apps,
        so_many_of_the_first,     a_wrong_field_has_its_place,           other_files,
        a_line_has_an_end};
    SRunner *sr;
    TCase *tc = unit_case("trace_read", &sr);

    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        tcase_add_test(tc, cases[i]);
    return unit_run(sr);
}
