/* histogram.h - counts of durations in logarithmic buckets, after HdrHistogram. Pure.
 *
 * Below 256 every value has its bucket; above, each power of two has 128, so a value that is read
 * back is at most 0.8 % above the one that was recorded. Fixed memory, no limit on the range. */
#pragma once
#include <stdint.h>

enum { HISTOGRAM_SUB = 128, HISTOGRAM_BUCKETS = 2 * HISTOGRAM_SUB + 56 * HISTOGRAM_SUB };

struct histogram { /* zero-initialised is empty */
    uint64_t count, max;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* The smallest recorded value, rounded up within its bucket, that `fraction` (0 to 1) of all values do
 * not exceed; never above the largest one recorded. 0 when empty. */
uint64_t histogram_at(const struct histogram *h, double fraction);
