/* internal.h - threads (M), processors (P), and the one scheduler they are parts of.
 *
 * How a processor is taken from a running thread
 * ----------------------------------------------
 * While a task runs, its thread holds a processor, and the scheduler's calls
 * change that processor's queue with plain stores. The monitor takes processors
 * from threads that have been in a task for too long, at any instruction of it,
 * so the two must never both think that the processor is theirs.
 *
 * Each call into the scheduler sets `inside`, and then looks at `taken`
 * (sched_enter). The taker sets `taken` to ASKED, has a full barrier run on every
 * cpu that runs a thread of this process (membarrier, private expedited), and
 * then looks at `inside`. Of the two stores and two loads at least one side sees
 * the other's (Dekker), though the thread that runs tasks has no fence: the
 * taker's barrier is on its cpu either before the store of `inside`, and then
 * its load of `taken`, which comes later, sees ASKED; or after it, and then the
 * taker sees `inside`.
 *   - `inside` is clear: the taker moves ASKED to TAKEN by compare-and-swap and
 *     owns the processor. All that the thread did with it happened before its
 *     release store that cleared `inside`, which the taker's load acquired.
 *   - a thread that enters and sees ASKED swaps it back to NONE: one of the two
 *     swaps succeeds. If it is TAKEN it has no processor any more and gets
 *     another before it goes on, or queues its task and sleeps.
 *   - `inside` is set: the taker withdraws. The thread is in the scheduler, so
 *     its task is not what hogs the processor.
 * One at a time asks (take.c): of two, the thread might answer the first while
 * the first takes what the second asked for.
 * No signal is sent: no system call of the task's is interrupted, and a thread
 * that the kernel does not let go (a page fault, a dead disk) loses its processor
 * all the same. Where membarrier(2) is missing, sched_enter() has a fence.
 *
 * The same way of taking stops the world: whoever holds all processors is alone
 * with every queue and every task that does not run, and waited for no task.
 *
 * Parking and waking of threads
 * -----------------------------
 * After Go: at most half as many threads as there are busy processors look for
 * work (spin). Who makes work runnable publishes it, has a full barrier, and
 * wakes a thread if there is an idle processor and nobody spins. Who makes a
 * processor idle, whether it was spinning or not, says so, has a full barrier, and
 * looks at every queue once more (work_waits). Of the two barriers one comes
 * first, so one of the two sees the other. Go has only those who spun look again,
 * and a flag that asks the others to spin. test/model/park.pml is checked. */
#pragma once
#include "sched/lock.h"
#include "sched/poller.h"
#include "sched/queue.h"
#include "sched/stack.h"
#include "sched/task.h"
#include "sched/timer.h"

#include <pthread.h>

enum { PROCS_MAX = 1024, MACHINES_MAX = 10000 };
enum taken {
    TAKEN_NONE,
    TAKEN_ASKED,
    TAKEN_TAKEN,
    TAKEN_FOREIGN /* not a thread of the scheduler */,
    TAKEN_BLOCKED /* in a declared call */
};
/* What the context that a machine switched to does for the task it left. */
enum after {
    AFTER_PARK,
    AFTER_YIELD,
    AFTER_EXIT,
    AFTER_LOST /* its processor: to the global queue */
};
enum processor_status {
    PROC_IDLE,    /* in the list of idle ones */
    PROC_RUNNING, /* a machine's */
    PROC_BLOCKED, /* its machine is in a declared blocking call: whoever swaps this away has it */
    PROC_STOPPED, /* of whoever stopped the world; or above rouse_maxprocs() */
};

struct machine {
    _Atomic uint32_t inside;
    _Atomic uint32_t taken; /* enum taken */
    struct task *current;   /* NULL: in its own loop */
    struct processor *p;    /* NULL: without */
    struct task *prev;      /* left by the last switch, for machine_settle() */
    enum after after;
    struct spin *after_lock;
    struct task *given;        /* to run before anything else, without a choice */
    struct context loop;       /* of the thread's own stack, while a task runs */
    struct processor *blocked; /* what it had before rouse_block_begin() */
    bool spinning;
    struct machine *next_idle, *next;
    _Atomic uint32_t wake;    /* futex: 1 when `handed` is set */
    struct processor *handed; /* with `handed_task`, which becomes `given` */
    struct task *handed_task;
    struct task *pinned; /* this thread runs nothing else */
    pthread_t thread;
    void *signal_stack;
};

struct counters { /* written by the holder alone, read by anybody */
    _Atomic uint64_t spawned, ended, parks, steals, polls;
};

struct processor {
    /* the holder's */
    _Atomic uint32_t tick; /* turns: changes whenever another task is put on it */
    uint32_t next_streak;  /* turns in a row by `next` */
    uint64_t random;
    struct task *free; /* of ended tasks */
    uint32_t free_count;
    uint64_t ids, ids_end; /* of tasks */
    struct stack_pool stacks;
    struct counters counters;
    uint32_t index;
    /* anybody's */
    _Atomic bool look;       /* the monitor's: the global queue has what should have run by now */
    _Atomic uint32_t status; /* enum processor_status */
    _Atomic(struct machine *) machine;
    _Atomic int64_t bound_at; /* when it went to that machine */
    struct processor *next_idle;
    struct queue queue;
    struct timer_heap timers;
    /* the monitor's */
    uint32_t seen_tick;
    int64_t seen_at, runs_since;
} __attribute__((aligned(128)));

struct scheduler {
    /* These two are there before and after a run: any thread calls rouse_sched_stats(), and sched_enter(). */
    struct lock lock;   /* over the lists below */
    _Atomic bool fence; /* there is no membarrier: sched_enter() has the barrier */
    struct task_list global;
    struct processor *idle_procs;
    struct machine *idle_machines, *machines;
    uint32_t machine_count, idle_machine_count;

    _Atomic uint32_t global_count; /* hints, exact under the lock */
    _Atomic uint32_t idle_count;   /* of processors */
    _Atomic uint32_t spinning;     /* machines that look for work */
    _Atomic uint32_t procs;        /* rouse_maxprocs() */
    _Atomic(struct processor *) all[PROCS_MAX];
    _Atomic uint32_t made;      /* processors made ever: those of `all` that are not NULL */
    _Atomic int64_t polled_at;  /* the last look at the poller; 0: a thread waits in it */
    _Atomic int64_t poll_until; /* how long that one waits */
    _Atomic bool stopping;      /* the world: give your processor away */
    _Atomic bool ending;        /* the first task has ended: `live` is kept */
    _Atomic bool done;          /* no task is left: threads end */
    _Atomic int64_t live;
    _Atomic uint64_t handoffs, preemptions;
    _Atomic uint64_t ids;          /* of tasks, given to processors by the batch */
    struct lock world;             /* of whoever stops it */
    uint32_t world_left;           /* processors it still waits for; under `lock` */
    _Atomic uint32_t world_change; /* futex */
    _Atomic int64_t now;           /* of the monitor's last turn; 0 while it sleeps */
    _Atomic bool short_of_threads; /* none could be made for a processor: the monitor tries again */
    struct machine *main;
    uint32_t unwatched; /* while no more tasks than that are alive the monitor may sleep: see quiet.h */
    _Atomic bool quiet; /* the only task waits in the kernel, and keeps its processor */
};

extern struct scheduler sched;

/* Its holder begins something new: the monitor counts from here. */
static inline void processor_turn(struct processor *p)
{
    atomic_store_explicit(&p->tick, atomic_load_explicit(&p->tick, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* ---- enter.c */
struct machine *sched_enter_slow(struct machine *m); /* NULL: not a thread of the scheduler */
/* For the current task, whose processor was taken: another one, or it queues. */
struct machine *machine_find_processor(struct machine *m);
int membarrier_init(void);
void membarrier_all(void); /* a full barrier on every cpu that runs a thread of this process */

extern _Thread_local struct machine *sched_self;
/* By hand: a compiler may keep a thread-local's address across a switch to another thread. */
static inline struct machine *machine_self(void)
{
    struct machine *m;
#if defined(__x86_64__)
    __asm__ volatile("movq %%fs:sched_self@tpoff, %0" : "=r"(m)::"memory");
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, tpidr_el0\n\t"
                     "add %0, %0, #:tprel_hi12:sched_self, lsl #12\n\t"
                     "ldr %0, [%0, #:tprel_lo12_nc:sched_self]"
                     : "=r"(m)::"memory");
#endif
    return m;
}
/* Every call of a task's begins with one and ends with the other. The machine, with a processor; NULL:
 * the caller is not a task. */
static inline struct machine *sched_enter(void)
{
    struct machine *m = machine_self();

    atomic_store_explicit(&m->inside, 1, memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&sched.fence, memory_order_relaxed), 0))
        full_barrier();
    else
        atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&m->taken, memory_order_acquire), TAKEN_NONE))
        return sched_enter_slow(m);
    return m;
}
static inline void sched_leave(struct machine *m)
{
    atomic_store_explicit(&m->inside, 0, memory_order_release);
}
static inline bool sched_alone(void)
{
    return atomic_load_explicit(&sched.procs, memory_order_relaxed) == 1;
}
static inline void count(_Atomic uint64_t *c)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- signals.c */
int signals_init(void); /* of the process, while rouse_run() runs */
void signals_done(void);
void signals_thread_init(struct machine *m); /* the alternate stack of a thread of the scheduler */
void signals_thread_done(struct machine *m);
void signals_check_stack(const struct task *t); /* it ends: aborts if it has overflowed a stack without guard */

/* ---- run.c */
/* A task that is counted, and not submitted yet: task_ready() or task_discard(). NULL: no memory */
struct task *task_make(struct machine *m, rouse_task_fn *fn, void *arg);
void task_discard(struct machine *m, struct task *t); /* made, never submitted */
struct machine *task_end(struct machine *m);          /* the current task's function has returned */
/* ---- ready.c */
void task_requeue(struct processor *p, struct task *t); /* at the end; wakes nobody */
/* ---- block.c */
void task_unpin(struct machine *m);
/* ---- take.c */
/* True: the processor is the caller's, its thread has none any more. False: try later, or not at all. */
bool processor_take_running(struct processor *p);
bool processor_take_blocked(struct processor *p);

/* ---- switch.c: leaving the current task for another; return the machine it went on on */
/* `after` says what becomes of the current task. */
struct machine *machine_leave_task(struct machine *m, enum after after, struct spin *lock);
void machine_settle(struct machine *m); /* first thing after any switch */
void machine_run(struct machine *m,
                 struct task *t); /* from the loop, until a task switches back to it */

/* ---- machine.c */
void machine_loop(struct machine *m); /* until sched.done */
/* A thread for `p`, an idle one or a new one; `spinning`: it was counted already. */
void machine_start(struct processor *p, bool spinning, struct task *given);
/* Without a processor, until it is given one. False: sched.done */
bool machine_stop(struct machine *m);
void machine_wake_one(void); /* one more spinning thread, if a processor is idle and none spins */
void timers_need_look(int64_t when); /* a timer became the first of its heap: see that somebody looks in time */
void machine_hand_off(struct processor *p); /* to a thread if there is work for it, else it is idle */
int machine_new(struct machine **ret);
void machines_done(void);

/* ---- find.c */
/* A task is queued somewhere. Begins with a full barrier: after a processor became idle. */
bool work_waits(void);
bool find_turn(const struct processor *p);  /* the loop is to look at everything now */
struct task *find_local(struct machine *m); /* the next of this processor; NULL: look further */
struct task *find_runnable(struct machine *m); /* waits until there is one; the processor may change. NULL: done */

/* ---- processor.c */
int processors_init(uint32_t n);
void processors_done(void);
struct processor *processor_make(uint32_t index);
/* sched.lock is held */
struct processor *processor_take_idle(void);
void processor_put_idle(struct processor *p);
void processor_bind(struct machine *m, struct processor *p);
void processor_unbind(struct machine *m); /* m->p is NULL then, and the processor is nobody's */
void global_put(struct task_list *l);     /* takes the lock */
struct task *global_take(struct processor *p,
                         uint32_t max); /* lock held; the rest of a share goes to p's ring */
uint64_t processor_random(struct processor *p);

/* ---- tasks.c */
struct task *task_new(struct machine *m); /* NULL: no memory, or no more */
int tasks_error(void);                    /* why: -ENOMEM; -EAGAIN: there are as many as can be */
void tasks_limit(uint32_t slabs);         /* of 256 (tests) */
void task_free(struct processor *p, struct task *t);
void tasks_done(void);
void tasks_each(void (*fn)(struct task *t, void *arg), void *arg); /* every one that is not free */

/* ---- monitor.c */
int monitor_start(void);
void monitor_stop(void);
enum monitor_pace { PACE_FAST, PACE_SLOW, PACE_CALM, PACE_ASLEEP };
/* It looks at least at this pace from now on: FAST when a declared call begins, CALM when a processor goes
 * from idle to running while it is asleep (nothing that begins now can be overdue earlier). */
void monitor_notice(uint32_t pace);
extern _Atomic uint32_t monitor_sleeps; /* enum monitor_pace */
bool monitor_unneeded(void);            /* no task could keep another from anything */
/* A processor goes from idle to running, or a task is made. */
static inline void monitor_needed(void)
{
    if (__builtin_expect(atomic_load(&monitor_sleeps) == PACE_ASLEEP, 0) && !monitor_unneeded())
        monitor_notice(PACE_CALM);
}

/* ---- world.c */
struct machine *world_stop(struct machine *m); /* m may be NULL: the monitor. Where its task goes on */
void world_start(struct machine *m);
bool world_give_up(struct machine *m); /* the loop of a machine that found sched.stopping; false: sched.done */
void world_take(struct processor *p); /* sched.lock is held, the world is stopping: p is its */
/* ---- deadlock.c */
void deadlock_check(void); /* sched.lock is held; a machine went to sleep */
