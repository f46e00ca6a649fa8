/* kpa.h - how many instances a load asks for, by Knative's stable and panic windows.
 *
 * The load is concurrency (what runs and what waits) or requests per second.
 * Normally its mean over the stable window decides; when the short panic
 * window asks for twice as many as there are, the larger of both does, and
 * nothing shrinks until a whole stable window has gone by without that. Pure.
 * Source of the algorithm: Knative Serving, pkg/autoscaler/scaling. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct kpa_config {             /* the platform's */
    double max_scale_up_rate;   /* 1000: times what is ready, at a decision */
    double max_scale_down_rate; /* 2 */
    double panic_threshold;     /* 2.0: times what is ready */
};
struct kpa_input {
    double target;        /* of an instance; less than 0.01 is 0.01 */
    double stable, panic; /* mean load over the two windows */
    uint32_t ready;       /* instances that serve */
    uint32_t stable_seconds;
};
struct kpa_state {           /* zero-initialised: calm */
    uint64_t panic_since_ns; /* last time over the threshold; 0: no panic */
    uint32_t panic_max;
};

uint32_t kpa_decide(const struct kpa_config *c, const struct kpa_input *in, uint64_t now_ns,
                    struct kpa_state *state);
/* After a restart with more than one ready instance: panic, so that nothing shrinks for a stable
 * window. */
void kpa_adopt(struct kpa_state *state, uint32_t ready, uint64_t now_ns);
