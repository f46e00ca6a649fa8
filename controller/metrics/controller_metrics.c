#include "metrics/controller_metrics.h"

typedef double scale_value(const struct scale_sample *s);

static double desired(const struct scale_sample *s)
{
    return s->desired;
}
static double requested(const struct scale_sample *s)
{
    return s->requested;
}
static double actual(const struct scale_sample *s)
{
    return s->actual;
}
static double ready(const struct scale_sample *s)
{
    return s->ready;
}
static double terminating(const struct scale_sample *s)
{
    return s->terminating;
}
static double stable(const struct scale_sample *s)
{
    return s->stable;
}
static double panic(const struct scale_sample *s)
{
    return s->panic;
}
static double target(const struct scale_sample *s)
{
    return s->target;
}
static double stable_rate(const struct scale_sample *s)
{
    return s->stable_rate;
}
static double panic_rate(const struct scale_sample *s)
{
    return s->panic_rate;
}
static double target_rate(const struct scale_sample *s)
{
    return s->target_rate;
}
static double burst(const struct scale_sample *s)
{
    return s->burst;
}
static double panic_mode(const struct scale_sample *s)
{
    return s->panic_mode;
}
static double not_ready(const struct scale_sample *s)
{
    return s->actual - s->ready;
}
static double pending(const struct scale_sample *s)
{
    return s->requested > s->actual ? s->requested - s->actual : 0;
}

static const struct {
    const char *name, *help;
    scale_value *value;
} families[] = {
    {"rouse_autoscaler_desired_instances", "Instances that the autoscaler's metrics want.", desired},
    {"rouse_autoscaler_requested_instances",
     "Instances asked for: after delay, behavior, floors and bounds.", requested},
    {"rouse_autoscaler_actual_instances", "Instances that exist or start.", actual},
    {"rouse_autoscaler_ready_instances", "Instances that serve.", ready},
    {"rouse_autoscaler_not_ready_instances", "Instances that start.", not_ready},
    {"rouse_autoscaler_pending_instances", "Instances asked for that no node has yet.", pending},
    {"rouse_autoscaler_terminating_instances", "Instances that drain or stop.", terminating},
    {"rouse_autoscaler_excess_burst_capacity",
     "Slots of ready instances over the concurrency of the panic window; less than 0: requests wait.",
     burst},
    {"rouse_autoscaler_stable_request_concurrency",
     "Mean concurrency over the stable window, waiting requests included.", stable},
    {"rouse_autoscaler_panic_request_concurrency",
     "Mean concurrency over the panic window, waiting requests included.", panic},
    {"rouse_autoscaler_target_concurrency_per_instance",
     "Concurrency that one instance should have; 0: it is not a metric of the function.", target},
    {"rouse_autoscaler_stable_requests_per_second",
     "Mean requests per second over the stable window; 0 where it is not a metric of the function.",
     stable_rate},
    {"rouse_autoscaler_panic_requests_per_second",
     "Mean requests per second over the panic window; 0 where it is not a metric of the function.",
     panic_rate},
    {"rouse_autoscaler_target_requests_per_second",
     "Requests per second that one instance should have; 0: it is not a metric of the function.",
     target_rate},
    {"rouse_autoscaler_panic_mode", "1 while the autoscaler panics: no scale-down.", panic_mode},
};

void scale_metrics(struct buffer *out, const struct scale_sample *s, size_t n)
{
    if (n > SCALE_SAMPLES_MAX)
        n = SCALE_SAMPLES_MAX;
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        metrics_family(out, families[f].name, "gauge", families[f].help);
        for (size_t i = 0; i < n; i++)
            metrics_sample(out, families[f].name, families[f].value(&s[i]), "namespace", s[i].ns,
                           "function", s[i].function, "revision", s[i].revision, NULL);
    }
}

void rule_metrics(struct buffer *out, const struct rule_sample *s, size_t n)
{
    static const char wish[] = "rouse_autoscaler_wish_instances";
    static const char rule[] = "rouse_autoscaler_rule_instances";
    static const char reason[] = "rouse_autoscaler_reason";

    if (n > SCALE_SAMPLES_MAX)
        n = SCALE_SAMPLES_MAX;
    metrics_family(out, wish, "gauge", "Instances that each metric wants; the largest counts.");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].wish_count; k++)
            metrics_sample(out, wish, s[i].wishes[k].instances, "namespace", s[i].ns, "function",
                           s[i].function, "metric", s[i].wishes[k].name, NULL);
    metrics_family(out, rule, "gauge",
                   "Instances of the last decision: before it, and after each of its rules in their "
                   "order: metrics, idle, delay, behavior, floors, max.");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].rule_count; k++)
            metrics_sample(out, rule, s[i].rules[k].instances, "namespace", s[i].ns, "function",
                           s[i].function, "rule", s[i].rules[k].name, NULL);
    metrics_family(out, reason, "gauge",
                   "1: what had the last word in the last change of instances.");
    for (size_t i = 0; i < n; i++)
        if (s[i].reason)
            metrics_sample(out, reason, 1, "namespace", s[i].ns, "function", s[i].function,
                           "reason", s[i].reason, NULL);
}

void crash_metrics(struct buffer *out, const struct crash_sample *s, size_t n)
{
    static const char name[] = "rouse_function_crash_loop";

    if (n > SCALE_SAMPLES_MAX)
        n = SCALE_SAMPLES_MAX;
    metrics_family(out, name, "gauge",
                   "1: the function's instances fail and it waits for the next try.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(out, name, 1, "namespace", s[i].ns, "function", s[i].function, "reason",
                       s[i].reason, NULL);
}

void reading_metrics(struct buffer *out, const struct reading_sample *s, size_t n)
{
    static const char name[] = "rouse_autoscaler_readings_cut_total";

    metrics_family(out, name, "counter",
                   "What agents said that an instance uses, above what its node has: cut to that.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(out, name, (double)s[i].cut, "metric", s[i].metric, NULL);
}

void placement_metrics(struct buffer *out, const struct placement_sample *s, size_t n)
{
    static const char name[] = "rouse_scheduler_placements_total";

    metrics_family(out, name, "counter",
                   "Instances that were to be placed: Placed, or why no node was found.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(out, name, (double)s[i].count, "outcome", s[i].outcome, NULL);
}

void decision_metrics(struct buffer *out, const struct decision_sample *s, size_t n)
{
    metrics_family(out, "rouse_autoscaler_decisions_total", "counter",
                   "Changes of the requested instances, by what had the last word.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(out, "rouse_autoscaler_decisions_total", (double)s[i].count, "reason",
                       s[i].reason, NULL);
}

void activator_metrics(struct buffer *out, const struct activator_sample *s)
{
    metrics_family(out, "rouse_activator_tickets", "gauge", "Requests that wait for a slot.");
    metrics_sample(out, "rouse_activator_tickets", (double)s->tickets, NULL);
    metrics_family(out, "rouse_activator_held_bytes", "gauge",
                   "Bytes that entries hold for waiting requests.");
    metrics_sample(out, "rouse_activator_held_bytes", (double)s->held_bytes, NULL);
    metrics_family(out, "rouse_activator_tickets_limit", "gauge",
                   "So many requests may wait, of all functions together.");
    metrics_sample(out, "rouse_activator_tickets_limit", (double)s->tickets_limit, NULL);
    metrics_family(out, "rouse_activator_held_bytes_limit", "gauge",
                   "So many bytes may be held for them.");
    metrics_sample(out, "rouse_activator_held_bytes_limit", (double)s->held_limit, NULL);
    metrics_family(out, "rouse_activator_wait_seconds", "histogram",
                   "How long granted requests waited for a slot.");
    metrics_histogram(out, "rouse_activator_wait_seconds", s->wait, NULL);
    metrics_family(out, "rouse_activator_refused_total", "counter",
                   "Requests refused by the activator.");
    for (size_t i = 0; i < s->refused_count; i++)
        metrics_sample(out, "rouse_activator_refused_total", (double)s->refused[i].count, "reason",
                       s->refused[i].reason, NULL);
}

void node_metrics(struct buffer *out, const struct node_sample *s, size_t n, bool halted)
{
    metrics_family(out, "rouse_nodes", "gauge", "Nodes by state.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(out, "rouse_nodes", (double)s[i].count, "state", s[i].state, NULL);
    metrics_family(out, "rouse_nodes_halted", "gauge",
                   "1 while so many nodes are silent that nothing is scaled down or replaced.");
    metrics_sample(out, "rouse_nodes_halted", halted, NULL);
}
