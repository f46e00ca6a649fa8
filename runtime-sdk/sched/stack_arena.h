/* stack_arena.h - where stacks are made: arenas of address space with room for many, one below the other. */
#pragma once
#include "sched/stack.h"

enum { STACK_CLASSES = 17 }; /* STACK_MIN << 0 to STACK_MAX */

/* STACK_CLASSES and above: too large. */
static inline uint32_t stack_class(size_t size)
{
    return size <= STACK_MIN ? 0 : 50 - (uint32_t)__builtin_clzll((unsigned long long)size - 1);
}
struct stack *stack_make(uint32_t size_class); /* NULL: no memory. Any thread */
void stack_discard(struct stack *s);           /* its pages go back to the kernel */
void stack_arenas_done(void);
