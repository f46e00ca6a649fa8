/* take.c - taking a processor from the thread that has it: the protocol that internal.h argues. */
#include "sched/internal.h"

static bool holds(struct machine *m, struct processor *p)
{
    return atomic_load_explicit(&p->machine, memory_order_acquire) == m &&
           atomic_load_explicit(&p->status, memory_order_acquire) == PROC_RUNNING;
}

bool processor_take_running(struct processor *p)
{
    struct machine *m = atomic_load_explicit(&p->machine, memory_order_acquire);
    uint32_t t = TAKEN_NONE;
    bool outside;

    if (!m || !atomic_compare_exchange_strong(&m->taken, &t, TAKEN_ASKED))
        return false;
    membarrier_all();
    /* While it is outside it changes nothing, and when it enters it finds ASKED. */
    outside = !atomic_load_explicit(&m->inside, memory_order_acquire) && holds(m, p);
    t = TAKEN_ASKED;
    if (!atomic_compare_exchange_strong(&m->taken, &t, outside ? TAKEN_TAKEN : TAKEN_NONE) || !outside)
        return false;
    atomic_store_explicit(&p->machine, NULL, memory_order_relaxed);
    atomic_store_explicit(&p->status, PROC_STOPPED, memory_order_release);
    return true;
}

bool processor_take_blocked(struct processor *p)
{
    uint32_t status = PROC_BLOCKED;

    return atomic_compare_exchange_strong(&p->status, &status, PROC_STOPPED);
}
