/* extremes.h - the largest and the smallest of what was said within the last seconds.
 *
 * For delays and stabilisation windows of up to an hour at a bounded size: the
 * window is cut into buckets of a 60th of it, a second at least: a value leaves
 * at most one of them late, never early. Pure: `now` is passed in, and never goes back. */
#pragma once
#include <stdint.h>

enum { EXTREMES_BUCKETS = 61 };

struct extremes { /* extremes_init() */
    uint64_t window_ns, width_ns;
    uint64_t newest; /* number of the newest bucket; 0: nothing recorded */
    struct {
        uint64_t number; /* time / width + 1; 0: never used */
        uint32_t high, low;
    } buckets[EXTREMES_BUCKETS + 1];
};

void extremes_init(struct extremes *e, uint32_t seconds);
void extremes_record(struct extremes *e, uint64_t now_ns, uint32_t value);
/* Over the window that ends now; `none` where nothing was recorded in it. */
uint32_t extremes_high(const struct extremes *e, uint64_t now_ns, uint32_t none);
uint32_t extremes_low(const struct extremes *e, uint64_t now_ns, uint32_t none);
