/* check.h - what unit tests use of Check, for builds it is not installed for (AArch64 under qemu-user): each test in
 * a child process, one line for each that fails, Check's closing line. */
#pragma once
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CK_ENV, CHECK_TESTS_MAX = 100, CHECK_STATUS = 117 };
typedef struct TTest {
    const char *name;
    void (*fn)(int i);
} TTest;
typedef struct Suite {
    const char *name;
    unsigned seconds;
    struct {
        const TTest *test;
        int index, signal, status;
    } all[CHECK_TESTS_MAX];
    int count, failed;
} Suite, TCase, SRunner;

#define START_TEST(x)                                                                              \
    static void x##_fn(int);                                                                       \
    static const TTest x##_test = {#x, x##_fn};                                                    \
    static const TTest *const x = &x##_test;                                                       \
    static void x##_fn(int _i __attribute__((unused)))
#define END_TEST

static Suite check_suite;

static inline Suite *suite_create(const char *name)
{
    check_suite = (Suite){.name = name, .seconds = 60};
    return &check_suite;
}
static inline TCase *tcase_create(const char *name)
{
    (void)name;
    return &check_suite;
}
static inline void tcase_set_timeout(TCase *t, double seconds)
{
    t->seconds = (unsigned)seconds;
}
static inline void check_add(TCase *t, const TTest *test, int from, int to, int signal_number,
                             int status)
{
    if (to - from > 1)
        check_add(t, test, from, to - 1, signal_number, status);
    if (t->count == CHECK_TESTS_MAX)
        abort();
    t->all[t->count].test = test;
    t->all[t->count].index = to - 1;
    t->all[t->count].signal = signal_number;
    t->all[t->count++].status = status;
}
#define tcase_add_test(t, test)                 check_add(t, test, 0, 1, 0, 0)
#define tcase_add_loop_test(t, test, from, to)  check_add(t, test, from, to, 0, 0)
#define tcase_add_exit_test(t, test, expected)  check_add(t, test, 0, 1, 0, expected)
#define tcase_add_test_raise_signal(t, test, s) check_add(t, test, 0, 1, s, 0)
static inline void suite_add_tcase(Suite *s, TCase *t)
{
    (void)s;
    (void)t;
}
static inline SRunner *srunner_create(Suite *s)
{
    return s;
}
static inline void srunner_run_all(SRunner *r, int mode)
{
    (void)mode;
    for (int i = 0; i < r->count; i++) {
        int status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0) {
            alarm(r->seconds * 5);
            r->all[i].test->fn(r->all[i].index);
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child)
            abort();
        if (r->all[i].signal ? !WIFSIGNALED(status) || WTERMSIG(status) != r->all[i].signal
                             : !WIFEXITED(status) || WEXITSTATUS(status) != r->all[i].status) {
            printf("%s:F: wait status %#x\n", r->all[i].test->name, (unsigned)status);
            r->failed++;
        }
    }
    printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n",
           r->count ? (r->count - r->failed) * 100 / r->count : 0, r->count, r->failed);
}
static inline int srunner_ntests_failed(SRunner *r)
{
    return r->failed;
}
static inline void srunner_free(SRunner *r)
{
    (void)r;
}

#define ck_abort_msg(...)                                                                          \
    do {                                                                                           \
        printf("%s:%d: ", __FILE__, __LINE__);                                                     \
        printf(__VA_ARGS__);                                                                       \
        puts("");                                                                                  \
        fflush(stdout);                                                                            \
        _exit(CHECK_STATUS);                                                                       \
    } while (0)
#define ck_assert(x)                                                                               \
    do {                                                                                           \
        if (!(x))                                                                                  \
            ck_abort_msg("%s", #x);                                                                \
    } while (0)
#define ck_assert_msg(x, ...)                                                                      \
    do {                                                                                           \
        if (!(x))                                                                                  \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)
#define check_compare(type, format, a, op, b)                                                      \
    do {                                                                                           \
        type check_a = (type)(a);                                                                  \
        type check_b = (type)(b);                                                                  \
                                                                                                   \
        if (!(check_a op check_b))                                                                 \
            ck_abort_msg("%s " #op " %s: " format ", " format, #a, #b, check_a, check_b);          \
    } while (0)
#define ck_assert_int_eq(a, b)    check_compare(intmax_t, "%jd", a, ==, b)
#define ck_assert_int_ne(a, b)    check_compare(intmax_t, "%jd", a, !=, b)
#define ck_assert_int_lt(a, b)    check_compare(intmax_t, "%jd", a, <, b)
#define ck_assert_int_le(a, b)    check_compare(intmax_t, "%jd", a, <=, b)
#define ck_assert_int_gt(a, b)    check_compare(intmax_t, "%jd", a, >, b)
#define ck_assert_int_ge(a, b)    check_compare(intmax_t, "%jd", a, >=, b)
#define ck_assert_uint_eq(a, b)   check_compare(uintmax_t, "%ju", a, ==, b)
#define ck_assert_uint_ne(a, b)   check_compare(uintmax_t, "%ju", a, !=, b)
#define ck_assert_uint_lt(a, b)   check_compare(uintmax_t, "%ju", a, <, b)
#define ck_assert_uint_le(a, b)   check_compare(uintmax_t, "%ju", a, <=, b)
#define ck_assert_uint_gt(a, b)   check_compare(uintmax_t, "%ju", a, >, b)
#define ck_assert_uint_ge(a, b)   check_compare(uintmax_t, "%ju", a, >=, b)
#define ck_assert_ptr_eq(a, b)    check_compare(const void *, "%p", a, ==, b)
#define ck_assert_ptr_ne(a, b)    check_compare(const void *, "%p", a, !=, b)
#define ck_assert_ptr_null(a)     check_compare(const void *, "%p", a, ==, NULL)
#define ck_assert_ptr_nonnull(a)  check_compare(const void *, "%p", a, !=, NULL)
#define ck_assert_double_eq(a, b) check_compare(double, "%g", a, ==, b)
#define ck_assert_str_eq(a, b)    ck_assert_msg(!strcmp(a, b), "%s is \"%s\", not \"%s\"", #a, a, b)
#define ck_assert_mem_eq(a, b, n) ck_assert_msg(!memcmp(a, b, n), "%s is not %s", #a, #b)
