/* stack_tools.h - what sanitizers and valgrind are told of stacks. A switch between stacks that valgrind was not
 * told of looks to it like one frame of hundreds of KiB. */
#pragma once
#include "sched/context_tools.h"

#if defined(CONTEXT_ASAN)
#include <sanitizer/asan_interface.h>
#elif !defined(CONTEXT_TSAN) && __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define STACK_VALGRIND 1
#endif

/* It was made. */
static inline void stack_tell(struct stack *s)
{
#if defined(STACK_VALGRIND)
    s->tool = (void *)(uintptr_t)VALGRIND_STACK_REGISTER(s->low, s->low + stack_size(s));
#else
    (void)s;
#endif
}
/* It goes away. */
static inline void stack_untell(struct stack *s)
{
#if defined(STACK_VALGRIND)
    VALGRIND_STACK_DEREGISTER((uintptr_t)s->tool);
#elif defined(CONTEXT_TSAN)
    if (s->tool)
        __tsan_destroy_fiber(s->tool);
#else
    (void)s;
#endif
}
/* The task on it has ended: red zones of frames that it never returned from are no errors of the next one's. */
static inline void stack_forget(struct stack *s)
{
#if defined(CONTEXT_ASAN)
    __asan_unpoison_memory_region(s->low, stack_size(s));
#else
    (void)s;
#endif
}
