/* window.h - an average over the last seconds, in buckets of one second.
 *
 * The arithmetic of Knative's TimedFloat64Buckets: the sum of the buckets
 * divided by the number of seconds between the first and the last record, at
 * most the window; seconds without a record count as zero, and after a whole
 * window without any the average is 0. Several records of one second are
 * averaged first. Pure: `now` is passed in. Not thread safe. */
#pragma once
#include <stdint.h>

enum { WINDOW_SECONDS_MAX = 3600 };
struct window;

int window_new(uint32_t seconds, struct window **ret); /* 1 to WINDOW_SECONDS_MAX; -EINVAL, -ENOMEM */
struct window *window_free(struct window *w);
/* A time before the last record's second is counted in that second. */
void window_record(struct window *w, uint64_t now_ns, double value);
/* Over the last `seconds` (at most the window's) up to and with now's second. */
double window_average(const struct window *w, uint64_t now_ns, uint32_t seconds);
/* The same, but a second weighs seconds / (seconds + 9) of the one after it: what was a moment ago
 * counts most, and what was a window ago hardly at all. */
double window_weighted(const struct window *w, uint64_t now_ns, uint32_t seconds);
