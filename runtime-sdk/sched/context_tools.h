/* context_tools.h - what AddressSanitizer and ThreadSanitizer are told of contexts.
 *
 * The one keeps the bounds of the running stack, and in what it calls a fake
 * stack the frames it moved to the heap. The other knows a context as a fiber:
 * there may be about 8,000, so that they stay with the stacks. A thread's own
 * stack gets its words at its first switch. */
#pragma once
#include "sched/stack.h"

#if defined(__SANITIZE_ADDRESS__)
#define CONTEXT_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define CONTEXT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONTEXT_ASAN 1
#elif __has_feature(thread_sanitizer)
#define CONTEXT_TSAN 1
#endif
#endif

#if defined(CONTEXT_ASAN)
#include <sanitizer/common_interface_defs.h>

struct context_tools {
    const void *low;
    size_t size;
    void *fake;
    bool ends;
};
void context_tools_thread(struct context_tools *t); /* the bounds of this thread's own stack */
static inline void context_tools_init(struct context_tools *t, const struct stack *s)
{
    *t = (struct context_tools){.low = s->low, .size = stack_size(s)};
}
static inline void context_tools_leave(struct context_tools *from, const struct context_tools *to)
{
    if (!from->low)
        context_tools_thread(from);
    __sanitizer_start_switch_fiber(from->ends ? NULL : &from->fake, to->low, to->size);
}
static inline void context_tools_arrive(struct context_tools *t)
{
    __sanitizer_finish_switch_fiber(t->fake, NULL, NULL);
}
static inline void context_tools_end(struct context_tools *t)
{
    t->ends = true;
}
static inline void context_tools_begin(void)
{
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}

#elif defined(CONTEXT_TSAN)
#include <sanitizer/tsan_interface.h>

struct context_tools {
    void *fiber;
};
static inline void context_tools_init(struct context_tools *t, struct stack *s)
{
    /* Each context leaves the frames of its last switch behind, and a fiber has room for 65,536. */
    if (s->tool && ++s->tool_uses == 1000) {
        __tsan_destroy_fiber(s->tool);
        s->tool = NULL;
    }
    if (!s->tool) {
        s->tool = __tsan_create_fiber(0);
        s->tool_uses = 0;
    }
    t->fiber = s->tool;
}
/* Inlined into the function that switches: the frames that ThreadSanitizer counts are those of the fiber. */
static inline __attribute__((always_inline)) void context_tools_leave(struct context_tools *from,
                                                                      const struct context_tools *to)
{
    if (!from->fiber)
        from->fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->fiber, 0);
}
static inline void context_tools_arrive(struct context_tools *t)
{
    (void)t;
}
static inline void context_tools_end(struct context_tools *t)
{
    (void)t;
}
static inline void context_tools_begin(void) {}

#else
struct context_tools {
};
static inline void context_tools_init(struct context_tools *t, const struct stack *s)
{
    (void)t;
    (void)s;
}
static inline void context_tools_leave(struct context_tools *from, const struct context_tools *to)
{
    (void)from;
    (void)to;
}
static inline void context_tools_arrive(struct context_tools *t)
{
    (void)t;
}
static inline void context_tools_end(struct context_tools *t)
{
    (void)t;
}
static inline void context_tools_begin(void) {}
#endif
