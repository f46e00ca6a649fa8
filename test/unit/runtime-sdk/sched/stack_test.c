/* Stacks: reserved, guarded, pooled, and given back. */
#include "sched/stack.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A sanitizer's or an emulator's own memory is counted with ours: there we do not measure. */
static bool can_measure(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return !getenv("ROUSE_EMULATED");
#endif
}

static int resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size, pages;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);
    return (int)(pages * sysconf(_SC_PAGESIZE) / 1024);
}

static const int64_t SECOND = 1000000000;

static int mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    int lines = 0, c;

    ck_assert_ptr_nonnull(f);
    while ((c = fgetc(f)) != EOF)
        lines += c == '\n';
    fclose(f);
    return lines;
}

START_TEST(a_stack_is_all_usable_and_aligned)
{
    static const size_t sizes[] = {0, STACK_MIN, STACK_MIN + 1, 100000, STACK_DEFAULT, 3 << 20};
    struct stack_pool pool = {0};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i] ? sizes[i] : STACK_DEFAULT;
        struct stack *s = stack_get(&pool, sizes[i]);

        ck_assert_ptr_nonnull(s);
        ck_assert_uint_ge(stack_size(s), size);
        ck_assert_uint_lt(stack_size(s), 2 * size);
        ck_assert_uint_eq((uintptr_t)s->top % 16, 0);
        ck_assert_uint_le(s->color, 2048);
        memset(s->low, 0xa5, (size_t)(s->top - s->low));
        ck_assert_ptr_null(stack_guarding(s->low));
        ck_assert_ptr_null(stack_guarding(s->top - 1));
        ck_assert_ptr_eq(stack_guarding(s->low - 1), s);
        ck_assert_ptr_eq(stack_guarding(s->low - (16 << 10)), s);
        stack_put(&pool, s);
    }
    ck_assert_ptr_null(stack_get(&pool, (size_t)STACK_MAX + 1));
    ck_assert_ptr_null(stack_guarding(&pool));
    stack_pool_done(&pool);
    stacks_done();
}
END_TEST

static const struct stack *guarded;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    _exit(stack_guarding(info->si_addr) == guarded ? 42 : 43);
}

static void below(enum stack_guard kind)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct stack_pool pool = {0};
    struct stack *s;

    stacks_guard_by(kind);
    stack_get(&pool, 0);
    s = stack_get(&pool, 0);
    guarded = s;
    sigaction(SIGSEGV, &action, NULL);
    ((volatile char *)s->low)[0] = 1;
    ((volatile char *)s->low)[-1] = 1;
    _exit(44);
}
START_TEST(writing_below_a_stack_faults)
{
    below(STACK_GUARD_INSTALL);
}
END_TEST
START_TEST(writing_below_a_stack_faults_with_mprotect)
{
    below(STACK_GUARD_PROTECT);
}
END_TEST

START_TEST(a_canary_tells_later)
{
    struct stack_pool pool = {0};
    struct stack *s, *other;

    stacks_guard_by(STACK_GUARD_CANARY);
    s = stack_get(&pool, 0);
    other = stack_get(&pool, 0);
    ck_assert(s->canary);
    memset(s->low, 0xa5, (size_t)(s->top - s->low));
    ck_assert(!stack_overflown(s));
    ((volatile char *)s->low)[-1] = 1;
    ck_assert(stack_overflown(s));
    ck_assert(!stack_overflown(other));
    stacks_done();
}
END_TEST

START_TEST(no_more_mappings_are_protected_than_a_process_may_have)
{
    enum { N = 35000 };
    struct stack_pool pool = {0};
    int before;

    stacks_guard_by(STACK_GUARD_PROTECT);
    before = mappings();
    for (int i = 0; i < N; i++)
        ck_assert_ptr_nonnull(stack_get(&pool, 0));
    ck_assert_int_gt(mappings(), before + 30000);
    ck_assert_int_lt(mappings(), before + 45000);
    stacks_done();
}
END_TEST

/* What a million tasks that wait would have: a page each, and what we write down of it. */
START_TEST(a_stack_in_use_costs_a_page_and_no_mapping)
{
    enum { N = 100000 };
    struct stack_pool pool = {0};
    int resident, maps;

    stack_put(&pool, stack_get(&pool, 0));
    resident = resident_kib();
    maps = mappings();
    for (int i = 0; i < N; i++) {
        struct stack *s = stack_get(&pool, 0);

        ck_assert_ptr_nonnull(s);
        ck_assert(!s->canary);
        memset(s->top - 2048, 1, 2048);
    }
    ck_assert_int_lt(resident_kib() - resident, N * 4 + N * 64 / 1024);
    ck_assert_int_lt(mappings() - maps, N / 200);
    stacks_done();
}
END_TEST

START_TEST(memory_that_nobody_wants_is_given_back)
{
    enum { N = 2000 };
    struct stack_pool pool = {0};
    static struct stack *all[N];
    int before = resident_kib(), rounds = 0;
    int64_t now = SECOND;

    for (int i = 0; i < N; i++) {
        all[i] = stack_get(&pool, i % 2 ? 0 : STACK_MIN);
        memset(all[i]->low, 1, STACK_MIN / 2);
    }
    for (int i = 0; i < N; i++)
        stack_put(&pool, all[i]);
    stack_pool_done(&pool);
    ck_assert_int_gt(resident_kib(), before + N * 8);
    for (; now < 2 * SECOND; now += SECOND / 100) { /* they have lain for less than a second */
        ck_assert(stacks_trim(now));
        ck_assert_int_gt(resident_kib(), before + N * 8);
    }
    for (; stacks_trim(now); now += SECOND / 100)
        ck_assert_int_lt(++rounds, 200);
    ck_assert_int_gt(rounds, 2); /* a bounded number at a time */
    ck_assert_int_lt(resident_kib(), before + N);
    for (int i = 0; i < N; i++) {
        all[i] = stack_get(&pool, i % 2 ? 0 : STACK_MIN);
        ck_assert_int_eq(all[i]->low[0], 0);
        memset(all[i]->low, 1, STACK_MIN);
    }
    stacks_done();
}
END_TEST

START_TEST(what_is_wanted_again_stays_resident)
{
    enum { N = 1000 };
    struct stack_pool pool = {0};
    static struct stack *all[N];

    for (int turn = 0; turn < 20; turn++) {
        for (int i = 0; i < N; i++) {
            all[i] = stack_get(&pool, 0);
            if (turn > 0)
                ck_assert_int_eq(all[i]->low[0], 1);
            all[i]->low[0] = 1;
        }
        for (int i = 0; i < N; i++)
            stack_put(&pool, all[i]);
        stacks_trim(turn * SECOND);
    }
    stack_pool_done(&pool);
    stacks_done();
}
END_TEST

START_TEST(the_last_one_put_is_the_first_to_be_had_and_pools_are_bounded)
{
    enum { N = 1000 };
    struct stack_pool pool = {0}, other = {0};
    static struct stack *all[N];

    for (int i = 0; i < N; i++) {
        all[i] = stack_get(&pool, 0);
        all[i]->low[0] = 7;
    }
    for (int i = 0; i < N; i++) {
        stack_put(&pool, all[i]);
        ck_assert_uint_le(pool.count, 64);
        ck_assert_ptr_eq(stack_get(&pool, 0), all[i]);
        stack_put(&pool, all[i]);
    }
    for (int i = 0; i < N - 64; i++) /* the rest came to the global pool */
        ck_assert_int_eq(stack_get(&other, 0)->low[0], 7);
    stack_pool_done(&pool);
    ck_assert_uint_eq(pool.count, 0);
    ck_assert_ptr_null(pool.first);
    stacks_done();
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *tc = unit_case("stack", &r);

    tcase_add_test(tc, a_stack_is_all_usable_and_aligned);
    tcase_add_exit_test(tc, writing_below_a_stack_faults, 42);
    tcase_add_exit_test(tc, writing_below_a_stack_faults_with_mprotect, 42);
    tcase_add_test(tc, a_canary_tells_later);
    tcase_add_test(tc, no_more_mappings_are_protected_than_a_process_may_have);
    if (can_measure()) {
        tcase_add_test(tc, a_stack_in_use_costs_a_page_and_no_mapping);
        tcase_add_test(tc, memory_that_nobody_wants_is_given_back);
    }
    tcase_add_test(tc, what_is_wanted_again_stays_resident);
    tcase_add_test(tc, the_last_one_put_is_the_first_to_be_had_and_pools_are_bounded);
    return unit_run(r);
}
