/* turn.h - for tests that run a loop by hand: one turn of it, or for a while. */
#pragma once
#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/loop.h"

struct turn {
    struct loop_deferred deferred;
    struct loop_timer timer;
    struct loop *loop;
};

static inline void turn_over(struct loop_deferred *d)
{
    loop_stop(container_of(d, struct turn, deferred)->loop);
}

/* One turn of the loop, without waiting. */
static inline void run_once(struct loop *l)
{
    static struct turn t = {.deferred.fn =
                                turn_over}; /* may outlive a run that was stopped before it began */

    t.loop = l;
    loop_defer(l, &t.deferred);
    loop_run(l);
}

static inline void turn_late(struct loop_timer *t)
{
    loop_stop(container_of(t, struct turn, timer)->loop);
}

/* Or until somebody stops it. */
static inline void run_for(struct loop *l, uint64_t ns)
{
    struct turn t = {.timer.fn = turn_late, .loop = l};

    loop_timer_set(l, &t.timer, clock_monotonic_ns() + ns);
    loop_run(l);
    loop_timer_cancel(l, &t.timer);
}
