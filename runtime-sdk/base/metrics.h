/* metrics.h - Prometheus' text format (version 0.0.4) and the histogram behind it.
 *
 * A histogram belongs to one thread; the writer reads it on that thread. Label
 * values are escaped here; keeping their number small is the caller's duty. */
#pragma once
#include "base/buffer.h"

enum { HISTOGRAM_BUCKETS = 16 };
struct histogram {
    const double *bounds; /* ascending upper bounds, HISTOGRAM_BUCKETS of them, static */
    uint64_t counts[HISTOGRAM_BUCKETS + 1]; /* the last one is +Inf; not cumulative */
    double sum;
    uint64_t count;
};
extern const double histogram_seconds[HISTOGRAM_BUCKETS]; /* 100 us to 60 s */

void histogram_init(struct histogram *h, const double *bounds);
void histogram_observe(struct histogram *h, double value);

/* "# HELP name help" and "# TYPE name type"; once a family, before its samples. */
void metrics_family(struct buffer *out, const char *name, const char *type, const char *help);
/* Labels are pairs name, value, ... closed by NULL: metrics_sample(b, "x", 1, "code", "200", NULL).
 */
void metrics_sample(struct buffer *out, const char *name, double value, ...)
    __attribute__((sentinel));
void metrics_histogram(struct buffer *out, const char *name, const struct histogram *h, ...)
    __attribute__((sentinel));
/* process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
 * process_start_time_seconds. */
void metrics_process(struct buffer *out);
