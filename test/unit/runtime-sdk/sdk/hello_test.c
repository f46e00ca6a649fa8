/* The agent's HELLO as the C SDK reads it, and what it refuses. */
#include "sdk/hello.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse(const char *json, struct hello *h)
{
    size_t n = strlen(json);
    char *exact = malloc(n + 1); /* no NUL to lean on */
    int r;

    memcpy(exact, json, n);
    r = hello_parse(exact, n, h);
    free(exact);
    return r;
}

START_TEST(fields)
{
    struct hello h;

    ck_assert_int_eq(parse(" { \"protocol\" : 1 , \"function\":\"hello\",\"namespace\":\"default\","
                           "\"revision\":\"r1\",\"memory\":134217728 } ",
                           &h),
                     0);
    ck_assert_uint_eq(h.protocol, 1);
    ck_assert_str_eq(h.function, "hello");
    ck_assert_str_eq(h.name_space, "default");
    ck_assert_str_eq(h.revision, "r1");
    ck_assert_uint_eq(h.memory, 128u << 20);
    ck_assert_int_eq(parse("{}", &h), 0);
    ck_assert_str_eq(h.function, "");
}
END_TEST

START_TEST(unknown_fields_are_skipped)
{
    struct hello h;

    ck_assert_int_eq(parse("{\"a\":null,\"b\":[1,{\"c\":\"}]\\\"\"},[]],\"d\":-1.5e9,\"e\":true,"
                           "\"f\":{},\"function\":\"x\"}",
                           &h),
                     0);
    ck_assert_str_eq(h.function, "x");
}
END_TEST

START_TEST(escapes)
{
    struct hello h;

    ck_assert_int_eq(
        parse("{\"function\":\"\\\"\\\\\\/\\n\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}", &h), 0);
    ck_assert_str_eq(h.function, "\"\\/\nA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "1",
        "{",
        "{\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{} x",
        "{\"a\":\"\\",
        "{\"function\":1}",
        "{\"function\":\"\\x\"}",
        "{\"function\":\"\n\"}",
        "{\"function\":\"\\u12\"}",
        "{\"function\":\"\\u12g4\"}",
        "{\"function\":\"\\u0000\"}",
        "{\"function\":\"\\ud800\"}",
        "{\"function\":\"\\ud800\\u0041\"}",
        "{\"function\":\"\\udc00\"}",
        "{\"memory\":\"1\"}",
        "{\"memory\":-1}",
        "{\"memory\":99999999999999999999}",
        "{\"memory\":}",
        "{\"memory\":1 2}",
        "{\"a\":[[[[}",
    };
    struct hello h = {.memory = 42};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(parse(bad[i], &h) == -EBADMSG, "%s", bad[i]);
    ck_assert_uint_eq(h.memory, 42);
}
END_TEST

START_TEST(long_texts)
{
    char json[400], text[300];
    struct hello h;

    memset(text, 'a', sizeof(text));
    text[255] = '\0';
    snprintf(json, sizeof(json), "{\"function\":\"%s\"}", text);
    ck_assert_int_eq(parse(json, &h), 0);
    ck_assert_str_eq(h.function, text);
    text[255] = 'a';
    text[256] = '\0';
    snprintf(json, sizeof(json), "{\"function\":\"%s\"}", text);
    ck_assert_int_eq(parse(json, &h), -EMSGSIZE);
}
END_TEST

START_TEST(concurrency)
{
    struct hello h = {.concurrency = 7};

    ck_assert_int_eq(parse("{\"concurrency\":0}", &h), -EMSGSIZE);
    ck_assert_int_eq(parse("{\"concurrency\":1001}", &h), -EMSGSIZE);
    ck_assert_int_eq(parse("{\"concurrency\":\"2\"}", &h), -EBADMSG);
    ck_assert_uint_eq(h.concurrency, 7);
    ck_assert_int_eq(parse("{\"concurrency\":1000}", &h), 0);
    ck_assert_uint_eq(h.concurrency, 1000);
    ck_assert_int_eq(parse("{}", &h), 0);
    ck_assert_uint_eq(h.concurrency, 1);
}
END_TEST

UNIT_MAIN("hello", fields, concurrency, unknown_fields_are_skipped, escapes, refused, long_texts)
