/* stats.c - the counters, summed. Any thread. */
#include "sched/internal.h"

void rouse_sched_stats(struct rouse_sched_stats *ret)
{
    struct rouse_sched_stats s = {0};
    uint64_t ended = 0;
    uint32_t n;

    /* Under the lock, all of it: the run may end meanwhile, and its processors with it. */
    lock_acquire(&sched.lock);
    n = atomic_load_explicit(&sched.made, memory_order_acquire);
    s.procs = atomic_load(&sched.procs);
    s.threads = sched.machine_count;
    s.threads_idle = sched.idle_machine_count;
    for (uint32_t i = 0; i < n; i++) {
        struct processor *p = sched.all[i];
        struct counters *c = &p->counters;

        /* what ended first: a task is never seen to have ended without having begun */
        ended += atomic_load_explicit(&c->ended, memory_order_acquire);
        s.parks += atomic_load_explicit(&c->parks, memory_order_relaxed);
        s.steals += atomic_load_explicit(&c->steals, memory_order_relaxed);
        s.polls += atomic_load_explicit(&c->polls, memory_order_relaxed);
        s.runs += atomic_load_explicit(&p->tick, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < n; i++)
        s.spawned += atomic_load_explicit(&sched.all[i]->counters.spawned, memory_order_relaxed);
    s.handoffs = atomic_load_explicit(&sched.handoffs, memory_order_relaxed);
    s.preemptions = atomic_load_explicit(&sched.preemptions, memory_order_relaxed);
    lock_release(&sched.lock);
    s.tasks = s.spawned - ended;
    *ret = s;
}
