/* outcome.h - what a policy made of a trace: the columns of the simulator's table. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { WAIT_BUCKETS = 400, MEMORY_SLICES = 4096 };

struct outcome {                   /* zero-initialised; then outcome_begin() */
    uint64_t calls, cold, refused; /* cold: found no instance that was ready */
    uint64_t starts;
    uint64_t waits[WAIT_BUCKETS];
    double instance_s, busy_s; /* seconds that instances were there; that they had work */
    double memory_s;           /* MiB x seconds */
    double memory_peak;        /* MiB of all instances, the mean of the fullest slice */
    double node_s, node_peak;  /* seconds that nodes were there, and the most of them */
    uint64_t turns, core_ns;   /* of the core alone: decisions, and processor time for them */
    /* MiB x ns by slices of the time: in a part of one, and (as differences) in whole ones */
    uint64_t slice_ns;
    double part[MEMORY_SLICES + 1], whole[MEMORY_SLICES + 1];
};

/* The time goes from 0 to `end`. */
void outcome_begin(struct outcome *o, uint64_t end);
/* A call whose work began so long after it came; `cold`: see above. */
void outcome_began(struct outcome *o, uint64_t waited_ns, bool cold);
/* An instance of so many MiB: one more, and its whole life when it is over. In any order. */
void outcome_start(struct outcome *o);
void outcome_end(struct outcome *o, uint32_t memory, uint64_t from, uint64_t to, uint64_t busy_ns);
void outcome_node(struct outcome *o, uint64_t from, uint64_t to); /* a node's whole life */
/* When all is told: the peak of memory. */
void outcome_close(struct outcome *o);
/* For a policy without nodes of its own: as many nodes of so many MiB as the memory needs with 80 % of each in use, at
 * once, packed without a gap; one goes when it was not needed for ten minutes: a NodePool's defaults, and no node that
 * takes time to come. Sets node_s and node_peak. After outcome_close(). */
void outcome_pack(struct outcome *o, double node_memory);
/* ns that a share of the calls (0 to 1) did not wait longer than; within 7 %. */
double outcome_wait(const struct outcome *o, double share);
