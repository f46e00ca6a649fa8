/* context.h - a suspended flow of control: its stack pointer, with the registers that a call keeps on
 * the stack above it.
 *
 * The floating-point control words belong to the thread, not to the context. */
#pragma once
#include <stddef.h>

struct context {
    void *sp;
};

/* Suspends the caller in `*from` and goes on in `*to`; returns when somebody comes back, with the
 * `value` that one gave. */
static inline void *context_switch(struct context *from, const struct context *to, void *value)
{
    extern void *sched_context_swap(void **save, void *sp, void *value);

    return sched_context_swap(&from->sp, to->sp, value);
}
/* A context that begins as entry(value) on the stack below `top` (16-byte aligned); it never returns. */
void context_init(struct context *c, void *top, void (*entry)(void *value));
