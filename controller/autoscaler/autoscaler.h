/* autoscaler.h - how many instances a function should have: all of its metrics, the largest wins,
 * then delay, behavior, floors and bounds.
 *
 * Pure: observations, spec and now go in, a decision comes out; what it must
 * remember is a struct autoscaler, which a function has while it is awake.
 * Concurrency (what runs, counted by the owners of the slots, plus what waits,
 * counted by the activator) and requests per second go by kpa.h, cpu, memory,
 * what is outside and what the function reports by hpa.h. Zero is the platform's own: a function goes
 * there after idleTimeout without a request, and until then keeps one
 * instance. */
#pragma once
#include "autoscaler/behavior.h"
#include "autoscaler/crowd.h"
#include "autoscaler/histogram.h"
#include "autoscaler/hpa.h"
#include "autoscaler/kpa.h"
#include "autoscaler/schedule.h"
#include <stddef.h>

struct autoscaler_config {     /* the platform's */
    uint32_t stable_seconds;   /* 60 */
    uint32_t panic_seconds;    /* 6 */
    uint32_t resource_seconds; /* 15: cpu is the mean over these; who is ready for less is not yet
                                  measured */
    double utilization;        /* 0.7: without a metric, target = concurrency x this */
    struct kpa_config kpa;
};
extern const struct autoscaler_config autoscaler_defaults;

enum autoscaler_metric_kind {
    METRIC_CONCURRENCY,
    METRIC_REQUESTS, /* per second */
    METRIC_CPU,      /* thousandths */
    METRIC_MEMORY,   /* bytes */
    METRIC_EXTERNAL,
    METRIC_CUSTOM, /* a gauge that the function's instances report */
    METRIC_KINDS,
    METRIC_LOADS = METRIC_CPU, /* those before go by kpa.h */
};
enum { SCALING_METRICS_MAX = 16 };
struct autoscaler_metric {
    enum autoscaler_metric_kind kind;
    struct hpa_metric of; /* concurrency and requests: HPA_AVERAGE */
    char *query;          /* METRIC_EXTERNAL: PromQL; METRIC_CUSTOM: its name */
};

struct autoscaler_spec { /* the function's; all zero but max: the defaults */
    uint32_t min, max;   /* min <= max */
    uint64_t idle_timeout_ns;
    uint32_t initial;    /* instances of a new revision before its first request */
    uint32_t activation; /* instances at least, when not none; 0: 1 */
    uint64_t delay_ns;   /* the most that was wanted within this holds; 0: none */
    uint32_t stable_seconds, panic_seconds; /* 0: the platform's; panic: a tenth of stable's */
    bool exponential;                       /* the windows' average */
    bool predictive;
    struct autoscaler_metric *metrics; /* metric_count 0: concurrency, to the platform's utilization */
    size_t metric_count;
    struct behavior *behavior; /* NULL: the defaults, for what goes by hpa.h alone */
    struct schedule_window *provisioned;
    size_t provisioned_count;
};

struct autoscaler_external { /* what a METRIC_EXTERNAL said last */
    bool known;
    double value;
};
struct autoscaler_input {
    uint32_t concurrency;    /* of an instance */
    uint32_t ready;          /* instances that serve */
    uint32_t current;        /* what was requested last */
    uint32_t waiting;        /* tickets now */
    uint32_t running;        /* invocations now */
    uint64_t last_active_ns; /* when a request was last seen */
    uint32_t initial;        /* instances that a new revision still has to reach; 0: none */
    uint64_t epoch_s;        /* the wall clock, for schedules */
    struct idle_plan plan;   /* for spec.predictive */
    const struct autoscaler_external *external; /* as spec.metrics; NULL: nothing is known */
    /* as spec.metrics, of cpu, memory and what they report; NULL: there are no such */
    const struct hpa_sample *instances;
    struct crowd crowd; /* for the poke; its `waiting` and `concurrency` are those above */
};

enum autoscaler_reason {
    REASON_CONCURRENCY,
    REASON_REQUESTS,
    REASON_CPU,
    REASON_MEMORY,
    REASON_EXTERNAL,
    REASON_CUSTOM,     /* these six: the metric that asked for most */
    REASON_MISSING,    /* of a metric: nothing is taken away */
    REASON_IDLE,       /* zero */
    REASON_ACTIVE,     /* one stays until the idle time-out */
    REASON_PREDICTED,  /* awake, since its history says that it will be called */
    REASON_DELAYED,    /* scaleDownDelay */
    REASON_STABILIZED, /* behavior */
    REASON_LIMITED,    /* behavior's policies */
    REASON_ACTIVATION,
    REASON_INITIAL,
    REASON_PROVISIONED,
    REASON_MIN,
    REASON_MAX,
    /* what decides beside the autoscaler's tick */
    REASON_WAITING,    /* requests wait, or did a moment ago: what was started for them is kept */
    REASON_CRASH_LOOP, /* its instances do not get up */
    REASON_MADE_ROOM,  /* an idle one went for another function's requests */
    REASON_ADOPTED,    /* they ran when the controller came back */
    REASON_COUNT
};
const char *autoscaler_reason_name(enum autoscaler_reason r);

enum autoscaler_rule {               /* in their order */
                       RULE_METRICS, /* the largest of what the metrics want */
                       RULE_IDLE,    /* zero, or one at least */
                       RULE_DELAY,   /* scaleDownDelay, and what is kept of a poke */
                       RULE_BEHAVIOR,
                       RULE_FLOORS, /* activation, initial, provisioned, min */
                       RULE_MAX,
                       AUTOSCALER_RULES
};
const char *autoscaler_rule_name(enum autoscaler_rule r);

struct autoscaler_load {
    double target, stable, panic; /* target 0: not a metric of it */
};
struct autoscaler_decision {
    uint64_t at_ns;                /* 0: none yet */
    uint32_t desired;              /* what the metrics want, or zero */
    uint32_t requested;            /* after delay, behavior, floors and bounds */
    enum autoscaler_reason reason; /* what had the last word */
    bool panic;
    struct autoscaler_load loads[METRIC_LOADS];
    uint32_t wishes[METRIC_KINDS];    /* 0: no such metric, or it is missing */
    uint32_t before;                  /* what was requested until then */
    uint32_t after[AUTOSCALER_RULES]; /* ... and after each rule: the last one is `requested` */
};

struct autoscaler;

/* Aborts without memory: its size is fixed but for the windows, of an hour at most. */
struct autoscaler *autoscaler_new(const struct autoscaler_config *c, const struct autoscaler_spec *s);
struct autoscaler *autoscaler_free(struct autoscaler *a); /* NULL is a no-op */
/* Another spec: what was remembered stays as far as it still means the same. */
void autoscaler_respec(struct autoscaler *a, const struct autoscaler_config *c,
                       const struct autoscaler_spec *s);

struct autoscaler_observation {
    double concurrency;
    double requests; /* per second */
};
/* Once a second. */
void autoscaler_observe(struct autoscaler *a, uint64_t now_ns,
                        const struct autoscaler_observation *o);
double autoscaler_panic_load(const struct autoscaler *a, uint64_t now_ns); /* concurrency */

/* The decision of a tick (every 2 s). */
void autoscaler_decide(struct autoscaler *a, const struct autoscaler_config *c,
                       const struct autoscaler_spec *s, const struct autoscaler_input *in,
                       uint64_t now_ns, struct autoscaler_decision *ret);
/* The immediate poke: requests wait. What there is and what crowd.h adds to it; at least 1, within what
 * behavior's policies allow and the bounds. */
uint32_t autoscaler_poke(struct autoscaler *a, const struct autoscaler_config *c,
                         const struct autoscaler_spec *s, const struct autoscaler_input *in,
                         uint64_t now_ns);
/* After a restart: see kpa_adopt(). */
void autoscaler_adopt(struct autoscaler *a, uint32_t ready, uint64_t now_ns);
