/* ready.c - making tasks runnable. Publish, a full barrier, then see whether somebody must be woken:
 * see internal.h on parking. */
#include "sched/internal.h"

/* Sequentially consistent loads after a sequentially consistent store, or a barrier: an exchange alone keeps
 * later plain loads behind it on x86-64, not on AArch64 (ldaxr, stlxr). */
static inline void wake_if_idle(void)
{
    if (atomic_load(&sched.idle_count) && !atomic_load(&sched.spinning))
        machine_wake_one();
}

static void put(struct processor *p, struct task *t)
{
    struct task_list spill = {0};

    queue_put(&p->queue, t, &spill);
    if (spill.first)
        global_put(&spill);
}

void task_ready(struct machine *m, struct task *t)
{
    bool alone = sched_alone();
    struct task *was;

    atomic_store_explicit(&t->state, TASK_RUNNABLE, memory_order_relaxed);
    was = queue_swap_next(&m->p->queue, t, alone);
    if (was)
        put(m->p, was);
    if (!alone)
        wake_if_idle();
}

void task_ready_list(struct machine *m, struct task_list *l)
{
    uint32_t n = l->count;
    struct task *t;

    if (!n)
        return;
    if (!m || !m->p) {
        global_put(l);
    } else {
        while ((t = task_list_pop(l)))
            put(m->p, t);
        full_barrier();
    }
    /* Each thread that is woken wakes the next one when it finds work. */
    wake_if_idle();
}

/* The task that has just yielded. No barrier: between the take of the next one and this, a thread may have looked,
 * found nothing and gone to sleep; whoever yields next sees that it did. */
void task_requeue(struct processor *p, struct task *t)
{
    atomic_store_explicit(&t->state, TASK_RUNNABLE, memory_order_relaxed);
    put(p, t);
    wake_if_idle();
}
