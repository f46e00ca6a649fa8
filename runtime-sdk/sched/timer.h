/* timer.h - timers of tasks, in a heap of their processor's own.
 *
 * Whoever holds the processor, a thief that finds no work elsewhere, or the
 * monitor runs what is due. */
#pragma once
#include "sched/lock.h"

#include <stddef.h>

struct machine;
struct processor;
struct task;
struct task_list;
struct timer_heap;

struct timer {
    int64_t when;            /* ns of CLOCK_MONOTONIC */
    struct timer_heap *heap; /* NULL: not running; changed by its task alone, and under the heap's lock */
    uint32_t index;          /* in the heap */
    uint32_t generation; /* of the wait that it ends with -ETIMEDOUT */
};

struct timer_heap {
    struct spin lock;
    struct task **all; /* by their timer's `when`, four to a node */
    uint32_t count, size;
    _Atomic int64_t first; /* when the first is due; INT64_MAX: none. Read without the lock */
};

/* Starts the timer of the running task's open wait. -ENOMEM */
int timer_start(struct machine *m, struct task *t, int64_t when);
/* Takes it off its heap if it is there still. */
void timer_stop(struct task *t);
/* Claims the waits whose timers are due and collects their tasks. Anybody. Returns when the next one is due. */
int64_t timers_due(struct timer_heap *h, int64_t now, struct task_list *ret);
/* `from` empties into `to`: its processor goes away. */
int timers_move(struct timer_heap *to, struct timer_heap *from);
void timers_done(struct timer_heap *h);
