/* Idle times as text, both ways, and what is no such text. */
#include "brain/history_text.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

START_TEST(there_and_back)
{
    cleanup_buffer struct buffer b = {0};
    struct idle_histogram h = {0}, got;

    for (unsigned i = 0; i < 5000; i++) /* full: all minutes, faded more than once */
        idle_histogram_add(&h, i % 250 * 60 * NS_PER_S);
    ck_assert_uint_gt(h.beyond, 0);
    ck_assert_int_eq(history_text(&h, &b), 0);
    ck_assert_uint_lt(buffer_size(&b), 3 << 10);
    ck_assert_int_eq(history_parse((const char *)buffer_bytes(&b), &got), 0);
    ck_assert(!memcmp(&h, &got, sizeof(h)));
    buffer_clear(&b);
    ck_assert_int_eq(history_text(&(struct idle_histogram){0}, &b), 0);
    ck_assert_str_eq((const char *)buffer_bytes(&b), "{\"beyond\":0,\"minutes\":{}}");
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"beyond\":0}",
                                      "{\"minutes\":{}}",
                                      "{\"beyond\":-1,\"minutes\":{}}",
                                      "{\"beyond\":\"1\",\"minutes\":{}}",
                                      "{\"beyond\":1025,\"minutes\":{}}",
                                      "{\"beyond\":0,\"minutes\":[1]}",
                                      "{\"beyond\":0,\"minutes\":{\"240\":1}}",
                                      "{\"beyond\":0,\"minutes\":{\"-1\":1}}",
                                      "{\"beyond\":0,\"minutes\":{\"x\":1}}",
                                      "{\"beyond\":0,\"minutes\":{\"\":1}}",
                                      "{\"beyond\":0,\"minutes\":{\"1\":1,\"01\":1}}",
                                      "{\"beyond\":0,\"minutes\":{\"1\":1.5}}",
                                      "{\"beyond\":0,\"minutes\":{\"1\":65536}}",
                                      "{\"beyond\":600,\"minutes\":{\"1\":600}}"};
    struct idle_histogram h = {.within = 7};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(history_parse(bad[i], &h) == -EINVAL, "%s", bad[i]);
    ck_assert_uint_eq(h.within, 7);
}
END_TEST

UNIT_MAIN("history_text", there_and_back, refused)
