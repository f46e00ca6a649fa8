/* block.c - declared blocking calls, and tasks that stay on their thread. */
#include "sched/internal.h"

void rouse_block_begin(void)
{
    struct machine *m = sched_enter();
    struct processor *p;

    if (!m)
        return;
    p = m->p;
    processor_unbind(m);
    m->blocked = p;
    processor_turn(p);
    /* Whatever else of the scheduler is called from here on takes the slow way in, and ends the process. A
     * taker that asked a moment ago finds its question gone. */
    atomic_store_explicit(&m->taken, TAKEN_BLOCKED, memory_order_relaxed);
    atomic_store_explicit(&p->status, PROC_BLOCKED, memory_order_release);
    if (atomic_load_explicit(&monitor_sleeps, memory_order_relaxed) &&
        (!atomic_load_explicit(&sched.idle_count, memory_order_relaxed) || !queue_empty(&p->queue)))
        monitor_notice(PACE_FAST);
    sched_leave(m);
}

void rouse_block_end(void)
{
    struct machine *m = machine_self();
    uint32_t status = PROC_BLOCKED;
    struct processor *p;

    if (atomic_load_explicit(&m->taken, memory_order_relaxed) != TAKEN_BLOCKED)
        return; /* no task, or nothing began */
    p = m->blocked;
    m->blocked = NULL;
    /* Release, here and below: a taker that finds what it looks for also finds that it is inside. */
    atomic_store_explicit(&m->inside, 1, memory_order_relaxed);
    atomic_store_explicit(&m->taken, TAKEN_NONE, memory_order_release);
    if (atomic_compare_exchange_strong_explicit(&p->status, &status, PROC_RUNNING,
                                                memory_order_acq_rel, memory_order_relaxed)) {
        m->p = p;
        atomic_store_explicit(&p->machine, m, memory_order_release);
    } else {
        m = machine_find_processor(m);
    }
    sched_leave(m);
}

void rouse_pin(void)
{
    struct machine *m = sched_enter();

    if (!m)
        return;
    if (!m->current->pins++) {
        m->current->pinned = m;
        m->pinned = m->current;
    }
    sched_leave(m);
}

static void unpin(struct machine *m)
{
    m->current->pinned = NULL;
    m->pinned = NULL;
}

void rouse_unpin(void)
{
    struct machine *m = sched_enter();

    if (!m)
        return;
    if (m->current->pins && !--m->current->pins)
        unpin(m);
    sched_leave(m);
}

void task_unpin(struct machine *m)
{
    if (m->current->pins)
        unpin(m);
    m->current->pins = 0;
}
