/* timer.h - timers of tasks, in a heap of their processor's own.
 *
 * Whoever holds the processor starts timers in its heap; the task stops its
 * timer wherever it is; whoever holds the processor, a thief that finds no work
 * elsewhere, or the monitor runs what is due. */
#pragma once
#include "sched/lock.h"

#include <stddef.h>

struct machine;
struct task;
struct task_list;
struct timer_heap;

struct timer {
    /* NULL: not running. Set by its task, which is the only one that starts it; changed by others under the
     * heap's lock. Once it is NULL nobody but the task touches the timer. */
    _Atomic(struct timer_heap *) heap;
    uint32_t index;      /* in the heap, under its lock */
    uint32_t generation; /* of the wait that it ends with -ETIMEDOUT */
};

struct timer_entry {
    int64_t when; /* ns of CLOCK_MONOTONIC */
    struct task *task;
};

/* All zeros but for `first`, INT64_MAX, is an empty one. */
struct timer_heap {
    struct spin lock;
    uint32_t count, size;
    struct timer_entry *all; /* a heap by `when`, four children to a node */
    _Atomic int64_t first;   /* when the first is due; INT64_MAX: none. Read without the lock */
};

enum { TIMERS_BATCH = 256 };

/* Starts the timer of the running task's open wait, in the heap of the machine's processor. Ends the look
 * of a thread that waits in the poller for longer. -ENOMEM */
int timer_start(struct machine *m, struct task *t, int64_t when);
/* Takes it off its heap if it is there still. The task itself; returns with its timer not running. */
void timer_stop(struct task *t);
/* Claims the waits whose timers are due, at most TIMERS_BATCH of them, and collects their tasks. Anybody.
 * Returns when the next one is due: not after `now` if there are more; INT64_MAX: none. */
int64_t timers_due(struct timer_heap *h, int64_t now, struct task_list *ret);
/* `from` empties into `to`: its processor goes away, and nobody starts timers in either. -ENOMEM: nothing moved */
int timers_move(struct timer_heap *to, struct timer_heap *from);
void timers_done(struct timer_heap *h);
