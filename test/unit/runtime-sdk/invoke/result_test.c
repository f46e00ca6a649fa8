#include "invoke/failure.h"
#include "invoke/result.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
    enum result_kind kind;
    const char *in;
    int status;                 /* 0: refused */
    const char *headers, *body; /* of a refusal: a part of the message */
};

#define JSON  "Content-Type: application/json\r\n"
#define TEXT  "Content-Type: text/plain; charset=utf-8\r\n"
#define BYTES "Content-Type: application/octet-stream\r\n"

static const struct row rows[] = {
    {RESULT_TEXT,
     "Gr\xc3\xbc\xc3\x9f"
     "e",
     200, TEXT,
     "Gr\xc3\xbc\xc3\x9f"
     "e"},
    {RESULT_TEXT, "", 200, TEXT, ""},
    {RESULT_BYTES, "\xff\x01", 200, BYTES, "\xff\x01"},
    {RESULT_JSON, "{\"ok\":true}", 200, JSON, "{\"ok\":true}"},
    {RESULT_JSON, "[1,2]", 200, JSON, "[1,2]"},
    {RESULT_JSON, "null", 200, JSON, "null"},
    {RESULT_JSON, "\"a\\u00fc\\n\"", 200, TEXT, "a\xc3\xbc\n"},
    {RESULT_JSON, " \"a\"", 200, TEXT, "a"},
    {RESULT_JSON, "\"open", 0, NULL, "not valid JSON"},
    {RESULT_JSON, "{\"statusCode\":201,\"body\":\"x\"}", 201, JSON, "x"},
    {RESULT_JSON, "{\"deep\":{\"statusCode\":201}}", 200, JSON, "{\"deep\":{\"statusCode\":201}}"},
    {RESULT_JSON, "{\"statusCode\":201", 0, NULL, "not valid JSON"},
    {RESULT_ANSWER, "{\"statusCode\":204}", 204, JSON, ""},
    {RESULT_ANSWER, "{\"statusCode\":204,\"body\":\"dropped\"}", 204, JSON, ""},
    {RESULT_ANSWER,
     "{\"statusCode\":200,\"headers\":{\"content-type\":\"text/"
     "html\",\"X-A\":\"b\"},\"body\":\"<p>\"}",
     200, "content-type: text/html\r\nX-A: b\r\n", "<p>"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"X-N\":7,\"X-B\":true}}", 200,
     "X-N: 7\r\nX-B: true\r\n" JSON, ""},
    {RESULT_ANSWER, "{\"statusCode\":200,\"cookies\":[\"a=1\",\"b=2; Path=/\"]}", 200,
     "Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\n" JSON, ""},
    {RESULT_ANSWER, "{\"statusCode\":200,\"body\":\"aGk=\",\"isBase64Encoded\":true}", 200, JSON,
     "hi"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"body\":{\"a\":1}}", 200, JSON, "{\"a\":1}"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"body\":null,\"headers\":null,\"cookies\":null}", 200,
     JSON, ""},
    {RESULT_ANSWER,
     "{\"statusCode\":200,\"headers\":{\"Content-Length\":\"5\",\"Transfer-Encoding\":\"chunked\","
     "\"Connection\":\"close\",\"Rouse-Request-Id\":\"x\"}}",
     200, JSON, ""},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"A\\r\\nB\":\"x\"}}", 0, NULL,
     "bad header name"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"\":\"x\"}}", 0, NULL, "bad header name"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"A B\":\"x\"}}", 0, NULL, "bad header name"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"A\":\"x\\r\\nSet-Cookie: y\"}}", 0, NULL,
     "bad value"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"A\":\"x\\u0000y\"}}", 0, NULL, "bad value"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":{\"A\":[\"x\"]}}", 0, NULL, "bad value"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"headers\":[]}", 0, NULL, "headers are not an object"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"cookies\":{}}", 0, NULL, "cookies are not an array"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"cookies\":[1]}", 0, NULL, "cookie that is not a string"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"cookies\":[\"a\\n\"]}", 0, NULL, "bad value"},
    {RESULT_ANSWER, "{\"statusCode\":199}", 0, NULL, "200 to 599"},
    {RESULT_ANSWER, "{\"statusCode\":600}", 0, NULL, "200 to 599"},
    {RESULT_ANSWER, "{\"statusCode\":\"200\"}", 0, NULL, "not an integer"},
    {RESULT_ANSWER, "{\"statusCode\":200.5}", 0, NULL, "not an integer"},
    {RESULT_ANSWER, "{}", 0, NULL, "not an integer"},
    {RESULT_ANSWER, "[]", 0, NULL, "not a JSON object"},
    {RESULT_ANSWER, "nonsense", 0, NULL, "not valid JSON"},
    {RESULT_ANSWER, "{\"statusCode\":200,\"body\":\"*\",\"isBase64Encoded\":true}", 0, NULL,
     "not base64"},
    {RESULT_UNTYPED, "hello there", 200, TEXT, "hello there"},
    {RESULT_UNTYPED, "\xff\xfe", 200, BYTES, "\xff\xfe"},
    {RESULT_UNTYPED, "\"s\"", 200, TEXT, "s"},
    {RESULT_UNTYPED, "42", 200, JSON, "42"},
    {RESULT_UNTYPED, "true story", 200, TEXT, "true story"},
    {RESULT_UNTYPED, "{\"statusCode\":418,\"body\":\"pot\"}", 418, JSON, "pot"},
    {RESULT_PRELUDE, "{\"statusCode\":200} no zeros", 0, NULL, "no prelude"},
};

START_TEST(table)
{
    struct answer a = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *w = &rows[i];
        struct result r = {.kind = w->kind, .data = (const uint8_t *)w->in, .n = strlen(w->in)};
        char message[RESULT_MESSAGE_MAX] = "";
        int e = result_answer(&r, &a, message);

        if (!w->status) {
            ck_assert_msg(e == -EBADMSG, "row %zu %s: %d", i, w->in, e);
            ck_assert_msg(strstr(message, w->body) != NULL, "row %zu: %s", i, message);
            continue;
        }
        ck_assert_msg(e == 0, "row %zu %s: %s", i, w->in, message);
        ck_assert_int_eq(a.status, w->status);
        ck_assert_msg(buffer_size(&a.headers) == strlen(w->headers) &&
                          !memcmp(buffer_bytes(&a.headers), w->headers, strlen(w->headers)),
                      "row %zu: %.*s", i, (int)buffer_size(&a.headers),
                      (const char *)buffer_bytes(&a.headers));
        ck_assert_msg(a.body_size == strlen(w->body) &&
                          (!a.body_size || !memcmp(a.body, w->body, a.body_size)),
                      "row %zu: %.*s", i, (int)a.body_size, (const char *)a.body);
    }
    answer_done(&a);
}
END_TEST

START_TEST(prelude)
{
    static const char in[] =
        "{\"statusCode\":201,\"headers\":{\"X-A\":\"b\"}}\0\0\0\0\0\0\0\0body\0more";
    struct result r = {.kind = RESULT_PRELUDE, .data = (const uint8_t *)in, .n = sizeof(in) - 1};
    char message[RESULT_MESSAGE_MAX];
    struct answer a = {0};

    ck_assert_int_eq(result_answer(&r, &a, message), 0);
    ck_assert_int_eq(a.status, 201);
    ck_assert_uint_eq(a.body_size, 9);
    ck_assert_int_eq(memcmp(a.body, "body\0more", 9), 0);
    answer_done(&a);
}
END_TEST

/* What a tree of it would take is known before it is made. */
START_TEST(values_are_bounded)
{
    enum { VALUES = 20000 };
    struct answer a = {0};
    char message[RESULT_MESSAGE_MAX];
    char *text = malloc(64 + 2 * VALUES);
    size_t n;

    n = (size_t)sprintf(text, "{\"x\":[0");
    for (int i = 0; i < VALUES; i++, n += 2)
        memcpy(text + n, ",0", 2);
    n += (size_t)sprintf(text + n, "],\"y\":{\"statusCode\":1}}");
    ck_assert_int_eq(
        result_answer(&(struct result){.kind = RESULT_JSON, .data = (uint8_t *)text, .n = n}, &a,
                      message),
        0);
    ck_assert_uint_eq(a.body_size, n);
    n += (size_t)sprintf(text + n - 1, ",\"statusCode\":200}") - 1;
    ck_assert_int_lt(
        result_answer(&(struct result){.kind = RESULT_JSON, .data = (uint8_t *)text, .n = n}, &a,
                      message),
        0);
    ck_assert_ptr_nonnull(strstr(message, "values"));
    free(text);
    answer_done(&a);
}
END_TEST

START_TEST(headers_are_bounded)
{
    struct buffer b = {0};
    struct answer a = {0};
    char message[RESULT_MESSAGE_MAX];
    struct result r = {.kind = RESULT_ANSWER};

    buffer_puts(&b, "{\"statusCode\":200,\"headers\":{\"X\":\"");
    for (int i = 0; i < 25 << 10; i++)
        buffer_puts(&b, "x");
    buffer_puts(&b, "\"}}");
    r.data = buffer_bytes(&b);
    r.n = buffer_size(&b);
    ck_assert_int_eq(result_answer(&r, &a, message), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(message, "too many header bytes"));
    answer_done(&a);
    buffer_done(&b);
}
END_TEST

START_TEST(function_errors)
{
    static const struct {
        const char *in, *fallback, *type, *message, *trace;
    } errors[] = {
        {"{\"errorType\":\"ValueError\",\"errorMessage\":\"no "
         "\\\"x\\\"\",\"stackTrace\":[\"l1\",\"l2\"]}",
         NULL, "ValueError", "no \"x\"", "[\"l1\",\"l2\"]"},
        {"{\"errorMessage\":\"m\"}", "Runtime.Unknown", "Runtime.Unknown", "m", "[]"},
        {"{}", NULL, "Function.Unknown", "", "[]"},
        {"plain words", NULL, "Function.Unknown", "plain words", "[]"},
        {"", "Runtime.Exit", "Runtime.Exit", "", "[]"},
        {"\xff\xff", NULL, "Function.Unknown", "", "[]"},
        {"{\"errorType\":1,\"errorMessage\":[],\"stackTrace\":\"x\"}", NULL, "Function.Unknown", "",
         "[]"},
    };

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct function_error e;

        ck_assert_int_eq(function_error_parse((const uint8_t *)errors[i].in, strlen(errors[i].in),
                                              errors[i].fallback, &e),
                         0);
        ck_assert_str_eq(e.type, errors[i].type);
        ck_assert_str_eq(e.message, errors[i].message);
        ck_assert_str_eq(e.trace, errors[i].trace);
        function_error_done(&e);
    }
}
END_TEST

UNIT_MAIN("result", table, prelude, values_are_bounded, headers_are_bounded, function_errors)
