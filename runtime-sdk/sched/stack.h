/* stack.h - stacks of tasks: reserved address space, of which the pages that were touched are resident.
 *
 * Each has guard pages below it. Stacks are pooled, hot ones first; a pool is a
 * processor's own, or the global one. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { STACK_DEFAULT = 256 << 10, STACK_MIN = 16 << 10, STACK_MAX = 1 << 30 };

struct stack {
    struct stack *next;
    char *low, *top; /* the guard is below `low` */
    uint32_t color; /* `top` is lowered by this much, so that stacks do not meet in the same cache sets */
    void *tool; /* what a sanitizer knows it by */
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
/* The stack whose guard holds `address`; NULL: none. Async-signal-safe. */
const struct stack *stack_guarding(const void *address);
void stacks_done(void); /* unmaps every stack; none is in use */
static inline size_t stack_size(const struct stack *s)
{
    return (size_t)(s->top - s->low);
}
