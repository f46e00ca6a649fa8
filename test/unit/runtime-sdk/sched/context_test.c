/* Contexts: what a switch keeps, where it may go on, and what sanitizers know of it. */
#include "sched/context.h"
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

static struct context home;
static struct stack_pool pool;

struct flow {
    struct context context;
    struct stack *stack;
    int steps;
};

static void flow_begin(struct flow *f, void (*entry)(void *))
{
    f->stack = stack_get(&pool, 0);
    ck_assert_ptr_nonnull(f->stack);
    context_init(&f->context, f->stack, entry);
}

static void flow_end(struct flow *f)
{
    context_ends(&f->context);
    ck_assert_ptr_null(context_switch(&f->context, &home, f)); /* nobody comes back */
}

static void count_up(void *value)
{
    struct flow *f = value;
    _Alignas(16) char aligned[16];
    volatile uintptr_t at = (uintptr_t)aligned;

    ck_assert_uint_eq(at % 16, 0);
    for (int i = 1;; i++) {
        f->steps = i;
        ck_assert_ptr_eq(context_switch(&f->context, &home, f), f);
    }
}

START_TEST(values_go_along)
{
    enum { N = 1000 };
    static struct flow flows[N];

    for (int i = 0; i < N; i++)
        flow_begin(&flows[i], count_up);
    for (int turn = 1; turn < 20; turn++) {
        for (int i = 0; i < N; i++) {
            ck_assert_ptr_eq(context_switch(&home, &flows[i].context, &flows[i]), &flows[i]);
            ck_assert_int_eq(flows[i].steps, turn);
        }
    }
}
END_TEST

/* More values than there are registers that a call keeps, of both kinds, all needed after the pause. */
static __attribute__((noinline)) double mix(uint64_t x, void (*pause)(void *), void *arg)
{
    uint64_t a = x + 1, b = x * 3, c = x ^ 5, d = x + 7, e = x << 2, g = x | 9;
    double p = (double)x, q = p * 1.5, r = p + 2.5, s = p - 3.5, t = p / 4, u = p * p, v = -p,
           w = p + 9;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(g));
    pause(arg);
    return (double)(a + b * 3 + c * 5 + d * 7 + e * 11 + g * 13) + p + q * 2 + r * 3 + s * 4 +
           t * 5 + u * 6 + v * 7 + w * 8;
}

static void no_pause(void *arg)
{
    (void)arg;
}

static void pause_there(void *arg)
{
    struct flow *f = arg;

    context_switch(&f->context, &home, f);
}

static void pause_here(void *arg)
{
    struct flow *f = arg;

    context_switch(&home, &f->context, f);
}

static double mixed;

static void mix_there(void *value)
{
    struct flow *f = value;

    mixed = mix(1000, pause_there, f);
    flow_end(f);
}

START_TEST(registers_that_a_call_keeps_are_kept)
{
    struct flow f;

    flow_begin(&f, mix_there);
    pause_here(&f);
    /* Its registers are on its stack while ours hold something else, and the other way around. */
    ck_assert(mix(7, pause_here, &f) == mix(7, no_pause, NULL));
    ck_assert(mixed == mix(1000, no_pause, NULL));
}
END_TEST

static void *go_on_with(void *arg)
{
    struct flow *f = arg;
    struct context own = {0}, before = home;

    home = own;
    for (int i = 0; i < 100; i++)
        context_switch(&home, &f->context, f);
    home = before;
    return NULL;
}

START_TEST(a_context_goes_on_on_another_thread)
{
    struct flow f;
    pthread_t thread;

    flow_begin(&f, count_up);
    for (int i = 1; i <= 10; i++) {
        context_switch(&home, &f.context, &f);
        ck_assert_int_eq(pthread_create(&thread, NULL, go_on_with, &f), 0);
        pthread_join(thread, NULL);
        ck_assert_int_eq(f.steps, 101 * i);
    }
}
END_TEST

static __attribute__((noinline)) void fill(int depth)
{
    volatile char bytes[512];

    memset((char *)bytes, 0x5a, sizeof(bytes));
    if (depth > 0)
        fill(depth - 1);
    __asm__ volatile("" ::"r"(bytes) : "memory");
}

static __attribute__((noinline)) void end_deep(struct flow *f, int depth)
{
    volatile char bytes[512];

    memset((char *)bytes, 0x5a, sizeof(bytes));
    if (depth > 0)
        end_deep(f, depth - 1);
    else
        flow_end(f);
    __asm__ volatile("" ::"r"(bytes) : "memory");
}

static void end_in_the_middle(void *value)
{
    struct flow *f = value;

    end_deep(f, 20);
}

static void use_the_stack(void *value)
{
    fill(30);
    flow_end(value);
}

START_TEST(a_stack_is_used_again_whatever_was_left_on_it)
{
    for (int i = 0; i < 10000; i++) { /* more frames than ThreadSanitizer has room for in one fiber */
        struct flow f;

        flow_begin(&f, i % 2 ? use_the_stack : end_in_the_middle);
        context_switch(&home, &f.context, &f);
        stack_put(&pool, f.stack);
    }
    ck_assert_uint_eq(pool.count, 1);
}
END_TEST

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    ++*(int *)arg;
    return _URC_NO_REASON;
}

static void unwind(void *value)
{
    struct flow *f = value;

    ck_assert_int_eq(_Unwind_Backtrace(count_frame, &f->steps), _URC_END_OF_STACK);
    flow_end(f);
}

START_TEST(a_stack_trace_ends_where_the_context_began)
{
    struct flow f = {0};

    flow_begin(&f, unwind);
    context_switch(&home, &f.context, &f);
    ck_assert_int_ge(f.steps, 2);
    ck_assert_int_le(f.steps, 6);
}
END_TEST

#ifdef CONTEXT_ASAN
static __attribute__((noinline)) void write_past_the_end(int n)
{
    char victim[16], *at = victim;

    __asm__ volatile("" : "+r"(at)::"memory"); /* UndefinedBehaviorSanitizer would see it first */
    at[n] = 1;
    __asm__ volatile("" ::"r"(at) : "memory");
}

static void spoil(void *value)
{
    (void)value;
    fill(3);
    write_past_the_end(16);
}

/* It says whose frame it is only if it knows which stack is running. */
START_TEST(an_error_in_a_context_is_told_with_its_frame)
{
    char said[16384];
    size_t size = 0;
    ssize_t n;
    int ends[2], status;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        struct flow f, other;

        dup2(ends[1], STDERR_FILENO);
        flow_begin(&other, count_up);
        flow_begin(&f, spoil);
        context_switch(&home, &other.context, &other);
        context_switch(&home, &f.context, &f);
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], said + size, sizeof(said) - 1 - size)) > 0)
        size += (size_t)n;
    close(ends[0]);
    said[size] = '\0';
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || WEXITSTATUS(status));
    ck_assert_ptr_nonnull(strstr(said, "stack-buffer-overflow"));
    ck_assert_ptr_nonnull(strstr(said, "write_past_the_end"));
    ck_assert_ptr_nonnull(strstr(said, "'victim'"));
    ck_assert_ptr_nonnull(strstr(said, "spoil"));
}
END_TEST
#define ASAN_CASES , an_error_in_a_context_is_told_with_its_frame
#else
#define ASAN_CASES
#endif

UNIT_MAIN("context", values_go_along, registers_that_a_call_keeps_are_kept,
          a_context_goes_on_on_another_thread, a_stack_is_used_again_whatever_was_left_on_it,
          a_stack_trace_ends_where_the_context_began ASAN_CASES)
