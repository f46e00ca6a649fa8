/* take.c - taking a processor from the thread that has it: the protocol that internal.h argues. */
#include "sched/internal.h"

static bool holds(struct machine *m, struct processor *p)
{
    return atomic_load_explicit(&p->machine, memory_order_acquire) == m &&
           atomic_load_explicit(&p->status, memory_order_acquire) == PROC_RUNNING;
}

/* Whoever takes processors does it alone: its question may have been answered, and another one's stand
 * in the same place, which is not its to turn into TAKEN. */
static struct spin asking;

static bool take(struct machine *m, struct processor *p)
{
    uint32_t t = TAKEN_NONE;
    bool outside;

    if (!atomic_compare_exchange_strong(&m->taken, &t, TAKEN_ASKED))
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

bool processor_take_running(struct processor *p)
{
    struct machine *m = atomic_load_explicit(&p->machine, memory_order_acquire);
    bool taken;

    if (!m || !spin_try(&asking))
        return false;
    taken = take(m, p);
    spin_release(&asking);
    return taken;
}

bool processor_take_blocked(struct processor *p)
{
    uint32_t status = PROC_BLOCKED;

    return atomic_compare_exchange_strong(&p->status, &status, PROC_STOPPED);
}
