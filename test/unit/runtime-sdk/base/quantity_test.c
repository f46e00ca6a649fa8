#include "base/quantity.h"
#include "unit.h"

#include <errno.h>

START_TEST(memory_units)
{
    uint64_t v;
    char text[24];

    ck_assert_int_eq(quantity_memory("128Mi", &v), 0);
    ck_assert_uint_eq(v, 128u << 20);
    ck_assert_int_eq(quantity_memory("1.5Gi", &v), 0);
    ck_assert_uint_eq(v, 3ull << 29);
    ck_assert_int_eq(quantity_memory("7", &v), 0);
    ck_assert_uint_eq(v, 7);
    ck_assert_int_eq(quantity_memory("10M", &v), 0);
    ck_assert_uint_eq(v, 10000000);
    quantity_memory_text(128u << 20, text);
    ck_assert_str_eq(text, "128Mi");
    quantity_memory_text(0, text);
    ck_assert_str_eq(text, "0");
}
END_TEST

START_TEST(memory_refused)
{
    static const char *const bad[] = {"", "Mi", "-1", "1 Mi", "1mi", "1MiB", "0x10", "1.2.3"};
    uint64_t v = 42;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(quantity_memory(bad[i], &v) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(quantity_memory("99999999999999999999", &v), -ERANGE);
    ck_assert_int_eq(quantity_memory("20000000000Gi", &v), -ERANGE);
    ck_assert_uint_eq(v, 42);
}
END_TEST

START_TEST(cpu_and_duration)
{
    uint32_t c;
    uint64_t d;

    ck_assert_int_eq(quantity_cpu("500m", &c), 0);
    ck_assert_uint_eq(c, 500);
    ck_assert_int_eq(quantity_cpu("0.25", &c), 0);
    ck_assert_uint_eq(c, 250);
    ck_assert_int_eq(quantity_cpu("2", &c), 0);
    ck_assert_uint_eq(c, 2000);
    ck_assert_int_eq(quantity_cpu("2x", &c), -EINVAL);
    ck_assert_int_eq(quantity_cpu("99999999999", &c), -ERANGE);
    ck_assert_int_eq(quantity_duration("1m30s", &d), 0);
    ck_assert_uint_eq(d, 90000000000ull);
    ck_assert_int_eq(quantity_duration("1.5s", &d), 0);
    ck_assert_uint_eq(d, 1500000000ull);
    ck_assert_int_eq(quantity_duration("0", &d), 0);
    ck_assert_uint_eq(d, 0);
    ck_assert_int_eq(quantity_duration("5", &d), -EINVAL);
    ck_assert_int_eq(quantity_duration("", &d), -EINVAL);
    ck_assert_int_eq(quantity_duration("3d", &d), -EINVAL);
    ck_assert_int_eq(quantity_duration("9999999h", &d), -ERANGE);
}
END_TEST

START_TEST(plain_numbers)
{
    uint64_t v;

    ck_assert_int_eq(quantity_number("100", &v), 0);
    ck_assert_uint_eq(v, 100000);
    ck_assert_int_eq(quantity_number("0.25", &v), 0);
    ck_assert_uint_eq(v, 250);
    ck_assert_int_eq(quantity_number("250m", &v), 0);
    ck_assert_uint_eq(v, 250);
    ck_assert_int_eq(quantity_number("2k", &v), 0);
    ck_assert_uint_eq(v, 2000000);
    ck_assert_int_eq(quantity_number("1.5Ki", &v), 0);
    ck_assert_uint_eq(v, 1536000);
    ck_assert_int_eq(quantity_number("1n", &v), -EINVAL);
    ck_assert_int_eq(quantity_number("", &v), -EINVAL);
    ck_assert_int_eq(quantity_number("99999999999T", &v), -ERANGE);
    ck_assert_int_eq(quantity_memory("1m", &v), -EINVAL);
}
END_TEST

UNIT_MAIN("quantity", plain_numbers, memory_units, memory_refused, cpu_and_duration)
