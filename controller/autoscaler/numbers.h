/* numbers.h - from wishes in fractions to numbers of instances. */
#pragma once
#include <stdint.h>

/* Of a value that is not negative; at most UINT32_MAX. Sums of fractions miss a whole number by a
 * few of the last digits, which must not cost an instance. */
static inline double ceiling(double v)
{
    double down = v < 4294967295.0 ? (double)(uint32_t)v : 4294967295.0;

    return v - down > 1e-9 * (v > 1 ? v : 1) ? down + 1 : down;
}

static inline uint32_t whole(double v)
{
    return v < 4294967295.0 ? (uint32_t)v : UINT32_MAX;
}

static inline uint32_t within(double v, double low, double high)
{
    if (v < low)
        v = low;
    if (v > high)
        v = high;
    return whole(v);
}
