/* processor.c - processors (P), the list of idle ones, and the global run queue. */
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>

/* xorshift64: any thread's victims need no better. */
uint64_t processor_random(struct processor *p)
{
    uint64_t x = p->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return p->random = x;
}

struct processor *processor_make(uint32_t index)
{
    struct processor *p = aligned_alloc(_Alignof(struct processor), sizeof(*p));

    if (!p)
        return NULL;
    *p = (struct processor){.index = index, .status = PROC_STOPPED};
    p->random = 0x9e3779b97f4a7c15ull * (index + 1);
    p->timers.first = INT64_MAX;
    atomic_store_explicit(&sched.all[index], p, memory_order_release);
    atomic_store_explicit(&sched.made, index + 1, memory_order_release);
    return p;
}

int processors_init(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct processor *p = processor_make(i);

        if (!p)
            return -ENOMEM;
        processor_put_idle(p);
    }
    atomic_store_explicit(&sched.procs, n, memory_order_relaxed);
    return 0;
}

void processors_done(void)
{
    uint32_t n;

    lock_acquire(&sched.lock); /* of rouse_sched_stats() on another thread */
    n = atomic_exchange(&sched.made, 0);
    lock_release(&sched.lock);
    for (uint32_t i = 0; i < n; i++) {
        struct processor *p = sched.all[i];

        stack_pool_done(&p->stacks);
        timers_done(&p->timers);
        free(p);
    }
}

struct processor *processor_take_idle(void)
{
    struct processor *p = sched.idle_procs;

    if (!p)
        return NULL;
    sched.idle_procs = p->next_idle;
    atomic_fetch_sub(&sched.idle_count, 1);
    return p;
}

void processor_put_idle(struct processor *p)
{
    atomic_store_explicit(&p->status, PROC_IDLE, memory_order_release);
    p->next_idle = sched.idle_procs;
    sched.idle_procs = p;
    atomic_fetch_add(&sched.idle_count, 1);
}

void processor_bind(struct machine *m, struct processor *p)
{
    m->p = p;
    processor_turn(p);
    atomic_store_explicit(&p->bound_at, rouse_now(), memory_order_relaxed);
    atomic_store_explicit(&p->machine, m, memory_order_relaxed);
    atomic_store_explicit(&p->status, PROC_RUNNING, memory_order_release);
    /* Sequentially consistent, as idle_count was changed: the monitor says that it sleeps, and looks at
     * idle_count after that. */
    monitor_needed();
}

void processor_unbind(struct machine *m)
{
    struct processor *p = m->p;

    atomic_store_explicit(&p->machine, NULL, memory_order_relaxed);
    m->p = NULL;
}

void global_put(struct task_list *l)
{
    lock_acquire(&sched.lock);
    task_list_append(&sched.global, l);
    /* seq_cst: who publishes work looks at the idle and the spinning after it */
    atomic_store_explicit(&sched.global_count, sched.global.count, memory_order_seq_cst);
    lock_release(&sched.lock);
}

struct task *global_take(struct processor *p, uint32_t max)
{
    uint32_t procs = atomic_load_explicit(&sched.procs, memory_order_relaxed);
    uint32_t n = sched.global.count / procs + 1;
    struct task_list spill = {0};
    struct task *t = task_list_pop(&sched.global);

    if (n > QUEUE_RING / 2)
        n = QUEUE_RING / 2;
    if (max && n > max)
        n = max;
    while (t && n-- > 1 && sched.global.first && !spill.first)
        queue_put(&p->queue, task_list_pop(&sched.global), &spill);
    task_list_append(&sched.global, &spill);
    atomic_store_explicit(&sched.global_count, sched.global.count, memory_order_relaxed);
    return t;
}
