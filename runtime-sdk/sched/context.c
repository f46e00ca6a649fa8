/* context.c - the first frame of a context. */
#include "sched/context.h"

#include <stdint.h>
#include <string.h>

extern void sched_context_begin(void);

#if defined(__x86_64__)
/* What sched_context_swap() pops, lowest first. */
struct first_frame {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*resume)(void);
    uint64_t padding[2]; /* sched_context_begin() calls with an aligned stack */
};
#endif

void context_init(struct context *c, void *top, void (*entry)(void *value))
{
    struct first_frame *f = (struct first_frame *)((char *)top - sizeof(*f));

    memset(f, 0, sizeof(*f));
    f->rbx = (uint64_t)(uintptr_t)entry;
    f->resume = sched_context_begin;
    c->sp = f;
}
