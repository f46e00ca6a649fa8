/* enter.c - the slow way into the scheduler: the processor is asked for, or gone. See internal.h. */
#include "sched/internal.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct machine foreign = {.taken = TAKEN_FOREIGN};
_Thread_local struct machine *sched_self = &foreign;

int membarrier_init(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0)
        return -errno;
    return 0;
}

void membarrier_all(void)
{
    full_barrier();
    if (atomic_load_explicit(&sched.fence, memory_order_relaxed))
        return;
    while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) < 0) {
        if (errno != ENOMEM) { /* of a moment; but a filter that came later refuses for ever */
            perror("rouse: membarrier");
            abort();
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

struct machine *machine_find_processor(struct machine *m)
{
    struct processor *p = NULL;

    if (atomic_load_explicit(&sched.idle_count, memory_order_relaxed)) {
        lock_acquire(&sched.lock);
        p = processor_take_idle();
        if (p)
            processor_bind(m, p);
        lock_release(&sched.lock);
    }
    if (p)
        return m;
    return machine_leave_task(m, AFTER_LOST, NULL);
}

struct machine *sched_enter_slow(struct machine *m)
{
    uint32_t t = atomic_load_explicit(&m->taken, memory_order_acquire);

    if (t == TAKEN_FOREIGN)
        return NULL;
    if (t == TAKEN_BLOCKED) {
        fputs("rouse: a function of the scheduler was called between rouse_block_begin() and rouse_block_end()\n",
              stderr);
        abort();
    }
    t = TAKEN_ASKED;
    if (atomic_compare_exchange_strong_explicit(&m->taken, &t, TAKEN_NONE, memory_order_acq_rel,
                                                memory_order_acquire) ||
        t == TAKEN_NONE)
        return m; /* the taker came too late */
    m->p = NULL;
    atomic_store_explicit(&m->taken, TAKEN_NONE, memory_order_relaxed);
    return machine_find_processor(m);
}
