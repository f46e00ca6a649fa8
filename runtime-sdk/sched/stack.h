/* stack.h - stacks of tasks: reserved address space, of which the pages that were touched are resident.
 *
 * Each has guard pages below it. Stacks are pooled, hot ones first; a pool is a
 * processor's own, or the global one. Sizes are powers of two. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STACK_DEFAULT = 256 << 10, STACK_MIN = 16 << 10, STACK_MAX = 1 << 30 };

struct stack {
    struct stack *next;
    char *low, *top; /* the guard is below `low` */
    uint16_t color; /* `top` is lowered by this much, so that stacks do not meet in the same cache sets */
    uint8_t size_class;
    bool canary; /* nothing stops who writes below `low`: see stack_overflown() */
    uint32_t tool_uses;
    void *tool; /* what a sanitizer, or valgrind, knows it by */
};
struct stack_pool {
    struct stack *first;
    uint32_t count;
};

/* NULL: no memory. The caller owns `pool`. `size` as in rouse_task_options, 0 for the default. */
struct stack *stack_get(struct stack_pool *pool, size_t size);
void stack_put(struct stack_pool *pool, struct stack *s);
/* All of `pool` goes to the global pool. */
void stack_pool_done(struct stack_pool *pool);
/* Gives memory of stacks that nobody wanted for a second back to the kernel, some of them at a time. One thread
 * (the monitor), at any pace. True: there is more, now or later. */
bool stacks_trim(int64_t now);
/* The stack whose guard holds `address`; NULL: none. Async-signal-safe. */
const struct stack *stack_guarding(const void *address);
/* Something was written below a stack that has no guard. */
bool stack_overflown(const struct stack *s);
void stacks_done(void); /* unmaps every stack; none is in use */
/* What was reserved. */
static inline size_t stack_size(const struct stack *s)
{
    return (size_t)(s->top + s->color - s->low);
}

/* How the pages below a stack are guarded. Each kind falls back on the next where the kernel has it not, or
 * no more of it. */
enum stack_guard {
    STACK_GUARD_INSTALL, /* Linux 6.13: marks pages without splitting the mapping */
    STACK_GUARD_PROTECT, /* mprotect: two mappings a stack, of the process's 65,530 */
    STACK_GUARD_CANARY,  /* looked at afterwards */
};
/* The best kind to be used for stacks that are made from now on (tests). */
void stacks_guard_by(enum stack_guard kind);
