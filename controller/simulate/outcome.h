/* outcome.h - what a policy made of a trace: the columns of the simulator's table. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { WAIT_BUCKETS = 400 };

struct outcome {                   /* zero-initialised: nothing happened */
    uint64_t calls, cold, refused; /* cold: found no instance that was ready */
    uint64_t starts;
    uint64_t waits[WAIT_BUCKETS];
    double instance_s, busy_s;      /* seconds that instances were there; that they had work */
    double memory_s;                /* MiB x seconds */
    double memory_now, memory_peak; /* MiB of all instances */
    uint64_t turns, core_ns;        /* of the core alone: decisions, and processor time for them */
};

/* A call whose work began so long after it came; `cold`: see above. */
void outcome_began(struct outcome *o, uint64_t waited_ns, bool cold);
/* One instance more or less, of so many MiB, and its whole life when it ends. */
void outcome_start(struct outcome *o, uint32_t memory);
void outcome_end(struct outcome *o, uint32_t memory, uint64_t lived_ns, uint64_t busy_ns);
/* ns that a share of the calls (0 to 1) did not wait longer than; within 7 %. */
double outcome_wait(const struct outcome *o, double share);
