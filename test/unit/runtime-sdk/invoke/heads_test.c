/* The heads of HTTP over frames: a request's as it is written, an answer's as it is read. */
#include "base/cleanup.h"
#include "http/parser.h"
#include "invoke/answer_head.h"
#include "invoke/request_head.h"
#include "unit.h"

#include <errno.h>
#include <json-c/json.h>

/* A request's head as JSON text, for its raw bytes. */
static char *written(const char *request, const struct event_request *more, bool direct)
{
    static struct http_head h;
    cleanup_buffer struct buffer b = {0};
    struct event_request r = *more;
    struct json_object *parsed;
    const char *why;

    ck_assert_int_eq(http_parse_request(&h, request, strlen(request), &why), 0);
    r.head = &h;
    ck_assert_int_eq((direct ? request_head_append_direct : request_head_append)(&b, &r), 0);
    ck_assert_int_eq(buffer_append(&b, "", 1), 0);
    parsed = json_tokener_parse((const char *)buffer_bytes(&b));
    ck_assert_msg(parsed, "not JSON: %s", (const char *)buffer_bytes(&b));
    json_object_put(parsed);
    return strdup((const char *)buffer_bytes(&b));
}

START_TEST(requests)
{
    const struct event_request r = {.raw_path = STR("/users/a%2Fb"),
                                    .route = STR("/users/{id}"),
                                    .trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                    .client_ip = "192.0.2.7"};
    char *text =
        written("GET /x?a=1&a=%22 HTTP/1.0\r\nHost: E.com\r\nX-Forwarded-Proto: HTTPS\r\nTE: x\r\n"
                "Expect: 100-continue\r\nRouse-Slot: 7\r\nX-B: \"q\"\r\nX-A: \xe9\r\nX-B: 2\r\n"
                "traceparent: broken\r\n\r\n",
                &r, false);

    ck_assert_str_eq(text,
                     "{\"method\":\"GET\",\"path\":\"/users/a%2Fb\",\"query\":\"a=1&a=%22\","
                     "\"scheme\":\"https\",\"protocol\":\"HTTP/1.0\",\"sourceIp\":\"192.0.2.7\","
                     "\"routeKey\":\"GET /users/{id}\",\"pathParameters\":{\"id\":\"a/b\"},"
                     "\"headers\":[[\"traceparent\","
                     "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"],"
                     "[\"host\",\"E.com\"],[\"x-forwarded-proto\",\"HTTPS\"],[\"x-b\",\"\\\"q\\\"\"],"
                     "[\"x-a\",\"\xc3\xa9\"],[\"x-b\",\"2\"]]}");
    free(text);
    text = written("POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: h\r\nX-Amz-A: 1\r\n"
                   "Content-Length: 3\r\n\r\n",
                   &r, true);
    ck_assert_str_eq(text, "{\"method\":\"POST\",\"path\":\"/\",\"query\":\"\",\"scheme\":\"http\","
                           "\"protocol\":\"HTTP/1.1\",\"sourceIp\":\"192.0.2.7\","
                           "\"routeKey\":\"$default\",\"headers\":[[\"traceparent\","
                           "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"],"
                           "[\"content-type\",\"application/json\"],[\"content-length\",\"3\"]]}");
    free(text);
}
END_TEST

static const struct {
    const char *json;
    int status; /* 0: refused */
    int64_t length;
    const char *headers; /* or why */
} answers[] = {
    {"{\"status\":200}", 200, -1, ""},
    {"{\"status\":102,\"headers\":[]}", 102, -1, ""},
    {"{\"later\":1,\"headers\":[[\"A\",\"1\"],[\"a\",\"2\"],[\"b\",\"\"]],\"status\":599}", 599, -1,
     "A: 1\r\na: 2\r\nb: \r\n"},
    {"{\"status\":200,\"headers\":[[\"Content-Length\",\"0\"],[\"content-length\",\"00\"]]}", 200,
     0, ""},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"9223372036854775807\"]]}", 200, INT64_MAX,
     ""},
    {"{\"status\":200,\"headers\":[[\"Transfer-Encoding\",\"chunked\"],[\"Upgrade\",\"x\"],"
     "[\"Rouse-Trusted\",\"1\"],[\"Date\",\"x\"],[\"x\",\"\xc3\xa9\"]]}",
     200, -1, "x: \xc3\xa9\r\n"},
    {"", 0, 0, "not a JSON object"},
    {"[]", 0, 0, "not a JSON object"},
    {"{\"status\":200", 0, 0, "not a JSON object"},
    {"{\"status\":200} ", 200, -1, ""},
    {"{\"status\":200}{}", 0, 0, "not a JSON object"},
    {"{}", 0, 0, "status is not an integer"},
    {"{\"status\":200.5}", 0, 0, "status is not an integer"},
    {"{\"status\":101}", 0, 0, "102 to 599"},
    {"{\"status\":600}", 0, 0, "102 to 599"},
    {"{\"status\":200,\"headers\":{\"a\":\"b\"}}", 0, 0, "array of pairs"},
    {"{\"status\":200,\"headers\":null}", 0, 0, "array of pairs"},
    {"{\"status\":200,\"headers\":[[\"a\"]]}", 0, 0, "not a pair"},
    {"{\"status\":200,\"headers\":[\"ab\"]}", 0, 0, "not a pair"},
    {"{\"status\":200,\"headers\":[[\"a\",1]]}", 0, 0, "pair of strings"},
    {"{\"status\":200,\"headers\":[[\"a\\u0000b\",\"1\"]]}", 0, 0, "NUL"},
    {"{\"status\":200,\"headers\":[[\"\",\"1\"]]}", 0, 0, "bad header name"},
    {"{\"status\":200,\"headers\":[[\"a:\",\"1\"]]}", 0, 0, "bad header name"},
    {"{\"status\":200,\"headers\":[[\"a\",\"1\\n2\"]]}", 0, 0, "bad value"},
    {"{\"status\":200,\"headers\":[[\"a\",\"1\\u00002\"]]}", 0, 0, "bad value"},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"\"]]}", 0, 0, "content-length"},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"+1\"]]}", 0, 0, "content-length"},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"1\\u0000\"]]}", 0, 0, "content-length"},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"9223372036854775808\"]]}", 0, 0,
     "content-length"},
    {"{\"status\":200,\"headers\":[[\"content-length\",\"1\"],[\"content-length\",\"2\"]]}", 0, 0,
     "content-length"},
};

START_TEST(answer_heads)
{
    struct answer_head h = {0};
    char message[RESULT_MESSAGE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        int r = answer_head_parse((const uint8_t *)answers[i].json, strlen(answers[i].json), &h,
                                  message);

        if (!answers[i].status) {
            ck_assert_msg(r == -EBADMSG, "%s: %d", answers[i].json, r);
            ck_assert_msg(strstr(message, answers[i].headers), "%s: %s", answers[i].json, message);
            continue;
        }
        ck_assert_msg(r == 0, "%s: %s", answers[i].json, message);
        ck_assert_int_eq(h.status, answers[i].status);
        ck_assert_int_eq(h.content_length, answers[i].length);
        ck_assert_int_eq(buffer_append(&h.headers, "", 1), 0);
        ck_assert_str_eq((const char *)buffer_bytes(&h.headers), answers[i].headers);
    }
    buffer_done(&h.headers);
}
END_TEST

START_TEST(limits_of_an_answer_head)
{
    struct answer_head h = {0};
    char message[RESULT_MESSAGE_MAX];

    for (int count = 100; count <= 101; count++) {
        cleanup_buffer struct buffer b = {0};

        buffer_puts(&b, "{\"status\":200,\"headers\":[");
        for (int i = 0; i < count; i++)
            buffer_puts(&b, i ? ",[\"a\",\"b\"]" : "[\"a\",\"b\"]");
        buffer_puts(&b, "]}");
        ck_assert_int_eq(answer_head_parse(buffer_bytes(&b), buffer_size(&b), &h, message),
                         count == 100 ? 0 : -EBADMSG);
    }
    ck_assert_ptr_nonnull(strstr(message, "more than 100 headers"));
    for (size_t size = 24000; size <= 25000; size += 1000) {
        cleanup_buffer struct buffer b = {0};

        buffer_puts(&b, "{\"status\":200,\"headers\":[[\"a\",\"");
        for (size_t i = 0; i < size; i++)
            buffer_puts(&b, "x");
        buffer_puts(&b, "\"]]}");
        ck_assert_int_eq(answer_head_parse(buffer_bytes(&b), buffer_size(&b), &h, message),
                         size == 24000 ? 0 : -EBADMSG);
    }
    ck_assert_ptr_nonnull(strstr(message, "too many header bytes"));
    buffer_done(&h.headers);
}
END_TEST

UNIT_MAIN("heads", requests, answer_heads, limits_of_an_answer_head)
