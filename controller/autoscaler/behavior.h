/* behavior.h - how fast the number of instances may change: `behavior` of autoscaling/v2.
 *
 * First stabilisation: a decision must have been asked for during the whole
 * window (down: the largest of the window's recommendations holds, up: the
 * smallest). Then the policies: how much may be added or taken within a
 * policy's period, counted from what really changed. Pure. Source of the
 * semantics: Kubernetes' "Horizontal Pod Autoscaling", configurable scaling
 * behavior. */
#pragma once
#include "autoscaler/extremes.h"
#include <stdbool.h>

enum {
    BEHAVIOR_POLICIES_MAX = 8,
    BEHAVIOR_PERIOD_MAX_S = 1800,
    BEHAVIOR_STABILIZATION_MAX_S = 3600,
    BEHAVIOR_EVENTS = 64,
};

enum behavior_select { SELECT_MAX, SELECT_MIN, SELECT_DISABLED };
struct behavior_policy {
    bool percent;      /* of what there was at the period's begin; else instances */
    uint32_t value;    /* 1 or more */
    uint32_t period_s; /* 1 to BEHAVIOR_PERIOD_MAX_S */
};
struct behavior_rules {
    uint32_t stabilization_s;
    enum behavior_select select; /* of the policies: which allows most, which allows least, none */
    struct behavior_policy policies[BEHAVIOR_POLICIES_MAX];
    uint32_t policy_count;
    double tolerance; /* of the metrics in this direction: 0.1 is 10 % */
};
struct behavior {
    struct behavior_rules up, down;
};
/* up: 100 % or 4 instances in 15 s, whichever is more, at once. down: 100 % in 15 s, after 300 s.
 * Tolerance 0.1 both ways. */
extern const struct behavior behavior_defaults;

struct behavior_state { /* behavior_init() */
    struct extremes down, up;
    struct {
        uint64_t at_ns;
        int32_t change;
    } events[BEHAVIOR_EVENTS]; /* oldest first */
    uint32_t event_count;
    uint32_t last; /* instances that were wanted last */
    bool known;
};
struct behavior_result {
    uint32_t wanted;
    bool stabilized, limited; /* what held it back */
};

void behavior_init(struct behavior_state *s, const struct behavior *b);
/* Other rules: what changed counts on, a stabilisation window of another length begins anew. */
void behavior_respec(struct behavior_state *s, const struct behavior *b);
/* The number of instances is `current`, however that came about: a difference to what it was is an
 * event of the policies, and it is the recommendation that a window begins with. */
void behavior_note(struct behavior_state *s, uint64_t now_ns, uint32_t current);
/* The most instances that the policies allow now, at least `current`. */
uint32_t behavior_ceiling(const struct behavior *b, const struct behavior_state *s, uint64_t now_ns,
                          uint32_t current);
/* `desired` held to the rules. behavior_note(s, now, current) comes first. */
struct behavior_result behavior_apply(const struct behavior *b, struct behavior_state *s,
                                      uint64_t now_ns, uint32_t current, uint32_t desired);
