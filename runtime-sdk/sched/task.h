/* task.h - a task (G), and how it waits and is woken.
 *
 * A task's memory is never given back while the scheduler runs: a waker that
 * comes too late finds another generation of it, never something else.
 *
 * A wait is *opened*, made known to whoever may end it (a channel's list, a
 * timer, the scope), and parked. Whoever ends it *claims* it first: one of them
 * succeeds, and must hand the task to task_ready(). The claim is a generation,
 * odd while the wait is open. A claim may come before the task has left its
 * stack: `on_cpu` says so, and nobody goes on with the task until it is clear. */
#pragma once
#include "rouse/sched.h"
#include "sched/context.h"
#include "sched/timer.h"

#include "base/list.h"

#include <stdatomic.h>

struct machine;
struct spin;
struct stack;
struct local_value;

enum { TASK_NAME = 32 };

enum task_state { TASK_FREE, TASK_RUNNABLE, TASK_RUNNING, TASK_WAITING };

struct task {
    struct context context; /* valid while on_cpu is 0 and there is a stack */
    struct stack *stack;    /* NULL until it runs for the first time */
    struct task *next;      /* in a run queue or a free list */
    _Atomic uint32_t on_cpu;
    _Atomic uint32_t claim;
    _Atomic bool canceled;
    _Atomic bool shielded; /* its wait: not ended by cancelling */
    _Atomic uint8_t state; /* enum task_state, for reports */
    uint16_t pins;
    int woken;              /* why the wait ended: 0, -ETIMEDOUT, -ECANCELED, or the waker's own */
    struct machine *pinned; /* NULL: any */
    rouse_task_fn *fn;
    void *arg;
    const char *waits_for; /* "sleep", "channel receive": of the last wait */
    int64_t since;         /* it began; to the monitor's turn before. 0: not known */
    size_t stack_size;
    uint64_t id;
    struct timer timer; /* of the deadline of its wait */
    struct rouse_scope *scope;
    struct list siblings;       /* in the scope; under the scope's lock */
    struct rouse_scope *opened; /* the newest of those it opened */
    struct local_value *locals;
    char name[TASK_NAME];
};

/* ---- wait.c: the waiting task, inside the scheduler */
/* Opens a wait. -ECANCELED: there is none, the task is cancelled. */
int wait_open(struct machine *m, const char *what);
/* The same whatever the scope says: for what must not be interrupted. */
void wait_open_always(struct machine *m, const char *what);
/* Takes an opened wait back. False: it was claimed, park to get what it was claimed with. */
bool wait_abandon(struct machine *m);
/* Until the wait is claimed or `deadline` passes; `lock` (may be NULL) is released when the task has left its
 * stack. Goes on, perhaps on another thread, inside the scheduler on *m. Returns the task's `woken`. */
int wait_park(struct machine **m, struct spin *lock, int64_t deadline);

/* ---- wait.c: the wakers */
/* True: the wait is over, with `result`, and the caller hands the task to task_ready(). The caller knows that
 * the task is in that wait: it holds the lock under which the task would take itself off its list. */
bool wait_claim(struct task *t, int result);
/* Likewise for a caller who knows only the generation of the wait. */
bool wait_claim_generation(struct task *t, uint32_t generation, int result);
uint32_t wait_generation(const struct task *t); /* of the open wait; even: there is none */

/* To cancel: set `canceled`, membarrier_all(), then this. True: hand the task to task_ready(). */
bool task_cancel_wait(struct task *t);
void tasks_cancel_all(struct machine *m);

/* ---- ready.c */
/* Runs next on this processor. */
void task_ready(struct machine *m, struct task *t);
/* The tasks of `l` go to this processor's queue (without one, to the global queue); other processors are
 * woken for them. */
struct task_list;
void task_ready_list(struct machine *m, struct task_list *l);
