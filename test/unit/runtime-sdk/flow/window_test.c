#include "flow/window.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>

#define AT(s) ((s)*NS_PER_S)

START_TEST(averages_what_is_there)
{
    struct window *w;

    ck_assert_int_eq(window_new(6, &w), 0);
    ck_assert_double_eq(window_average(w, AT(100), 6), 0);
    window_record(w, AT(100), 4);
    ck_assert_double_eq(window_average(w, AT(100), 6), 4);
    window_record(w, AT(101), 2);
    ck_assert_double_eq(window_average(w, AT(101), 6), 3);
    for (uint64_t s = 102; s < 120; s++)
        window_record(w, AT(s), 10);
    ck_assert_double_eq(window_average(w, AT(119), 6), 10);
    window_free(w);
}
END_TEST

START_TEST(short_span_of_a_long_window)
{
    struct window *w;

    ck_assert_int_eq(window_new(60, &w), 0);
    for (uint64_t s = 0; s < 60; s++)
        window_record(w, AT(s), s < 54 ? 0 : 20);
    ck_assert_double_eq(window_average(w, AT(59), 6), 20);
    ck_assert_double_eq(window_average(w, AT(59), 60), 2);
    ck_assert_double_eq(window_average(w, AT(59), 600), 2);
    window_free(w);
}
END_TEST

START_TEST(gaps_are_zero_and_silence_ends_it)
{
    struct window *w;

    ck_assert_int_eq(window_new(6, &w), 0);
    window_record(w, AT(10), 6);
    window_record(w, AT(12), 6);
    ck_assert_double_eq(window_average(w, AT(12), 6), 4);
    /* Not recorded since: the oldest leave, the last stay until a whole window went by. */
    ck_assert_double_eq(window_average(w, AT(17), 6), 6);
    ck_assert_double_eq(window_average(w, AT(18), 6), 0);
    window_record(w, AT(30), 1);
    ck_assert_double_eq(window_average(w, AT(30), 6), 1);
    window_free(w);
}
END_TEST

START_TEST(one_second_is_one_value)
{
    struct window *w;

    ck_assert_int_eq(window_new(6, &w), 0);
    window_record(w, AT(10), 2);
    window_record(w, AT(10) + 5, 4);
    window_record(w, AT(9), 6);
    ck_assert_double_eq(window_average(w, AT(10), 6), 4);
    ck_assert_double_eq(window_average(w, AT(3), 6), 4);
    window_free(w);
    ck_assert_int_eq(window_new(0, &w), -EINVAL);
    ck_assert_int_eq(window_new(WINDOW_SECONDS_MAX + 1, &w), -EINVAL);
}
END_TEST

START_TEST(weighted)
{
    struct window *w;
    double v;

    ck_assert_int_eq(window_new(9, &w), 0); /* each second weighs half of the next */
    ck_assert_double_eq(window_weighted(w, AT(100), 9), 0);
    window_record(w, AT(100), 6);
    ck_assert_double_eq(window_weighted(w, AT(100), 9), 6);
    window_record(w, AT(101), 0);
    ck_assert_double_eq_tol(window_weighted(w, AT(101), 9), 2, 1e-9);
    window_record(w, AT(102), 0);
    ck_assert_double_eq_tol(window_weighted(w, AT(102), 9), 6.0 / 7, 1e-9);
    for (uint64_t s = 103; s < 120; s++)
        window_record(w, AT(s), 5);
    ck_assert_double_eq_tol(window_weighted(w, AT(119), 9), 5, 1e-9);
    window_record(w, AT(120), 50); /* sooner seen than by the plain mean, and sooner forgotten */
    v = window_weighted(w, AT(120), 9);
    ck_assert_double_gt(v, 25);
    ck_assert_double_eq_tol(window_average(w, AT(120), 9), 10, 1e-9);
    window_free(w);
}
END_TEST

UNIT_MAIN("window", weighted, averages_what_is_there, short_span_of_a_long_window,
          gaps_are_zero_and_silence_ends_it, one_second_is_one_value)
