#include "simulate/rules.h"
#include "autoscaler/autoscaler.h"
#include "base/clock.h"
#include "flow/window.h"
#include "simulate/cluster.h"
#include "simulate/draw.h"
#include "simulate/events.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define KEEPALIVE_NS  (600 * NS_PER_S)
#define GRACE_NS      (30 * NS_PER_S)
#define HPA_TARGET    0.7
#define HPA_TOLERANCE 0.1
enum { KNATIVE_TICK = 2, HPA_TICK = 15, HPA_STABLE = 300 / HPA_TICK, INSTANCES_MAX = 1000 };

struct unit {                         /* an instance */
    uint64_t created, ready, free_at; /* free_at: when it can begin what comes next */
    uint64_t busy;
};
struct subject { /* a function */
    struct unit *units;
    size_t count, capacity;
    struct events running; /* ends of calls */
    uint64_t second;       /* the next one's begin */
    uint64_t counted_at;
    double area; /* calls x ns in this second */
    struct window *window;
    struct kpa_state state;
    uint64_t last_active;
    double hpa_area;
    uint32_t down[HPA_STABLE]; /* recommendations */
    size_t down_at;
};
struct run {
    struct rule_config config;
    const struct trace *trace;
    struct draw draw;
    struct outcome *out;
};

static const char *const names[RULE_COUNT] = {"knative", "hpa", "keepalive"};

const char *rule_name(enum rule r)
{
    return names[r];
}

/* ---- instances */

static struct unit *unit_start(struct run *r, struct subject *s, uint64_t now)
{
    struct unit *u;

    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 4;
        s->units = realloc(s->units, s->capacity * sizeof(*u));
        if (!s->units)
            abort();
    }
    u = &s->units[s->count++];
    *u = (struct unit){.created = now};
    u->ready = u->free_at = now + cluster_start_time(&r->draw, r->config.start, r->config.init);
    outcome_start(r->out);
    return u;
}

static void unit_end(struct run *r, struct subject *s, struct unit *u, uint32_t memory, uint64_t now)
{
    outcome_end(r->out, memory, u->created, now, u->busy);
    *u = s->units[--s->count];
}

/* Idle ones only, the last made first. */
static void resize(struct run *r, struct subject *s, uint32_t memory, uint32_t wanted, uint64_t now)
{
    while (s->count < wanted)
        unit_start(r, s, now);
    for (size_t k = s->count; k-- > 0 && s->count > wanted;)
        if (s->units[k].free_at <= now)
            unit_end(r, s, &s->units[k], memory, now);
}

/* ---- ticks */

static void knative(struct run *r, struct subject *s, uint32_t memory, uint64_t now)
{
    const struct autoscaler_config *c = &autoscaler_defaults;
    struct kpa_input in = {.target = r->config.concurrency * c->utilization,
                           .stable_seconds = c->stable_seconds};
    uint32_t wanted;

    in.stable = window_average(s->window, now - 1, c->stable_seconds);
    in.panic = window_average(s->window, now - 1, c->panic_seconds);
    for (size_t k = 0; k < s->count; k++)
        in.ready += s->units[k].ready <= now;
    wanted = kpa_decide(&c->kpa, &in, now, &s->state);
    if (!s->running.count && now - s->last_active >= c->stable_seconds * NS_PER_S + GRACE_NS)
        wanted = 0;
    else if (!wanted)
        wanted = 1;
    resize(r, s, memory, wanted < INSTANCES_MAX ? wanted : INSTANCES_MAX, now);
}

static void hpa(struct run *r, struct subject *s, uint32_t memory, uint64_t now)
{
    double usage = s->hpa_area / HPA_TICK, have = (double)s->count;
    double ratio = usage / r->config.concurrency / HPA_TARGET / (have > 0 ? have : 1);
    double wanted = fabs(1 - ratio) <= HPA_TOLERANCE ? have : ceil(have * ratio);
    uint32_t most = 1;

    s->hpa_area = 0;
    wanted = fmin(wanted, fmax(2 * have, have + 4));
    s->down[s->down_at++ % HPA_STABLE] = (uint32_t)fmax(1, fmin(wanted, INSTANCES_MAX));
    for (size_t k = 0; k < HPA_STABLE; k++)
        most = s->down[k] > most ? s->down[k] : most;
    resize(r, s, memory, most, now);
}

static void keepalive(struct run *r, struct subject *s, uint32_t memory, uint64_t now)
{
    for (size_t k = s->count; k-- > 0;)
        if (s->units[k].free_at + KEEPALIVE_NS <= now)
            unit_end(r, s, &s->units[k], memory, s->units[k].free_at + KEEPALIVE_NS);
}

static void tick(struct run *r, struct subject *s, uint32_t memory, uint64_t now)
{
    uint64_t seconds = now / NS_PER_S;

    if (r->config.rule == RULE_KNATIVE && seconds % KNATIVE_TICK == 0)
        knative(r, s, memory, now);
    if (r->config.rule == RULE_HPA && seconds % HPA_TICK == 0)
        hpa(r, s, memory, now);
    if (r->config.rule == RULE_KEEPALIVE)
        keepalive(r, s, memory, now);
}

/* ---- time */

static void count(struct subject *s, uint64_t to)
{
    s->area += (double)s->running.count * (double)(to - s->counted_at);
    s->counted_at = to;
}

/* Nothing is there and nothing runs, or, of what has no zero, nothing would change: no second of it is worth a look. */
static bool dormant(const struct run *r, const struct subject *s)
{
    if (s->running.count)
        return false;
    if (r->config.rule != RULE_HPA)
        return !s->count;
    for (size_t k = 0; k < HPA_STABLE; k++)
        if (s->down[k] > 1)
            return false;
    return s->count <= 1 && s->hpa_area <= 0 && s->area <= 0;
}

static void advance(struct run *r, struct subject *s, uint32_t memory, uint64_t to)
{
    while (s->second <= to && !dormant(r, s)) {
        uint64_t done;

        while (events_first(&s->running, &done) && done <= s->second) {
            count(s, done);
            s->last_active = done;
            events_pop(&s->running);
        }
        count(s, s->second);
        if (s->window)
            window_record(s->window, s->second - 1, s->area / NS_PER_S);
        s->hpa_area += s->area / NS_PER_S;
        s->area = 0;
        tick(r, s, memory, s->second);
        s->second += NS_PER_S;
    }
    if (s->second <= to) {
        s->second = (to / NS_PER_S + 1) * NS_PER_S;
        s->counted_at = to;
    }
    for (uint64_t done; events_first(&s->running, &done) && done <= to;) {
        count(s, done);
        s->last_active = done;
        events_pop(&s->running);
    }
    count(s, to);
}

/* ---- calls */

static struct unit *soonest(struct subject *s)
{
    struct unit *best = NULL;

    for (size_t k = 0; k < s->count; k++)
        if (!best || s->units[k].free_at < best->free_at)
            best = &s->units[k];
    return best;
}

static bool nothing_is_ready(const struct subject *s, uint64_t now)
{
    for (size_t k = 0; k < s->count; k++)
        if (s->units[k].ready <= now)
            return false;
    return true;
}

/* `concurrency` calls share an instance's time evenly here, which is all that its numbers need. */
static void call(struct run *r, struct subject *s, const struct trace_call *t)
{
    struct unit *u = soonest(s);
    bool cold = nothing_is_ready(s, t->at);
    uint64_t took = t->duration / r->config.concurrency, begin;

    if (!u || (r->config.rule == RULE_KEEPALIVE && u->free_at > t->at && s->count < INSTANCES_MAX))
        u = unit_start(r, s, t->at);
    begin = u->free_at > t->at ? u->free_at : t->at;
    if (begin - t->at > RULE_PATIENCE_NS) {
        r->out->refused++;
        s->last_active = t->at;
        events_put(&s->running, t->at + RULE_PATIENCE_NS, 0, NULL, 0); /* so long it was seen to wait */
        return;
    }
    outcome_began(r->out, begin - t->at, cold);
    u->free_at = begin + took;
    u->busy += took;
    s->last_active = t->at;
    events_put(&s->running, u->free_at, 0, NULL, 0);
}

int rule_run(const struct rule_config *config, struct trace *t, struct outcome *ret)
{
    struct run r = {.config = *config, .trace = t, .draw = {config->seed}, .out = ret};
    struct subject *all = calloc(config->functions, sizeof(*all));
    struct trace_call next;
    int e = all ? 0 : -ENOMEM;

    *ret = (struct outcome){0};
    outcome_begin(ret, config->end);
    for (uint32_t i = 0; e == 0 && i < config->functions; i++) {
        all[i].second = NS_PER_S;
        if (config->rule == RULE_HPA)
            resize(&r, &all[i], trace_function(t, i)->memory, 1, 0);
    }
    for (trace_next(t, &next); e == 0 && next.at < config->end; trace_next(t, &next)) {
        struct subject *s = &all[next.function];

        /* Of most functions a long trace calls few. */
        if (config->rule == RULE_KNATIVE && !s->window)
            e = window_new(autoscaler_defaults.stable_seconds, &s->window);
        if (e < 0)
            break;
        advance(&r, s, trace_function(t, next.function)->memory, next.at);
        call(&r, s, &next);
    }
    for (uint32_t i = 0; all && i < config->functions; i++) {
        uint32_t memory = trace_function(t, i)->memory;

        advance(&r, &all[i], memory, config->end - 1);
        while (all[i].count)
            unit_end(&r, &all[i], all[i].units, memory, config->end);
        events_done(&all[i].running);
        window_free(all[i].window);
        free(all[i].units);
    }
    free(all);
    outcome_close(ret);
    return e;
}
