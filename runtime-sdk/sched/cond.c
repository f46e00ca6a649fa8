/* cond.c - rouse_cond. A task is on the list before it gives the mutex back, so a signal that comes with or
 * after the next holder of the mutex finds it. */
#include "sched/mutex.h"
#include "sched/waiters.h"

#include <errno.h>

struct cond {
    struct spin lock;
    struct waiters waiters;
};
_Static_assert(sizeof(struct cond) <= sizeof(struct rouse_cond), "fits");

static int wait_in(struct machine **m, struct cond *c, struct rouse_mutex *mutex, int64_t deadline)
{
    struct waiter w = {.task = (*m)->current};
    int r = wait_open_until(*m, "condition", deadline);

    if (r < 0)
        return r;
    spin_acquire(&c->lock);
    waiters_push(&c->waiters, &w);
    spin_release(&c->lock);
    mutex_unlock(*m, mutex);
    r = wait_park(m, NULL, deadline);
    if (r < 0) {
        spin_acquire(&c->lock);
        waiters_remove(&c->waiters, &w);
        spin_release(&c->lock);
    }
    mutex_lock(m, mutex, ROUSE_NEVER, WAIT_ALWAYS);
    return r;
}

int rouse_cond_wait(struct rouse_cond *cond, struct rouse_mutex *mutex, int64_t deadline)
{
    struct machine *m = sched_enter();
    int r;

    if (!m)
        return -EPERM;
    r = wait_in(&m, (struct cond *)cond, mutex, deadline);
    sched_leave(m);
    return r;
}

void rouse_cond_signal(struct rouse_cond *cond)
{
    struct cond *c = (struct cond *)cond;
    struct machine *m = sched_enter();
    struct waiter *w;

    if (!m)
        return;
    spin_acquire(&c->lock);
    w = waiters_claim(&c->waiters);
    spin_release(&c->lock);
    if (w)
        task_ready(m, w->task);
    sched_leave(m);
}

void rouse_cond_broadcast(struct rouse_cond *cond)
{
    struct cond *c = (struct cond *)cond;
    struct machine *m = sched_enter();
    struct task_list woken = {0};

    if (!m)
        return;
    spin_acquire(&c->lock);
    waiters_claim_all(&c->waiters, 0, &woken);
    spin_release(&c->lock);
    task_ready_list(m, &woken);
    sched_leave(m);
}
