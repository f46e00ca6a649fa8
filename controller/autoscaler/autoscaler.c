#include "autoscaler/autoscaler.h"
#include "autoscaler/numbers.h"
#include "base/clock.h"
#include "flow/window.h"

#include <stdlib.h>
#include <string.h>

#define SETTLE_NS (10 * NS_PER_S) /* so long after a request nothing is predicted */
#define KEEP_NS                                                                                    \
    (20 * NS_PER_S) /* what a poke asked for: its load is not yet in the windows, and comes again */

const struct autoscaler_config autoscaler_defaults = {
    .stable_seconds = 60,
    .panic_seconds = 6,
    .resource_seconds = 15,
    .utilization = 0.7,
    .kpa = {.max_scale_up_rate = 1000, .max_scale_down_rate = 2, .panic_threshold = 2.0},
};

struct autoscaler {
    uint32_t stable_seconds, panic_seconds;
    bool exponential;
    struct window *windows[METRIC_LOADS]; /* concurrency, requests; NULL: not asked for */
    struct kpa_state kpa[METRIC_LOADS];
    struct extremes *delay;          /* NULL: none */
    struct behavior_state *behavior; /* NULL: none */
    struct behavior rules;           /* of `behavior` */
    uint64_t minute;                 /* `provisioned` is of this minute of the wall clock */
    uint32_t provisioned;
    uint32_t last;  /* requested last */
    uint32_t poked; /* by the last poke for more, at poked_at */
    uint64_t poked_at;
};

const char *autoscaler_reason_name(enum autoscaler_reason r)
{
    static const char *const names[REASON_COUNT] = {"Concurrency",   "RequestsPerSecond",
                                                    "CPU",           "Memory",
                                                    "External",      "Custom",
                                                    "MetricMissing", "Idle",
                                                    "Active",        "Predicted",
                                                    "Delayed",       "Stabilized",
                                                    "RateLimited",   "Activation",
                                                    "Initial",       "Provisioned",
                                                    "MinReached",    "MaxReached",
                                                    "Waiting",       "CrashLoop",
                                                    "MadeRoom",      "Adopted"};

    return names[r];
}

const char *autoscaler_rule_name(enum autoscaler_rule r)
{
    static const char *const names[AUTOSCALER_RULES] = {"metrics",  "idle",   "delay",
                                                        "behavior", "floors", "max"};

    return names[r];
}

/* ---- life */

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static bool asks_for(const struct autoscaler_spec *s, enum autoscaler_metric_kind kind)
{
    for (size_t i = 0; i < s->metric_count; i++)
        if (s->metrics[i].kind == kind)
            return true;
    return false;
}

static bool goes_by_hpa(const struct autoscaler_spec *s)
{
    for (size_t i = 0; i < s->metric_count; i++)
        if (s->metrics[i].kind >= METRIC_LOADS)
            return true;
    return false;
}

static void want_window(struct window **w, bool wanted, bool same_size, uint32_t seconds)
{
    if (!wanted || !same_size)
        *w = window_free(*w);
    if (wanted && !*w && window_new(seconds, w) < 0)
        abort();
}

static void want_delay(struct autoscaler *a, const struct autoscaler_spec *s)
{
    if (a->delay && a->delay->window_ns != s->delay_ns / NS_PER_S * NS_PER_S) {
        free(a->delay);
        a->delay = NULL;
    }
    if (s->delay_ns >= NS_PER_S && !a->delay) {
        a->delay = must(malloc(sizeof(*a->delay)));
        extremes_init(a->delay, (uint32_t)(s->delay_ns / NS_PER_S));
    }
}

static void want_behavior(struct autoscaler *a, const struct autoscaler_spec *s)
{
    const struct behavior *rules = s->behavior      ? s->behavior
                                   : goes_by_hpa(s) ? &behavior_defaults
                                                    : NULL;

    if (!rules) {
        free(a->behavior);
        a->behavior = NULL;
        return;
    }
    a->rules = *rules;
    if (a->behavior) {
        behavior_respec(a->behavior, rules);
    } else {
        a->behavior = must(malloc(sizeof(*a->behavior)));
        behavior_init(a->behavior, rules);
    }
}

void autoscaler_respec(struct autoscaler *a, const struct autoscaler_config *c,
                       const struct autoscaler_spec *s)
{
    uint32_t stable = s->stable_seconds ? s->stable_seconds : c->stable_seconds;
    uint32_t panic = s->panic_seconds    ? s->panic_seconds
                     : s->stable_seconds ? (s->stable_seconds + 9) / 10
                                         : c->panic_seconds;
    bool same = stable == a->stable_seconds;

    a->stable_seconds = stable;
    a->panic_seconds = panic < stable ? panic : stable;
    a->exponential = s->exponential;
    want_window(&a->windows[METRIC_CONCURRENCY], true, same, stable);
    want_window(&a->windows[METRIC_REQUESTS], asks_for(s, METRIC_REQUESTS), same, stable);
    want_delay(a, s);
    want_behavior(a, s);
    a->minute = 0;
}

struct autoscaler *autoscaler_new(const struct autoscaler_config *c, const struct autoscaler_spec *s)
{
    struct autoscaler *a = must(calloc(1, sizeof(*a)));

    autoscaler_respec(a, c, s);
    return a;
}

struct autoscaler *autoscaler_free(struct autoscaler *a)
{
    if (!a)
        return NULL;
    for (int i = 0; i < METRIC_LOADS; i++)
        window_free(a->windows[i]);
    free(a->delay);
    free(a->behavior);
    free(a);
    return NULL;
}

/* ---- observation */

void autoscaler_observe(struct autoscaler *a, uint64_t now_ns, const struct autoscaler_observation *o)
{
    const double values[METRIC_LOADS] = {o->concurrency, o->requests};

    for (int i = 0; i < METRIC_LOADS; i++)
        if (a->windows[i])
            window_record(a->windows[i], now_ns, values[i]);
}

static double mean(const struct autoscaler *a, enum autoscaler_metric_kind kind, uint64_t now_ns,
                   uint32_t seconds)
{
    double v = !a->windows[kind] ? 0
               : a->exponential  ? window_weighted(a->windows[kind], now_ns, seconds)
                                 : window_average(a->windows[kind], now_ns, seconds);

    return v > 0 ? v : 0;
}

double autoscaler_panic_load(const struct autoscaler *a, uint64_t now_ns)
{
    return mean(a, METRIC_CONCURRENCY, now_ns, a->panic_seconds);
}

void autoscaler_adopt(struct autoscaler *a, uint32_t ready, uint64_t now_ns)
{
    for (int i = 0; i < METRIC_LOADS; i++)
        kpa_adopt(&a->kpa[i], ready, now_ns);
}

/* ---- what the metrics want */

struct wishes {
    uint32_t load, resources; /* the largest of those by kpa.h, and by hpa.h */
    bool missing;             /* one of them is not known */
    bool outside;             /* something outside wants instances, whether or not requests come */
    enum autoscaler_reason load_reason, resources_reason;
};

static void by_load(struct autoscaler *a, const struct autoscaler_config *c,
                    const struct autoscaler_input *in, enum autoscaler_metric_kind kind,
                    double target, uint64_t now_ns, struct wishes *w, struct autoscaler_decision *d)
{
    struct kpa_input k = {.target = target,
                          .stable = mean(a, kind, now_ns, a->stable_seconds),
                          .panic = mean(a, kind, now_ns, a->panic_seconds),
                          .ready = in->ready,
                          .stable_seconds = a->stable_seconds};
    uint32_t n = kpa_decide(&c->kpa, &k, now_ns, &a->kpa[kind]);

    d->loads[kind] = (struct autoscaler_load){target, k.stable, k.panic};
    d->panic = d->panic || a->kpa[kind].panic_since_ns;
    d->wishes[kind] = n;
    if (n < w->load)
        return;
    w->load = n;
    w->load_reason = (enum autoscaler_reason)kind;
}

static void by_resource(const struct autoscaler *a, const struct autoscaler_input *in,
                        const struct autoscaler_metric *m, size_t at, struct wishes *w,
                        struct autoscaler_decision *d)
{
    const struct hpa_tolerance t = {a->rules.up.tolerance, a->rules.down.tolerance};
    uint32_t n;

    if (m->kind == METRIC_EXTERNAL) {
        if (!in->external || !in->external[at].known) {
            w->missing = true;
            w->outside = w->outside || in->current;
            return;
        }
        n = hpa_of_outside(&m->of, in->external[at].value, in->ready, in->current, &t);
        w->outside = w->outside || (n && in->external[at].value > 0);
    } else {
        struct hpa_sample s = in->instances ? in->instances[at] : (struct hpa_sample){0};

        if (hpa_of_instances(&m->of, &s, in->current, &t, &n) < 0) {
            w->missing = true;
            return;
        }
    }
    if (d->wishes[m->kind] < n)
        d->wishes[m->kind] = n;
    if (n < w->resources)
        return;
    w->resources = n;
    w->resources_reason = (enum autoscaler_reason)m->kind;
}

static struct wishes ask(struct autoscaler *a, const struct autoscaler_config *c,
                         const struct autoscaler_spec *s, const struct autoscaler_input *in,
                         uint64_t now_ns, struct autoscaler_decision *d)
{
    struct wishes w = {0};

    if (!s->metric_count)
        by_load(a, c, in, METRIC_CONCURRENCY, in->concurrency * c->utilization, now_ns, &w, d);
    for (size_t i = 0; i < s->metric_count; i++) {
        const struct autoscaler_metric *m = &s->metrics[i];

        if (m->kind < METRIC_LOADS)
            by_load(a, c, in, m->kind, m->of.value, now_ns, &w, d);
        else
            by_resource(a, in, m, i, &w, d);
    }
    if (w.missing && w.resources < in->current) { /* what is not known takes nothing away */
        w.resources = in->current;
        w.resources_reason = REASON_MISSING;
    }
    return w;
}

/* ---- from there to the number */

struct number {
    uint32_t n;
    enum autoscaler_reason reason;
};

static void at_least(struct number *to, uint32_t n, enum autoscaler_reason why)
{
    if (to->n < n)
        *to = (struct number){n, why};
}

static bool asleep(const struct autoscaler_spec *s, const struct autoscaler_input *in,
                   const struct wishes *w, uint64_t now_ns)
{
    uint64_t idle = now_ns > in->last_active_ns ? now_ns - in->last_active_ns : 0;
    uint64_t settle = s->idle_timeout_ns < SETTLE_NS ? s->idle_timeout_ns : SETTLE_NS;

    if (in->waiting || in->running || w->outside)
        return false;
    return in->plan.known ? !idle_plan_awake(&in->plan, idle, settle) : idle >= s->idle_timeout_ns;
}

static void behave(struct autoscaler *a, const struct autoscaler_input *in, uint64_t now_ns,
                   struct number *to)
{
    struct behavior_result r;

    behavior_note(a->behavior, now_ns, in->current);
    if (to->reason == REASON_MISSING) /* it stays as it is, and nobody recommended that */
        return;
    r = behavior_apply(&a->rules, a->behavior, now_ns, in->current, to->n);
    if (r.wanted == to->n)
        return;
    *to = (struct number){r.wanted, r.limited ? REASON_LIMITED : REASON_STABILIZED};
}

static void delay(struct autoscaler *a, const struct autoscaler_input *in, uint64_t now_ns,
                  struct number *to)
{
    if (!a->delay)
        return;
    if (in->current > a->last) /* woken meanwhile, or there before us */
        extremes_record(a->delay, now_ns, in->current);
    extremes_record(a->delay, now_ns, to->n);
    at_least(to, extremes_high(a->delay, now_ns, to->n), REASON_DELAYED);
}

static uint32_t provisioned(struct autoscaler *a, const struct autoscaler_spec *s, uint64_t epoch_s)
{
    if (!s->provisioned_count || !epoch_s)
        return 0;
    if (a->minute != epoch_s / 60) {
        a->minute = epoch_s / 60;
        a->provisioned = schedule_min(s->provisioned, s->provisioned_count, epoch_s);
    }
    return a->provisioned;
}

static void floors(struct autoscaler *a, const struct autoscaler_spec *s,
                   const struct autoscaler_input *in, struct number *to)
{
    if (to->n)
        at_least(to, s->activation, REASON_ACTIVATION);
    at_least(to, in->initial, REASON_INITIAL);
    at_least(to, provisioned(a, s, in->epoch_s), REASON_PROVISIONED);
    at_least(to, s->min, REASON_MIN);
}

void autoscaler_decide(struct autoscaler *a, const struct autoscaler_config *c,
                       const struct autoscaler_spec *s, const struct autoscaler_input *in,
                       uint64_t now_ns, struct autoscaler_decision *ret)
{
    struct autoscaler_decision d = {.at_ns = now_ns, .before = in->current};
    struct wishes w = ask(a, c, s, in, now_ns, &d);
    struct number resources = {w.resources, w.resources_reason}, to = {w.load, w.load_reason};

    if (a->behavior && !s->behavior)
        behave(a, in, now_ns, &resources);
    at_least(&to, resources.n, resources.reason);
    if (!to.n && goes_by_hpa(s))
        to.reason = resources.reason;
    d.after[RULE_METRICS] = to.n;
    if (asleep(s, in, &w, now_ns)) {
        to = (struct number){0, REASON_IDLE};
        memset(a->kpa, 0, sizeof(a->kpa));
        d.panic = false;
    } else if (in->current || in->waiting || in->running) {
        at_least(&to, 1, REASON_ACTIVE);
    } else if (in->plan.known && in->plan.wake_ns) {
        at_least(&to, 1, REASON_PREDICTED);
    }
    d.desired = d.after[RULE_IDLE] = to.n;
    delay(a, in, now_ns, &to);
    if (to.n && a->poked && now_ns - a->poked_at < KEEP_NS)
        at_least(&to, a->poked, REASON_WAITING);
    d.after[RULE_DELAY] = to.n;
    if (a->behavior && s->behavior) {
        if (in->current > a->last) /* woken meanwhile: not to be taken back at once */
            extremes_record(&a->behavior->down, now_ns, in->current);
        behave(a, in, now_ns, &to);
    }
    d.after[RULE_BEHAVIOR] = to.n;
    floors(a, s, in, &to);
    d.after[RULE_FLOORS] = to.n;
    if (to.n > s->max)
        to = (struct number){s->max, REASON_MAX};
    d.after[RULE_MAX] = to.n;
    if (a->behavior)
        behavior_note(a->behavior, now_ns, to.n);
    a->last = d.requested = to.n;
    d.reason = to.reason;
    *ret = d;
}

uint32_t autoscaler_poke(struct autoscaler *a, const struct autoscaler_config *c,
                         const struct autoscaler_spec *s, const struct autoscaler_input *in,
                         uint64_t now_ns)
{
    struct crowd crowd = in->crowd;
    uint32_t least = s->activation ? s->activation : 1, have = crowd.serving + crowd.starting;
    uint32_t more, want;

    crowd.waiting = in->waiting;
    crowd.concurrency = in->concurrency ? in->concurrency : 1;
    more = crowd_more(&crowd);
    want = within(more ? (double)have + more : in->current, least,
                  c->kpa.max_scale_up_rate * (crowd.serving ? crowd.serving : 1));

    if (s->behavior && a->behavior) {
        uint32_t most;

        behavior_note(a->behavior, now_ns, in->current);
        most = behavior_ceiling(&a->rules, a->behavior, now_ns, in->current);
        most = most > least ? most : least;
        want = want < most ? want : most;
    }
    want = within(want, s->min, s->max);
    if (want > have) {
        a->poked = want;
        a->poked_at = now_ns;
    }
    return want;
}
