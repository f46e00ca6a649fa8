/* crowd.h - requests wait because all that serves is busy: how many instances to start at once.
 *
 * Those there free slots meanwhile, and a new one frees its own again and again: as many are started
 * as empty the queue within CROWD_STARTS times what a start takes. So a queue of short calls starts
 * nothing, one of long calls an instance for each, and a timed-out dependency does not become a
 * hundred instances for calls that a few could take. How long calls take is not always known, and
 * may have changed: that no slot became free for a time says that they take at least so long. A lone
 * request of which nothing is known waits as long as a start takes before one is made for it, which
 * is at most twice what the best choice would have cost (the ski rental problem).
 *
 * Pure. */
#pragma once
#include <stdint.h>

enum { CROWD_STARTS = 2 };
/* Instances with a free slot have had the time to say so; less if a start takes less. */
#define CROWD_ASK_NS 5000000ull

struct crowd {
    uint32_t waiting;     /* requests */
    uint32_t concurrency; /* of an instance, 1 at least */
    uint32_t serving;     /* instances */
    uint32_t starting;    /* on their way, those without a node yet included */
    uint64_t start_ns;    /* what a start takes; 0 is taken for 1 */
    uint64_t run_ns;      /* what a call takes; 0: not known */
    uint64_t waited_ns;   /* somebody has waited here for so long without a break */
    uint64_t still_ns;    /* ... and no slot has become free for so long; not above waited_ns */
};

/* Instances to start beside those on their way; at most as many as all that waits needs slots. */
uint32_t crowd_more(const struct crowd *in);
/* In so many ns, if nothing happens meanwhile, crowd_more() is above 0. 0: it is; UINT64_MAX: it will
 * not be. */
uint64_t crowd_patience(const struct crowd *in);
