#include "base/buffer.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

START_TEST(append_and_consume)
{
    cleanup_buffer struct buffer b = {0};
    char big[5000];

    memset(big, 'x', sizeof(big));
    ck_assert_int_eq(buffer_puts(&b, "hello "), 0);
    ck_assert_int_eq(buffer_printf(&b, "%d", 42), 0);
    ck_assert_uint_eq(buffer_size(&b), 8);
    ck_assert_int_eq(memcmp(buffer_bytes(&b), "hello 42", 8), 0);
    buffer_consume(&b, 6);
    ck_assert_int_eq(buffer_append(&b, big, sizeof(big)), 0);
    ck_assert_int_eq(memcmp(buffer_bytes(&b), "42xx", 4), 0);
    buffer_consume(&b, buffer_size(&b));
    ck_assert_uint_eq(b.start, 0);
}
END_TEST

START_TEST(sliding_window_stays_small)
{
    cleanup_buffer struct buffer b = {0};
    char chunk[100] = {0};

    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(buffer_append(&b, chunk, sizeof(chunk)), 0);
        if (i)
            buffer_consume(&b, sizeof(chunk));
    }
    ck_assert_uint_le(b.capacity, 1024);
}
END_TEST

START_TEST(limit_holds)
{
    cleanup_buffer struct buffer b = {.limit = 10};

    ck_assert_int_eq(buffer_append(&b, "0123456789", 10), 0);
    ck_assert_int_eq(buffer_append(&b, "x", 1), -ENOBUFS);
    ck_assert_uint_eq(buffer_size(&b), 10);
    buffer_consume(&b, 1);
    ck_assert_int_eq(buffer_append(&b, "x", 1), 0);
    ck_assert_ptr_null(buffer_reserve(&b, SIZE_MAX));
}
END_TEST

START_TEST(json_escapes)
{
    cleanup_buffer struct buffer b = {0};
    char *s;

    buffer_json_string(&b, "a\"\\\n\x01\xc3\xa9", 7);
    s = buffer_take_string(&b);
    ck_assert_str_eq(s, "a\\\"\\\\\\n\\u0001\xc3\xa9");
    free(s);
    ck_assert_uint_eq(buffer_size(&b), 0);
}
END_TEST

START_TEST(json_is_utf8_whatever_comes)
{
    static const char text[] = "\xff"
                               "caf\xe9 \xc3\xa9\xe2\x82\xac \xed\xa0\x80\xc2";
    cleanup_buffer struct buffer b = {0};
    char *s;

    buffer_json_string(&b, text, sizeof(text) - 1);
    s = buffer_take_string(&b);
    ck_assert_str_eq(s, "\\ufffdcaf\\ufffd \xc3\xa9\xe2\x82\xac \\ufffd\\ufffd\\ufffd\\ufffd");
    free(s);
}
END_TEST

UNIT_MAIN("buffer", append_and_consume, sliding_window_stays_small, limit_holds, json_escapes,
          json_is_utf8_whatever_comes)
