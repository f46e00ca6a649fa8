/* histogram_test.c - values come back within a hundredth; quantiles are those of the sorted values. */
#include "bench/load/histogram.h"
#include "unit.h"

static struct histogram h;

START_TEST(nothing_recorded_is_zero)
{
    ck_assert_uint_eq(histogram_at(&h, 0.5), 0);
    ck_assert_uint_eq(histogram_at(&h, 1), 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
    for (uint64_t v = 1; v <= 200; v++)
        histogram_add(&h, v);
    ck_assert_uint_eq(h.count, 200);
    ck_assert_uint_eq(histogram_at(&h, 0), 1);
    ck_assert_uint_eq(histogram_at(&h, 0.5), 100);
    ck_assert_uint_eq(histogram_at(&h, 0.9), 180);
    ck_assert_uint_eq(histogram_at(&h, 0.99), 198);
    ck_assert_uint_eq(histogram_at(&h, 1), 200);
    ck_assert(h.sum == 20100);
}
END_TEST

START_TEST(every_magnitude_comes_back_within_a_hundredth)
{
    uint64_t v = 1, read;

    for (int power = 0; power < 63; power++, v = v * 2 + (power % 3 == 0)) {
        h = (struct histogram){0};
        histogram_add(&h, v);
        histogram_add(&h, UINT64_MAX); /* so that the limit by the maximum does not hide a bucket's top */
        read = histogram_at(&h, 0.5);
        ck_assert_uint_ge(read, v);
        ck_assert_uint_le(read - v, v / 100);
    }
    ck_assert_uint_eq(histogram_at(&h, 1), UINT64_MAX);
}
END_TEST

START_TEST(buckets_are_in_order)
{
    uint64_t before = 0, read;

    for (uint64_t v = 1; v < 1u << 20; v += 1 + v / 500) {
        h = (struct histogram){0};
        histogram_add(&h, v);
        histogram_add(&h, UINT64_MAX);
        read = histogram_at(&h, 0.5);
        ck_assert_uint_ge(read, before);
        before = read;
    }
}
END_TEST

START_TEST(the_tail_is_not_lost)
{
    for (int i = 0; i < 999; i++)
        histogram_add(&h, 50000);
    histogram_add(&h, 9000000);
    ck_assert_uint_le(histogram_at(&h, 0.99), 50400);
    ck_assert_uint_le(histogram_at(&h, 0.999), 50400);
    ck_assert_uint_eq(histogram_at(&h, 0.9999), 9000000);
    ck_assert_uint_eq(h.max, 9000000);
}
END_TEST

UNIT_MAIN("histogram", nothing_recorded_is_zero, small_values_are_exact,
          every_magnitude_comes_back_within_a_hundredth, buckets_are_in_order, the_tail_is_not_lost)
