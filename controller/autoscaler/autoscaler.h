/* autoscaler.h - how many instances a function should have: Knative's concurrency algorithm.
 *
 * Pure: observations, spec, state and now go in, a decision comes out. The
 * concurrency that is observed is what runs (counted by the owners of the
 * slots) plus what waits (counted by the activator). Source of the algorithm:
 * Knative Serving, pkg/autoscaler/scaling/autoscaler.go. The one departure is
 * zero: a function goes there after its own idleTimeout without a request,
 * and until then keeps one instance. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct autoscaler_config {      /* the platform's */
    uint32_t stable_seconds;    /* 60 */
    uint32_t panic_seconds;     /* 6 */
    double utilization;         /* 0.7: target = concurrency x this */
    double max_scale_up_rate;   /* 1000 */
    double max_scale_down_rate; /* 2 */
    double panic_threshold;     /* 2.0 */
};
extern const struct autoscaler_config autoscaler_defaults;

struct autoscaler_spec { /* the function's */
    uint32_t concurrency;
    uint32_t min, max; /* min <= max */
    uint64_t idle_timeout_ns;
};
struct autoscaler_input {
    double stable, panic;    /* mean concurrency over the two windows */
    uint32_t ready;          /* instances that serve */
    uint32_t current;        /* what was requested last */
    uint32_t waiting;        /* tickets now */
    uint32_t running;        /* invocations now */
    uint64_t last_active_ns; /* when a request was last seen */
};
struct autoscaler_state {    /* zero-initialised: calm */
    uint64_t panic_since_ns; /* last time over the threshold; 0: no panic */
    uint32_t panic_max;
};
struct autoscaler_decision {
    uint32_t desired;   /* what the algorithm wants */
    uint32_t requested; /* within min and max */
    bool panic;
    double target; /* concurrency an instance */
};

/* The decision of a tick (every 2 s). */
void autoscaler_decide(const struct autoscaler_config *c, const struct autoscaler_spec *s,
                       const struct autoscaler_input *in, uint64_t now_ns,
                       struct autoscaler_state *state, struct autoscaler_decision *ret);
/* The immediate poke: requests wait and nothing serves. At least 1, within the up limit of one
 * instance and max. */
uint32_t autoscaler_poke(const struct autoscaler_config *c, const struct autoscaler_spec *s,
                         uint32_t waiting);
/* After a restart with more than one ready instance: panic, so that nothing shrinks for a stable
 * window. */
void autoscaler_adopt(struct autoscaler_state *state, uint32_t ready, uint64_t now_ns);
