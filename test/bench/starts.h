/* starts.h - what the programs that measure starts share: orders from stdin, one number a line to stdout.
 *
 * An order is a line `COUNT EVERY_US`: so many starts, one every so many microseconds (0: back to back). The
 * answer is COUNT lines, each a start's nanoseconds. At the end of stdin the program ends. */
#pragma once
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* Makes one start; its nanoseconds. Ends the program if that fails: a figure of failures is none. */
typedef uint64_t start_fn(void *user);

static inline void sleep_until(uint64_t at)
{
    const struct timespec ts = {(time_t)(at / NS_PER_S), (long)(at % NS_PER_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL))
        ;
}

static inline int starts_serve(start_fn *start, void *user)
{
    unsigned count;
    unsigned long every;

    while (scanf("%u %lu", &count, &every) == 2) {
        uint64_t next = clock_monotonic_ns();

        for (unsigned i = 0; i < count; i++) {
            printf("%llu\n", (unsigned long long)start(user));
            next += every * NS_PER_US;
            if (every && i + 1 < count)
                sleep_until(next);
        }
        fflush(stdout);
    }
    return 0;
}
