/* once.c - rouse_once. The function runs on the stack of the first task that comes; its result is stored
 * before DONE, which is what later ones look at. */
#include "sched/internal.h"
#include "sched/waiters.h"

#include <errno.h>

enum { NEW, BUSY, DONE };

struct once {
    _Atomic uint32_t state;
    struct spin lock; /* over the change to DONE, and the list */
    int result;
    struct waiters waiters;
};
_Static_assert(sizeof(struct once) <= sizeof(struct rouse_once), "fits");

static uint32_t state_of(struct once *o)
{
    return atomic_load_explicit(&o->state, memory_order_acquire);
}

static void done(struct once *o, int result)
{
    struct machine *m = sched_enter();
    struct task_list woken = {0};

    spin_acquire(&o->lock);
    o->result = result;
    atomic_store_explicit(&o->state, DONE, memory_order_release);
    waiters_claim_all(&o->waiters, 0, &woken);
    spin_release(&o->lock);
    task_ready_list(m, &woken);
    sched_leave(m);
}

/* 0: it is done. */
static int wait_for(struct machine **m, struct once *o, int64_t deadline)
{
    struct waiter w = {.task = (*m)->current};
    int r = wait_open_until(*m, "once", deadline);

    if (r < 0)
        return r;
    spin_acquire(&o->lock);
    if (state_of(o) == DONE) {
        spin_release(&o->lock);
        if (!wait_abandon(*m))
            wait_park(m, NULL, ROUSE_NEVER); /* cancelled meanwhile */
        return 0;
    }
    waiters_push(&o->waiters, &w);
    r = wait_park(m, &o->lock, deadline);
    if (r < 0) {
        spin_acquire(&o->lock);
        waiters_remove(&o->waiters, &w);
        spin_release(&o->lock);
    }
    return r;
}

int rouse_once(struct rouse_once *once, int (*fn)(void *), void *arg, int64_t deadline)
{
    struct once *o = (struct once *)once;
    struct machine *m = sched_enter();
    uint32_t state = NEW;
    int r = 0;

    if (!m)
        return -EPERM;
    if (state_of(o) != DONE &&
        atomic_compare_exchange_strong_explicit(&o->state, &state, BUSY, memory_order_acquire,
                                                memory_order_acquire)) {
        sched_leave(m);
        r = fn(arg);
        done(o, r);
        return r;
    }
    if (state_of(o) != DONE)
        r = wait_for(&m, o, deadline);
    sched_leave(m);
    return r < 0 ? r : o->result;
}
