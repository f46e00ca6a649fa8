/* context.c - the first frame of a context. */
#include "sched/context.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

extern void sched_context_begin(void);

/* What sched_context_swap() takes off the stack, lowest first; sched_context_begin() calls
 * begin(the value it was given, entry). */
#if defined(__x86_64__)
struct first_frame {
    uint64_t r15, r14, r13, entry, begin, frame_pointer;
    void (*resume)(void);
    uint64_t padding[2]; /* sched_context_begin() calls with an aligned stack */
};
#elif defined(__aarch64__)
struct first_frame {
    uint64_t frame_pointer;
    void (*resume)(void);
    uint64_t begin, entry, x21_to_x28[8], d8_to_d15[8];
};
#else
#error "sched: contexts are written for x86-64 and AArch64 (context_*.S, struct first_frame) only"
#endif

static void begin(void *value, void (*entry)(void *value))
{
    context_tools_begin();
    entry(value);
}

#if defined(__aarch64__) && defined(__ARM_FEATURE_PAC_DEFAULT)
/* As paciasp does in sched_context_swap(), for the stack pointer that it will have. */
static void (*sign(void (*function)(void), const void *sp))(void)
{
    register uint64_t x17 __asm__("x17") = (uint64_t)(uintptr_t)function;
    register uint64_t x16 __asm__("x16") = (uint64_t)(uintptr_t)sp;

    __asm__("pacia1716" : "+r"(x17) : "r"(x16));
    return (void (*)(void))(uintptr_t)x17;
}
#else
static void (*sign(void (*function)(void), const void *sp))(void)
{
    (void)sp;
    return function;
}
#endif

void context_init(struct context *c, struct stack *s, void (*entry)(void *value))
{
    struct first_frame *f = (struct first_frame *)(void *)(s->top - sizeof(*f));

    memset(f, 0, sizeof(*f));
    f->begin = (uint64_t)(uintptr_t)begin;
    f->entry = (uint64_t)(uintptr_t)entry;
    f->resume = sign(sched_context_begin, s->top);
    c->sp = f;
    context_tools_init(&c->tools, s);
}

#if defined(CONTEXT_ASAN)
void context_tools_thread(struct context_tools *t)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;

    if (pthread_getattr_np(pthread_self(), &attributes))
        return;
    if (!pthread_attr_getstack(&attributes, &low, &size)) {
        t->low = low;
        t->size = size;
    }
    pthread_attr_destroy(&attributes);
}
#endif
