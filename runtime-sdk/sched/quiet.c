/* quiet.c - see quiet.h.
 *
 * The monitor says that it sleeps and then looks at `quiet`; a task that goes on
 * clears `quiet` and then, when it makes another task, looks whether the monitor
 * sleeps. All of it is sequentially consistent, so one of the two sees the other. */
#include "sched/quiet.h"

#include "sched/internal.h"

static uint64_t alive(void)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);
    uint64_t spawned = 0, ended = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct counters *c = &sched.all[i]->counters;

        ended += atomic_load_explicit(&c->ended, memory_order_relaxed);
        spawned += atomic_load_explicit(&c->spawned, memory_order_relaxed);
    }
    return spawned - ended;
}

bool monitor_unneeded(void)
{
    return sched.unwatched && alive() <= sched.unwatched;
}

void sched_unwatched(uint32_t tasks)
{
    sched.unwatched = tasks;
}

bool sched_quiet_begin(uint32_t tasks)
{
    struct machine *m = sched_enter();
    bool quiet;

    if (!m)
        return false;
    quiet = alive() <= tasks;
    if (quiet)
        atomic_store(&sched.quiet, true);
    sched_leave(m);
    return quiet;
}

void sched_quiet_end(void)
{
    atomic_store(&sched.quiet, false);
}
