/* sched.h - tasks: straight-line code, a million at once, on a few threads.
 *
 *     #include <rouse/sched.h>
 *     #include <stdio.h>
 *
 *     static void greet(void *name)
 *     {
 *         rouse_sleep(ROUSE_MS);
 *         printf("hello, %s\n", (const char *)name);
 *     }
 *     static void program(void *unused)
 *     {
 *         struct rouse_scope *scope;
 *
 *         if (rouse_scope_open(ROUSE_NEVER, &scope) < 0)
 *             return;
 *         rouse_scope_spawn(scope, greet, "one");
 *         rouse_scope_spawn(scope, greet, "other");
 *         rouse_scope_wait(scope, ROUSE_NEVER);
 *         rouse_scope_close(scope);
 *     }
 *     int main(void)
 *     {
 *         return rouse_run(program, NULL) < 0;
 *     }
 *
 * After Go's scheduler: tasks (G) run on threads (M) that hold a processor (P).
 * There are rouse_maxprocs() processors, so at most so many tasks run at once;
 * a task that waits costs no thread, and a task that computes or blocks for
 * long loses its processor, never its thread: the others go on beside it.
 *
 * Every function here is called from a task, unless it says otherwise: on any
 * other thread it returns -EPERM (or does nothing). Returns are 0 or -errno.
 *
 * Deadlines are absolute, in nanoseconds of CLOCK_MONOTONIC (rouse_now(),
 * rouse_after()); ROUSE_NEVER waits for ever, and one that has passed (0) does
 * what can be done without waiting. A function that takes one returns
 * -ETIMEDOUT when it passed, and -ECANCELED when the task's scope was cancelled:
 * cancellation is sticky, every later wait returns it at once (also with a
 * deadline that has passed; what needs no wait is still done).
 *
 * Across any call that may wait, a task may change its thread: what is
 * thread-local (errno among it, whose address compilers keep) is not to be used
 * on both sides of one. rouse_pin() keeps a task on its thread. Stacks are of a
 * fixed size, only the pages that were touched are resident, and an overflow is
 * told by the task's name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ROUSE_NEVER  INT64_MAX
#define ROUSE_US     INT64_C(1000)
#define ROUSE_MS     INT64_C(1000000)
#define ROUSE_SECOND INT64_C(1000000000)

typedef void rouse_task_fn(void *arg);

/* ---- life */

/* Runs `fn` as the first task, on this thread and as many more as are needed. Any thread, one at a
 * time in a process (-EBUSY). When `fn` returns, all other tasks are cancelled; it returns when all have
 * ended, and leaves no thread behind. -ENOMEM, -EAGAIN: it could not begin.
 * Environment: ROUSE_MAXPROCS, 1 to 1024; by default the cpus of the cgroup's quota, rounded up. */
int rouse_run(rouse_task_fn *fn, void *arg);

/* A task of its own, runnable at once, outside any scope: rouse_run() waits for it.
 * -ENOMEM; -EAGAIN: there are 16 million already. */
int rouse_spawn(rouse_task_fn *fn, void *arg);
struct rouse_scope;
struct rouse_task_options {
    const char *name; /* for reports; the first 31 bytes are copied. NULL: the function's address */
    size_t stack; /* bytes reserved, rounded up to a power of two; 0: 256 KiB. 16 KiB to 1 GiB */
    struct rouse_scope *scope; /* NULL: none */
};
int rouse_spawn_with(const struct rouse_task_options *options, rouse_task_fn *fn, void *arg);
void rouse_yield(void);            /* to the end of this processor's queue */
uint64_t rouse_task_id(void);      /* from 1, never used again; 0: not in a task */
const char *rouse_task_name(void); /* "" if it has none */
bool rouse_canceled(void);         /* of this task */

/* ---- time */

int64_t rouse_now(void);         /* any thread */
int64_t rouse_after(int64_t ns); /* rouse_now() + ns, without overflow; any thread */
int rouse_sleep(int64_t ns);     /* 0, or -ECANCELED */
int rouse_sleep_until(int64_t deadline);

/* ---- threads and processors */

/* Sets how many processors there are, 1 to 1024, at once; 0 only asks. Returns what it was, or -EINVAL. */
int rouse_maxprocs(int n);
/* Around calls that block the thread (a library's, a disk's): the processor is another's meanwhile. No
 * other function of this header may be called between the two; they do not nest. Calls that block
 * without being declared lose the processor after 10 ms, these after 20 us. */
void rouse_block_begin(void);
void rouse_block_end(void);
/* From pin to unpin (they nest) this task runs on its present thread alone, and nothing else does. */
void rouse_pin(void);
void rouse_unpin(void);

/* ---- scopes: the tasks that were spawned in one have ended when it is closed */

/* Opens one for this task. Its children are cancelled when `deadline` passes, when it is cancelled or
 * closed, and when this task is cancelled. A task closes what it opened, the newest first: another order,
 * and an end of the task with a scope open, abort with its name. -ENOMEM */
int rouse_scope_open(int64_t deadline, struct rouse_scope **ret);
/* From the owner or a child of the scope. -ECANCELED: it was cancelled before. -ENOMEM */
int rouse_scope_spawn(struct rouse_scope *scope, rouse_task_fn *fn, void *arg);
/* Until no child is left; its owner (-EPERM). It takes children afterwards too. */
int rouse_scope_wait(struct rouse_scope *scope, int64_t deadline);
void rouse_scope_cancel(struct rouse_scope *scope); /* its owner or any child */
/* Cancels, waits for every child (whether or not this task is cancelled), frees. NULL is a no-op. */
void rouse_scope_close(struct rouse_scope *scope);

/* ---- channels: items of one size, first in, first out; any number of senders and receivers */

struct rouse_chan;
/* `item` bytes each, at most 64 KiB (0 is a signal); `capacity` items wait in it, 0: sender and receiver
 * meet. -EINVAL, -ENOMEM */
int rouse_chan_new(size_t item, size_t capacity, struct rouse_chan **ret);
struct rouse_chan *rouse_chan_free(struct rouse_chan *ch); /* nobody waits in it; NULL is a no-op; any thread */
int rouse_chan_send(struct rouse_chan *ch, const void *item, int64_t deadline); /* -EPIPE: closed */
/* -EPIPE: closed and empty. `ret` is set only when it returns 0; NULL throws the item away. */
int rouse_chan_receive(struct rouse_chan *ch, void *ret, int64_t deadline);
int rouse_chan_close(struct rouse_chan *ch); /* everybody who waits gets -EPIPE; -EPIPE: it was closed */
size_t rouse_chan_size(const struct rouse_chan *ch); /* items in it now */

enum rouse_direction { ROUSE_SEND, ROUSE_RECEIVE };
struct rouse_case {
    struct rouse_chan *chan; /* NULL: never */
    enum rouse_direction direction;
    void *item; /* as of rouse_chan_send() and _receive() */
    int result; /* of the chosen one: 0 or -EPIPE */
};
/* Waits until one of `n` (at most 1024, else -EINVAL) can go on and does that one; of several that can, a
 * random one. Returns its index; a deadline of 0 makes it Go's default case: -ETIMEDOUT, as when it passes.
 * -ENOMEM: not with up to 8 cases. */
int rouse_select(struct rouse_case *cases, size_t n, int64_t deadline);

/* ---- what tasks share; all zeros is ready for use, and needs no end */

struct rouse_mutex {
    uintptr_t opaque[4];
};
struct rouse_cond {
    uintptr_t opaque[4];
};
struct rouse_wait_group {
    uintptr_t opaque[4];
};
struct rouse_once {
    uintptr_t opaque[5];
};
/* First come, first served once a task has waited for a millisecond, as fast as can be before. The next
 * holder may free it. */
int rouse_mutex_lock(struct rouse_mutex *m, int64_t deadline);
void rouse_mutex_unlock(struct rouse_mutex *m); /* by any task; aborts if it is not locked */
/* The mutex is held again when it returns, whatever it returns. */
int rouse_cond_wait(struct rouse_cond *c, struct rouse_mutex *m, int64_t deadline);
void rouse_cond_signal(struct rouse_cond *c);
void rouse_cond_broadcast(struct rouse_cond *c);
void rouse_wait_group_add(struct rouse_wait_group *g, int n);            /* aborts below 0 */
void rouse_wait_group_done(struct rouse_wait_group *g);                  /* add -1 */
int rouse_wait_group_wait(struct rouse_wait_group *g, int64_t deadline); /* until it is 0 */
/* The first one calls fn(arg), others wait for its end; what it returned is returned to everybody, for
 * ever. -ETIMEDOUT, -ECANCELED: of the waiting. `fn` must not come to the same one again: it would wait for
 * itself. */
int rouse_once(struct rouse_once *o, int (*fn)(void *), void *arg, int64_t deadline);

/* ---- values of a task */

/* Its address is the key, of a few in a task. `free` is called with what is set (and not NULL) when the
 * task ends, by the task, which may still wait; may be NULL. */
struct rouse_local {
    void (*free)(void *value);
};
void *rouse_local_get(const struct rouse_local *key); /* NULL if it was not set */
int rouse_local_set(const struct rouse_local *key,
                    void *value); /* -ENOMEM; the old value is not freed */

/* ---- looking at it */

struct rouse_sched_stats {
    unsigned procs, threads, threads_idle;
    uint64_t tasks;         /* alive */
    uint64_t spawned, runs; /* tasks made; times that a task was put on a processor */
    uint64_t parks, steals; /* times that one began to wait; that were taken from another processor */
    uint64_t handoffs,
        preemptions; /* processors taken: of declared blocking; of 10 ms without a word */
    uint64_t polls;  /* looks at the net poller */
};
void rouse_sched_stats(struct rouse_sched_stats *ret); /* any thread; sums that are not of one instant */
/* Every task, what it waits for, and its stack, as text; those with the same stack together, of 10,000 at
 * most. All tasks stand still meanwhile, and those that run are interrupted by a signal (SIGURG): system
 * calls that the kernel does not start again return EINTR. SIGQUIT does it too, on standard error, where
 * the program has no handler of its own, and then ends the process. A deadlock (all tasks wait, and
 * nothing is left that could wake one) does it by itself and aborts. */
void rouse_dump_tasks(int fd);

#ifdef __cplusplus
}
#endif
