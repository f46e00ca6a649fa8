#include "simulate/trace_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { FUNCTIONS_MAX = 4000000, MEMORY_MIN = 32, MEMORY_MAX = 4096 };
#define DAY 86400.0
/* A burst is so many calls, on average, that come a second apart. */
#define BURST_CALLS 20.0
#define BURST_GAP   1.0
/* How far the day's wave goes above and below the average. */
#define WAVE 0.4
/* A call's duration around its function's average. */
#define CALL_SIGMA 0.5

/* Calls a day, as the share of functions that are called at most so often: between these points the logarithm of
 * the rate is uniform. */
static const struct {
    double share, per_day;
} rates[] = {{0, 0.5}, {0.15, 1}, {0.45, 24}, {0.81, 1440}, {0.96, 86400}, {1, 8640000}};

static const struct {
    double share; /* of functions, summed up */
    enum trace_trigger trigger;
} triggers[] = {{0.55, TRACE_HTTP},          {0.70, TRACE_QUEUE}, {0.86, TRACE_TIMER},
                {0.93, TRACE_ORCHESTRATION}, {0.95, TRACE_EVENT}, {1, TRACE_OTHER}};

static double draw_rate(struct draw *d)
{
    double u = draw_uniform(d), along;
    size_t i = 1;

    while (u > rates[i].share)
        i++;
    along = (u - rates[i - 1].share) / (rates[i].share - rates[i - 1].share);
    return rates[i - 1].per_day * pow(rates[i].per_day / rates[i - 1].per_day, along) / DAY;
}

static enum trace_trigger draw_trigger(struct draw *d)
{
    double u = draw_uniform(d);
    size_t i = 0;

    while (u > triggers[i].share)
        i++;
    return triggers[i].trigger;
}

static double within(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

void trace_describe(struct trace *t, const struct trace_config *c, struct trace_function *f)
{
    f->trigger = draw_trigger(&t->draw);
    f->rate = within(draw_rate(&t->draw), 0, c->rate_max);
    if (f->trigger == TRACE_TIMER) /* none of them runs more often than once a minute */
        f->rate = within(f->rate, 0, 1.0 / 60);
    f->duration = within(draw_lognormal(&t->draw, -0.38, 2.36), 0.001, c->duration_max);
    f->memory = (uint32_t)within(draw_burr(&t->draw, 11.652, 0.221, 107.083), MEMORY_MIN, MEMORY_MAX);
}

static bool bursts(const struct trace_function *f)
{
    return f->trigger == TRACE_QUEUE || f->trigger == TRACE_EVENT ||
           f->trigger == TRACE_ORCHESTRATION;
}

/* Seconds to the next call. The wave is the rate's at the time of the call before: days are long. */
static double gap(struct trace *t, struct source *s, uint64_t now)
{
    const struct trace_function *f = &s->f;

    if (f->trigger == TRACE_TIMER)
        return 1 / f->rate;
    if (bursts(f)) {
        if (s->left) {
            s->left--;
            return draw_exponential(&t->draw, within(BURST_GAP, 0, 1 / f->rate));
        }
        s->left = (uint32_t)draw_exponential(&t->draw, BURST_CALLS);
        return draw_exponential(&t->draw, (s->left + 1) / f->rate);
    }
    return draw_exponential(&t->draw, 1 / f->rate) /
           (1 + WAVE * sin(2 * M_PI * (double)now / NS_PER_S / DAY));
}

static uint64_t nanoseconds(double seconds)
{
    return seconds < 1e9 ? (uint64_t)(seconds * NS_PER_S) : UINT64_MAX / 4;
}

static void plan(struct trace *t, uint32_t i, uint64_t now, double seconds)
{
    events_put(&t->events, now + nanoseconds(seconds), 0, NULL, i);
}

int trace_new(const struct trace_config *c, struct trace **ret)
{
    struct trace *t;

    if (!c->functions || c->functions > FUNCTIONS_MAX || !(c->rate_max > 0) || !(c->duration_max > 0))
        return -EINVAL;
    t = calloc(1, sizeof(*t));
    if (t)
        t->sources = calloc(c->functions, sizeof(*t->sources));
    if (!t || !t->sources) {
        free(t);
        return -ENOMEM;
    }
    t->draw.state = c->seed;
    t->count = c->functions;
    for (uint32_t i = 0; i < t->count; i++) {
        struct trace_function *f = &t->sources[i].f;

        trace_describe(t, c, f);
        /* The trace looks into a life that goes on: the first call comes after a part of a gap. */
        plan(t, i, 0,
             draw_uniform(&t->draw) *
                 (f->trigger == TRACE_TIMER ? 1 / f->rate : gap(t, &t->sources[i], 0)));
    }
    *ret = t;
    return 0;
}

struct trace *trace_free(struct trace *t)
{
    if (!t)
        return NULL;
    events_done(&t->events);
    if (t->recorded) {
        free(t->recorded->counts);
        free(t->recorded->percentiles);
    }
    free(t->recorded);
    free(t->sources);
    free(t);
    return NULL;
}

uint32_t trace_functions(const struct trace *t)
{
    return t->count;
}

const struct trace_function *trace_function(const struct trace *t, uint32_t i)
{
    return &t->sources[i].f;
}

/* ---- recorded */

#define MINUTE_NS (60 * NS_PER_S)

/* A minute's calls, when the last ones' have come. */
static void plan_minute(struct trace *t)
{
    struct recorded *r = t->recorded;
    uint64_t begin = r->next * MINUTE_NS;

    for (size_t k = r->minute[r->next]; k < r->minute[r->next + 1]; k++) {
        const struct count *c = &r->counts[k];
        bool even = t->sources[c->function].f.trigger == TRACE_TIMER;

        for (uint32_t n = 0; n < c->calls; n++) {
            double at = even ? (double)n / c->calls : draw_uniform(&t->draw);

            events_put(&t->events, begin + (uint64_t)(at * MINUTE_NS), 0, NULL, c->function);
        }
    }
    r->next++;
}

static double between_percentiles(struct trace *t, const float *p)
{
    static const double shares[TRACE_PERCENTILES] = {0, 0.01, 0.25, 0.5, 0.75, 0.99, 1};
    double u = draw_uniform(&t->draw);
    size_t i = 1;

    while (u > shares[i])
        i++;
    return ((double)p[i - 1] +
            (u - shares[i - 1]) / (shares[i] - shares[i - 1]) * ((double)p[i] - (double)p[i - 1])) /
           1000;
}

static double duration_of(struct trace *t, uint32_t i)
{
    /* So that the mean of the log-normal is the function's average. */
    double mu = log(t->sources[i].f.duration) - CALL_SIGMA * CALL_SIGMA / 2;

    if (t->recorded && t->recorded->percentiles && t->recorded->percentiles[i][0] >= 0)
        return between_percentiles(t, t->recorded->percentiles[i]);
    return draw_lognormal(&t->draw, mu, CALL_SIGMA);
}

void trace_next(struct trace *t, struct trace_call *ret)
{
    struct event e;
    uint32_t i;

    while (t->recorded && !t->events.count && t->recorded->next < TRACE_MINUTES)
        plan_minute(t);
    if (!t->events.count) {
        *ret = (struct trace_call){.at = TRACE_NEVER};
        return;
    }
    e = events_pop(&t->events);
    i = (uint32_t)e.extra;
    *ret = (struct trace_call){.at = e.at, .function = i, .duration = nanoseconds(duration_of(t, i))};
    if (!t->recorded)
        plan(t, i, e.at, gap(t, &t->sources[i], e.at));
}
