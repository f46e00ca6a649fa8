/* unit.h - the main() of every unit test: UNIT_MAIN(name, case...) over Check.
 *
 * Each case is START_TEST(x) ... END_TEST. CK_FORK stays on, so a crash is one
 * failure and not the end of the run. */
#pragma once
#include <check.h>
#include <stdlib.h>

static inline int unit_main(const char *name, const TTest *const *cases, size_t n)
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tc, cases[i]);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const cases[] = {__VA_ARGS__};                                                \
        return unit_main(name, cases, sizeof(cases) / sizeof(cases[0]));                           \
    }
