/* histogram.h - what a function's own history says of when it is called next: the hybrid histogram
 * policy of "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020).
 *
 * Idle times are counted by the minute, up to four hours. If their shape says
 * something (enough of them, most of them within the four hours, and a
 * coefficient of variation of the bins of at least 2), the function sleeps
 * until shortly before the 5th percentile and is then kept awake until the
 * 99th, each with a margin of 10 %. Otherwise its plain idle time-out holds.
 * Old times fade: all counts are halved when there are IDLE_TIMES_MAX. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { IDLE_MINUTES = 240, IDLE_TIMES_MAX = 1024, IDLE_TIMES_MIN = 10 };

struct idle_histogram { /* zero-initialised: nothing is known */
    uint16_t minutes[IDLE_MINUTES];
    uint32_t within, beyond; /* counted, and longer than IDLE_MINUTES */
};
struct idle_plan {
    bool known;       /* false: the idle time-out holds */
    uint64_t wake_ns; /* idle for this long: awake again; 0: it never sleeps before keep_ns */
    uint64_t keep_ns; /* idle for this long: asleep */
};

void idle_histogram_add(struct idle_histogram *h, uint64_t idle_ns);
struct idle_plan idle_histogram_plan(const struct idle_histogram *h);
/* Whether a function that was idle for so long should be awake by its plan. `settle_ns`: how long
 * it stays in any case. */
bool idle_plan_awake(const struct idle_plan *p, uint64_t idle_ns, uint64_t settle_ns);
