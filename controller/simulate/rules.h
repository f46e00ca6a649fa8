/* rules.h - other platforms' policies on the same trace, each function by itself, on nodes without end.
 *
 *   knative    stable and panic windows over concurrency, a tick every 2 s, at once from zero; to zero after a stable
 *              window and 30 s of grace. By autoscaler/kpa.h, which is Knative's algorithm
 *   hpa        autoscaling/v2: a tick every 15 s, desired = ceil(concurrency / 0.7), tolerance 0.1, down by the maximum
 *              of the last 300 s, at most doubling or 4 more a tick; never zero
 *   keepalive  an instance for whoever finds none free, until it was idle for ten minutes
 *
 * A call goes to the instance that can take it first; with the first two it waits there, as behind a proxy of the
 * instance's. One whose turn does not come within RULE_PATIENCE_NS counts as refused, and is not run: that is how long
 * a call waits at ours. Starts take what they take in cluster.h. */
#pragma once
#include "simulate/outcome.h"
#include "simulate/trace.h"

#define RULE_PATIENCE_NS (30ull * 1000 * 1000 * 1000)

enum rule { RULE_KNATIVE, RULE_HPA, RULE_KEEPALIVE, RULE_COUNT };
const char *rule_name(enum rule r);

struct rule_config {
    enum rule rule;
    uint64_t seed;
    uint32_t functions, concurrency;
    uint64_t start, init, end; /* as in cluster.h */
};
int rule_run(const struct rule_config *c, struct trace *t, struct outcome *ret); /* -ENOMEM */
