/* tasks.c - the memory of tasks: slabs that live as long as the scheduler, and free lists. */
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLAB_TASKS = 256,
    FREE_MAX = 128,    /* of a processor; half goes to the global list above it */
    SLABS_MAX = 65536, /* 16 million tasks */
};

struct slab {
    _Atomic uint32_t used;
    struct task tasks[SLAB_TASKS];
};

static struct {
    struct lock lock; /* over what follows */
    struct task *free;
    struct slab *slabs[SLABS_MAX];
    _Atomic uint32_t count;
} memory;
static _Atomic uint32_t slabs_max = SLABS_MAX;

static struct task *chain_take(struct task **from)
{
    struct task *t = *from;

    *from = t->next;
    return t;
}

static struct task *slab_task(void)
{
    uint32_t n = atomic_load_explicit(&memory.count, memory_order_relaxed);
    struct slab *s = n ? memory.slabs[n - 1] : NULL;
    uint32_t used = s ? atomic_load_explicit(&s->used, memory_order_relaxed) : SLAB_TASKS;

    if (used == SLAB_TASKS) {
        if (n >= atomic_load_explicit(&slabs_max, memory_order_relaxed))
            return NULL;
        s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (s == MAP_FAILED)
            return NULL;
        memory.slabs[n] = s;
        atomic_store_explicit(&memory.count, n + 1, memory_order_release);
        used = 0;
    }
    atomic_store_explicit(&s->used, used + 1, memory_order_release);
    return &s->tasks[used];
}

static void refill(struct processor *p)
{
    lock_acquire(&memory.lock);
    while (p->free_count < FREE_MAX / 2) {
        struct task *t = memory.free ? chain_take(&memory.free) : slab_task();

        if (!t)
            break;
        t->next = p->free;
        p->free = t;
        p->free_count++;
    }
    lock_release(&memory.lock);
}

struct task *task_new(struct machine *m)
{
    struct processor *p = m->p;

    if (__builtin_expect(!p->free, 0))
        refill(p);
    if (!p->free)
        return NULL;
    p->free_count--;
    return chain_take(&p->free);
}

int tasks_error(void)
{
    return atomic_load_explicit(&memory.count, memory_order_relaxed) <
                   atomic_load_explicit(&slabs_max, memory_order_relaxed)
               ? -ENOMEM
               : -EAGAIN;
}

void tasks_limit(uint32_t slabs)
{
    atomic_store(&slabs_max, slabs < SLABS_MAX ? slabs : SLABS_MAX);
}

static void give_back(struct processor *p)
{
    lock_acquire(&memory.lock);
    while (p->free_count > FREE_MAX / 2) {
        struct task *t = chain_take(&p->free);

        t->next = memory.free;
        memory.free = t;
        p->free_count--;
    }
    lock_release(&memory.lock);
}

void task_free(struct processor *p, struct task *t)
{
    atomic_store_explicit(&t->state, TASK_FREE, memory_order_relaxed);
    t->next = p->free;
    p->free = t;
    if (__builtin_expect(++p->free_count > FREE_MAX, 0))
        give_back(p);
}

void tasks_each(void (*fn)(struct task *t, void *arg), void *arg)
{
    uint32_t slabs = atomic_load_explicit(&memory.count, memory_order_acquire);

    for (uint32_t i = 0; i < slabs; i++) {
        struct slab *s = memory.slabs[i];
        uint32_t used = atomic_load_explicit(&s->used, memory_order_acquire);

        for (uint32_t k = 0; k < used; k++) {
            if (atomic_load_explicit(&s->tasks[k].state, memory_order_acquire) != TASK_FREE)
                fn(&s->tasks[k], arg);
        }
    }
}

void tasks_done(void)
{
    for (uint32_t i = 0; i < memory.count; i++)
        munmap(memory.slabs[i], sizeof(struct slab));
    memset(&memory, 0, sizeof(memory));
}
