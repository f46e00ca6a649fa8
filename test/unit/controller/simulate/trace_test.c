/* The trace has the published shape, and is the same for the same seed. */
#include "simulate/trace.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>

enum { FUNCTIONS = 20000 };

static struct trace *make(uint64_t seed, uint32_t functions, double rate_max)
{
    struct trace_config c = {
        .seed = seed, .functions = functions, .rate_max = rate_max, .duration_max = 60};
    struct trace *t;

    ck_assert_int_eq(trace_new(&c, &t), 0);
    return t;
}

static bool within(double v, double of, double by)
{
    return v > of - by && v < of + by;
}

START_TEST(rates)
{
    struct trace *t = make(1, FUNCTIONS, 1000);
    double hourly = 0, minutely = 0, all = 0, often = 0;

    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        const struct trace_function *f = trace_function(t, i);

        if (f->trigger == TRACE_TIMER) /* held below once a minute */
            continue;
        all++;
        hourly += f->rate <= 1.0 / 3600;
        minutely += f->rate <= 1.0 / 60;
        often += f->rate > 1;
    }
    ck_assert(within(hourly / all, 0.45, 0.02));
    ck_assert(within(minutely / all, 0.81, 0.02));
    ck_assert(within(often / all, 0.04, 0.01));
    trace_free(t);
}
END_TEST

START_TEST(durations_and_memory)
{
    struct trace *t = make(2, FUNCTIONS, 1000);
    double below_median = 0, below_second = 0, below_170 = 0, below_400 = 0;

    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        const struct trace_function *f = trace_function(t, i);

        below_median += f->duration < 0.684; /* exp(-0.38) */
        below_second += f->duration < 1;
        below_170 += f->memory < 170;
        below_400 += f->memory < 400;
        ck_assert(f->duration >= 0.001 && f->duration <= 60 && f->memory >= 32 && f->memory <= 4096);
    }
    ck_assert(within(below_median / FUNCTIONS, 0.5, 0.02));
    ck_assert(within(below_second / FUNCTIONS, 0.564, 0.02)); /* normal(0.38 / 2.36) */
    ck_assert(within(below_170 / FUNCTIONS, 0.70, 0.04));     /* 1 - (1 + (170 / lambda)^c)^-k */
    ck_assert(within(below_400 / FUNCTIONS, 0.966, 0.02));
    trace_free(t);
}
END_TEST

/* As many calls as the rates say, in order of time, of the durations that the functions have. */
START_TEST(calls)
{
    struct trace *t = make(3, 300, 0.2);
    uint64_t last = 0, end = 24 * 3600 * NS_PER_S;
    double wanted = 0, had = 0, work = 0, wanted_work = 0;
    struct trace_call k;

    for (uint32_t i = 0; i < 300; i++) {
        const struct trace_function *f = trace_function(t, i);

        wanted += f->rate * 24 * 3600;
        wanted_work += f->rate * 24 * 3600 * f->duration;
    }
    for (trace_next(t, &k); k.at < end; trace_next(t, &k)) {
        if (k.at < last || k.function >= 300) /* an assertion for each would take most of the time */
            ck_abort_msg("function %u at %llu, after %llu", k.function, (unsigned long long)k.at,
                         (unsigned long long)last);
        last = k.at;
        had++;
        work += (double)k.duration / NS_PER_S;
    }
    ck_assert_msg(within(had / wanted, 1, 0.15), "%f calls of %f", had, wanted);
    ck_assert_msg(within(work / wanted_work, 1, 0.2), "%f s of %f", work, wanted_work);
    trace_free(t);
}
END_TEST

START_TEST(a_seed_is_a_trace)
{
    struct trace *a = make(4, 50, 1), *b = make(4, 50, 1), *other = make(5, 50, 1);
    unsigned same = 0;

    for (int i = 0; i < 1000; i++) {
        struct trace_call x, y, z;

        trace_next(a, &x);
        trace_next(b, &y);
        trace_next(other, &z);
        ck_assert(x.at == y.at && x.duration == y.duration && x.function == y.function);
        same += x.at == z.at;
    }
    ck_assert_uint_lt(same, 10);
    trace_free(a);
    trace_free(b);
    trace_free(other);
}
END_TEST

START_TEST(bounds)
{
    struct trace *t;

    ck_assert_int_eq(
        trace_new(&(struct trace_config){.functions = 0, .rate_max = 1, .duration_max = 1}, &t),
        -EINVAL);
    ck_assert_int_eq(
        trace_new(&(struct trace_config){.functions = 4000001, .rate_max = 1, .duration_max = 1}, &t),
        -EINVAL);
    ck_assert_int_eq(
        trace_new(&(struct trace_config){.functions = 1, .rate_max = 0, .duration_max = 1}, &t),
        -EINVAL);
}
END_TEST

UNIT_MAIN("trace", rates, durations_and_memory, calls, a_seed_is_a_trace, bounds)
