/* clock.h - the two clocks: monotonic for durations, wall for what people and peers read. */
#pragma once
#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static inline uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
static inline uint64_t clock_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / NS_PER_MS;
}
