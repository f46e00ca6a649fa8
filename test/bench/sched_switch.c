/* sched_switch.c - a switch of contexts: `sched_switch ours|asm` prints the nanoseconds of one.
 *
 * asm is the floor: the six registers that a call keeps, the stack pointer, and a return. Both contexts are in the same
 * loop, as tasks are that wait in the same call: that is what a processor predicts the return of. */
/* module: runtime-sdk/sched */
#include "sched/context.h"
#include "sched/stack.h"

#include "sched_bench.h"

enum { SWITCHES = 40000000 };

static struct stack *other_stack;

/* ---- ours */
static struct context main_context, other_context;

static __attribute__((noinline)) void switch_back_and_forth(struct context *from, struct context *to)
{
    for (long i = 0; i < SWITCHES / 2; i++)
        context_switch(from, to, NULL);
}
static void other(void *unused)
{
    (void)unused;
    for (;;)
        switch_back_and_forth(&other_context, &main_context);
}
static void ours(void)
{
    switch_back_and_forth(&main_context, &other_context);
}

/* ---- the bare one */
void *bare_swap(void **save, void *to);
#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 5\n"
        "bare_swap:\n"
        "endbr64\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
        "ret\n");
#else
#error "no bare switch for this architecture"
#endif
static void *bare_main, *bare_other;

static __attribute__((noinline)) void bare_back_and_forth(void **from, void **to)
{
    for (long i = 0; i < SWITCHES / 2; i++)
        bare_swap(from, *to);
}
static void bare_entry(void)
{
    for (;;)
        bare_back_and_forth(&bare_other, &bare_main);
}
static void bare_begin(void)
{
    void **frame = (void **)other_stack->top - 8; /* six registers, the address, its caller's */

    memset(frame, 0, 8 * sizeof(*frame));
    memcpy(&frame[6], &(void (*)(void)){bare_entry}, sizeof(void *));
    bare_other = frame;
}
static void bare(void)
{
    bare_back_and_forth(&bare_main, &bare_other);
}

int main(int argc, char **argv)
{
    int64_t began;
    void (*run)(void) = argc > 1 && !strcmp(argv[1], "asm") ? bare : ours;
    struct stack_pool pool = {0};

    other_stack = stack_get(&pool, 0);
    if (!other_stack)
        errx(1, "no stack");
    if (run == bare)
        bare_begin();
    else
        context_init(&other_context, other_stack, other);
    run();
    began = rouse_now();
    run();
    printf("%.3f\n", (double)(rouse_now() - began) / SWITCHES);
    return 0;
}
