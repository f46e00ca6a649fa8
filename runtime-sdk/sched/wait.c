/* wait.c - how a task waits and is claimed: see task.h. */
#include "sched/internal.h"

#include <errno.h>

static void open_claim(struct task *t, const char *what)
{
    uint32_t was = atomic_load_explicit(&t->claim, memory_order_relaxed);

    t->waits_for = what;
    t->since = atomic_load_explicit(&sched.now, memory_order_relaxed);
    t->woken = 0;
    /* release: whoever sees the wait open also sees whether it is shielded */
    atomic_store_explicit(&t->claim, was + 1, memory_order_release);
    /* Against a canceller, who sets `canceled`, has a barrier run on every cpu (membarrier) and then
     * looks at the claim: a barrier here is needed only where there is no membarrier. */
    if (atomic_load_explicit(&sched.fence, memory_order_relaxed))
        full_barrier();
    else
        atomic_signal_fence(memory_order_seq_cst);
}

int wait_open(struct machine *m, const char *what)
{
    struct task *t = m->current;

    atomic_store_explicit(&t->shielded, false, memory_order_relaxed);
    open_claim(t, what);
    if (__builtin_expect(!atomic_load_explicit(&t->canceled, memory_order_acquire), 1))
        return 0;
    /* Else the canceller has claimed it already: wait_park() says so. */
    return wait_abandon(m) ? -ECANCELED : 0;
}

void wait_open_always(struct machine *m, const char *what)
{
    atomic_store_explicit(&m->current->shielded, true, memory_order_relaxed);
    open_claim(m->current, what);
}

bool wait_abandon(struct machine *m)
{
    struct task *t = m->current;

    return wait_claim_generation(t, atomic_load_explicit(&t->claim, memory_order_relaxed), 0);
}

int wait_park(struct machine **m, struct spin *lock, int64_t deadline)
{
    struct task *t = (*m)->current;

    if (deadline != ROUSE_NEVER && timer_start(*m, t, deadline) < 0 &&
        wait_claim_generation(t, atomic_load_explicit(&t->claim, memory_order_relaxed), -ENOMEM)) {
        if (lock)
            spin_release(lock);
        return t->woken;
    }
    count(&(*m)->p->counters.parks);
    atomic_store_explicit(&t->state, TASK_WAITING, memory_order_relaxed);
    *m = machine_leave_task(*m, AFTER_PARK, lock);
    if (t->timer.heap)
        timer_stop(t);
    return t->woken;
}

bool wait_claim_generation(struct task *t, uint32_t generation, int result)
{
    /* acquire: the task's words before it opened; the result is written after the claim, by the one
     * who has it, and read by the task after task_ready() */
    if (!(generation & 1) ||
        !atomic_compare_exchange_strong_explicit(&t->claim, &generation, generation + 1,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    t->woken = result;
    return true;
}

bool wait_claim(struct task *t, int result)
{
    return wait_claim_generation(t, atomic_load_explicit(&t->claim, memory_order_relaxed), result);
}

uint32_t wait_generation(const struct task *t)
{
    return atomic_load_explicit(&t->claim, memory_order_relaxed);
}

/* ---- cancelling */

bool task_cancel_wait(struct task *t)
{
    uint32_t generation = atomic_load_explicit(&t->claim, memory_order_acquire);

    return (generation & 1) && !atomic_load_explicit(&t->shielded, memory_order_relaxed) &&
           wait_claim_generation(t, generation, -ECANCELED);
}

static void mark(struct task *t, void *arg)
{
    (void)arg;
    atomic_store_explicit(&t->canceled, true, memory_order_release);
}

static void wake(struct task *t, void *arg)
{
    if (task_cancel_wait(t))
        task_ready(arg, t);
}

void tasks_cancel_all(struct machine *m)
{
    tasks_each(mark, NULL);
    membarrier_all();
    tasks_each(wake, m);
}
