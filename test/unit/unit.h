/* unit.h - the main() of every unit test: UNIT_MAIN(name, case...) over Check, or, for cases that are run with several
 * numbers or shall end in a certain way, one that adds them to unit_case() and returns unit_run().
 *
 * Each case is START_TEST(x) ... END_TEST. CK_FORK stays on, so a crash is one
 * failure and not the end of the run. */
#pragma once
#include <check.h>
#include <stdlib.h>

/* A suite of one case with its time limit. */
static inline TCase *unit_case(const char *name, SRunner **ret)
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    *ret = srunner_create(s);
    return tc;
}

/* What main() returns. */
static inline int unit_run(SRunner *sr)
{
    int failed;

    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline int unit_main(const char *name, const TTest *const *cases, size_t n)
{
    SRunner *sr;
    TCase *tc = unit_case(name, &sr);

    for (size_t i = 0; i < n; i++)
        tcase_add_test(tc, cases[i]);
    return unit_run(sr);
}
#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const cases[] = {__VA_ARGS__};                                                \
        return unit_main(name, cases, sizeof(cases) / sizeof(cases[0]));                           \
    }
