/* context.h - a suspended flow of control: its stack pointer, with the registers that a call keeps on
 * the stack above it.
 *
 * The floating-point control words belong to the thread, not to the context.
 * Sanitizers are told of each switch (context_tools.h); other builds pay nothing. */
#pragma once
#include "sched/context_tools.h"

struct context {
    void *sp;
    struct context_tools tools; /* empty without a sanitizer */
};

/* Suspends the caller in `*from` and goes on in `*to`; returns when somebody comes back, with the
 * `value` that one gave. */
static inline void *context_switch(struct context *from, const struct context *to, void *value)
{
    extern void *sched_context_swap(void **save, void *sp, void *value);

    context_tools_leave(&from->tools, &to->tools);
    value = sched_context_swap(&from->sp, to->sp, value);
    context_tools_arrive(&from->tools);
    return value;
}
/* The caller's next switch away from `c` is its last. */
static inline void context_ends(struct context *c)
{
    context_tools_end(&c->tools);
}
/* A context that begins as entry(value) on `s`; it never returns. */
void context_init(struct context *c, struct stack *s, void (*entry)(void *value));
