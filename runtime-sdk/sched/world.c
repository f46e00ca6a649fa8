/* world.c - holding all processors at once: rouse_maxprocs(), reports.
 *
 * Nobody waits for a task: processors of running tasks are taken as the monitor
 * takes them, those of threads in the scheduler are given up there. */
#include "sched/internal.h"

#include <errno.h>
#include <time.h>

enum { ASK_AGAIN_NS = 50000 };

void world_take(struct processor *p)
{
    atomic_store_explicit(&p->status, PROC_STOPPED, memory_order_release);
    if (--sched.world_left == 0) {
        atomic_fetch_add(&sched.world_change, 1);
        futex_wake(&sched.world_change, 1);
    }
}

bool world_give_up(struct machine *m)
{
    struct processor *p = m->p;
    bool stopping;

    lock_acquire(&sched.lock);
    stopping = atomic_load_explicit(&sched.stopping, memory_order_relaxed);
    if (stopping) {
        processor_unbind(m);
        world_take(p);
        if (m->spinning) {
            m->spinning = false;
            atomic_fetch_sub(&sched.spinning, 1);
        }
    }
    lock_release(&sched.lock);
    return !stopping || machine_stop(m);
}

/* One stopper at a time; another one's task must give its processor to the first. */
static struct machine *begin(struct machine *m)
{
    uint32_t free = 0;

    while (!atomic_compare_exchange_strong(&sched.world.word, &free, 1)) {
        if (m)
            m = machine_leave_task(m, AFTER_YIELD, NULL);
        else
            nanosleep(&(struct timespec){.tv_nsec = ASK_AGAIN_NS}, NULL);
        free = 0;
    }
    return m;
}

static void take_what_runs(void)
{
    for (uint32_t i = 0; i < sched.made; i++) {
        struct processor *p = sched.all[i];
        uint32_t status = atomic_load_explicit(&p->status, memory_order_acquire);

        if ((status == PROC_RUNNING && processor_take_running(p)) ||
            (status == PROC_BLOCKED && processor_take_blocked(p))) {
            lock_acquire(&sched.lock);
            world_take(p);
            lock_release(&sched.lock);
        }
    }
}

struct machine *world_stop(struct machine *m)
{
    struct processor *p;

    m = begin(m);
    lock_acquire(&sched.lock);
    sched.world_left = atomic_load(&sched.procs);
    atomic_store(&sched.stopping, true);
    while ((p = processor_take_idle()))
        world_take(p);
    if (m) {
        atomic_store_explicit(&m->p->machine, NULL, memory_order_relaxed);
        world_take(m->p);
    }
    lock_release(&sched.lock);
    for (;;) {
        uint32_t change = atomic_load(&sched.world_change);
        uint32_t left;

        lock_acquire(&sched.lock);
        left = sched.world_left;
        lock_release(&sched.lock);
        if (!left)
            return m;
        take_what_runs();
        futex_wait(&sched.world_change, change, ASK_AGAIN_NS);
    }
}

void world_start(struct machine *m)
{
    uint32_t n = atomic_load(&sched.procs);
    struct processor *p;

    lock_acquire(&sched.lock);
    if (m)
        processor_bind(m, m->p);
    for (uint32_t i = n; i-- > 0;) {
        p = sched.all[i];
        if (!m || p != m->p)
            processor_put_idle(p);
    }
    atomic_store(&sched.stopping, false);
    lock_release(&sched.lock);
    atomic_store(&sched.world.word, 0);
    /* Who is woken first finds work, takes it from every queue, and wakes the next. Also without
     * work somebody must wait for the timers and for the poller. */
    machine_wake_one();
}

/* The queue and the timers of a processor that goes away. */
static int empty(struct processor *p)
{
    struct task_list l = {0};
    struct task *t = queue_swap_next(&p->queue, NULL, false);

    if (t)
        task_list_push(&l, t);
    while ((t = queue_take(&p->queue, false)))
        task_list_push(&l, t);
    lock_acquire(&sched.lock);
    task_list_append(&sched.global, &l);
    atomic_store(&sched.global_count, sched.global.count);
    lock_release(&sched.lock);
    return timers_move(&sched.all[0]->timers, &p->timers);
}

static int resize(uint32_t n)
{
    uint32_t was = atomic_load(&sched.procs);

    for (uint32_t i = sched.made; i < n; i++) {
        if (!processor_make(i))
            return -ENOMEM;
    }
    for (uint32_t i = n; i < was; i++) {
        int r = empty(sched.all[i]);

        if (r < 0)
            return r;
    }
    atomic_store(&sched.procs, n);
    return 0;
}

int rouse_maxprocs(int n)
{
    struct machine *m;
    int was, r = 0;

    if (n < 0 || n > PROCS_MAX)
        return -EINVAL;
    m = sched_enter();
    if (!m)
        return -EPERM;
    was = (int)atomic_load(&sched.procs);
    if (n && n != was) {
        m = world_stop(m);
        was = (int)atomic_load(&sched.procs);
        r = resize((uint32_t)n);
        /* The caller's own may be one of those that are no more. */
        if (r == 0 && m->p->index >= (uint32_t)n)
            m->p = sched.all[0];
        world_start(m);
    }
    sched_leave(m);
    return r < 0 ? r : was;
}
