/* controller_metrics.h - the controller's metric families: names, help and labels in one place.
 *
 * The brain's thread fills the samples from the core; Prometheus reads the
 * text. It is told of functions that are awake; those past SCALE_SAMPLES_MAX
 * are left out, so that the number of label values is bounded. */
#pragma once
#include "base/metrics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCALE_SAMPLES_MAX = 10000 };

struct scale_sample { /* one function; the texts live until the call returns */
    const char *ns, *function, *revision;
    uint32_t desired, requested, actual, ready, terminating;
    double stable, panic, target;                /* concurrency; target 0: not a metric of it */
    double stable_rate, panic_rate, target_rate; /* requests per second */
    double burst; /* slots that are free, if all that is ready serves; less than 0: they wait */
    bool panic_mode;
};
void scale_metrics(struct buffer *out, const struct scale_sample *s, size_t n);

/* The last decision of a function that is awake: those that sleep have none. */
enum { WISHES_MAX = 8, RULES_MAX = 8 };
struct rule_sample {
    const char *ns, *function, *reason; /* reason NULL: nothing has changed yet */
    struct {
        const char *name;
        uint32_t instances;
    } wishes[WISHES_MAX], rules[RULES_MAX]; /* by metric; before, and after each rule in their order */
    size_t wish_count, rule_count;
};
void rule_metrics(struct buffer *out, const struct rule_sample *s, size_t n);

struct decision_sample {
    const char *reason;
    uint64_t count;
};
void decision_metrics(struct buffer *out, const struct decision_sample *s, size_t n);

struct crash_sample { /* a function whose instances do not get up, until the next try */
    const char *ns, *function, *reason;
};
void crash_metrics(struct buffer *out, const struct crash_sample *s, size_t n);

struct reading_sample {
    const char *metric;
    uint64_t cut;
};
void reading_metrics(struct buffer *out, const struct reading_sample *s, size_t n);

struct placement_sample {
    const char *outcome;
    uint64_t count;
};
void placement_metrics(struct buffer *out, const struct placement_sample *s, size_t n);

struct refusal_sample {
    const char *reason;
    uint64_t count;
};
struct activator_sample {
    uint64_t tickets, held_bytes, tickets_limit, held_limit;
    const struct histogram *wait;
    const struct refusal_sample *refused;
    size_t refused_count;
};
void activator_metrics(struct buffer *out, const struct activator_sample *s);

struct node_sample {
    const char *state;
    uint64_t count;
};
void node_metrics(struct buffer *out, const struct node_sample *s, size_t n, bool halted);
