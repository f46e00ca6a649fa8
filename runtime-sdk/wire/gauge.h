/* gauge.h - the metrics that a function reports of itself: gauges of one instance, the last value wins.
 *
 * Both ends hold them to the same limits, since what a runtime sends is its own word. Pure; any thread, one
 * at a time for each struct gauges. */
#pragma once
#include "wire/frame.h"

enum {
    GAUGES_MAX = 16,     /* names of an instance */
    GAUGE_NAME_MAX = 63, /* bytes: [a-z_][a-z0-9_]{0,62} */
    FRAME_METRIC_MAX = 8 + GAUGE_NAME_MAX,
};
#define GAUGE_VALUE_MAX 1e18 /* sums of them stay exact enough, and finite */

struct gauge {
    char name[GAUGE_NAME_MAX + 1];
    double value; /* 0 to GAUGE_VALUE_MAX */
};
struct gauges { /* zero-initialise */
    unsigned count;
    struct gauge all[GAUGES_MAX];
};

/* Names that autoscaling has a meaning for: the platform measures them itself. */
bool gauge_is_platforms(const char *name, size_t n);
/* NULL: it may be so; else why not, naming the limit. */
const char *gauge_refusal(const char *name, size_t n, double value);
/* As gauge_refusal(), or that there are too many; NULL: it is set. `ret_changed` may be NULL. */
const char *gauges_set(struct gauges *g, const char *name, size_t n, double value, bool *ret_changed);
/* NULL: there is none of that name. */
const struct gauge *gauges_find(const struct gauges *g, const char *name, size_t n);

/* METRIC's payload: an IEEE 754 double, little-endian, then the name of `n` bytes, GAUGE_NAME_MAX at most.
 * Returns its size. */
size_t frame_metric_put(uint8_t to[FRAME_METRIC_MAX], const char *name, size_t n, double value);
/* The name is a view; neither it nor the value was looked at. -EBADMSG: shorter than a value and a name. */
int frame_metric_parse(const struct frame *f, const char **ret_name, size_t *ret_n,
                       double *ret_value);
