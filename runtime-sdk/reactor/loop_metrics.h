/* loop_metrics.h - loops' counters as Prometheus text: rouse_loop_*_total{loop="NAME"}.
 *
 * A sample is taken on its loop's thread and printed on any; a text has all of
 * its loops' samples at once, since a family is printed once. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

struct loop_sample {
    const char *name;    /* the caller's, until it is printed */
    const char *backend; /* static */
    struct loop_stats stats;
};
void loop_sample_take(const struct loop *l, const char *name, struct loop_sample *ret);
/* And rouse_loop_info{loop="NAME",backend="epoll"} 1. Nothing for n == 0. */
void loop_metrics(struct buffer *out, const struct loop_sample *samples, size_t n);
