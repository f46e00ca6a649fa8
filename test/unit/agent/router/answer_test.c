/* answer_test.c - the platform's own answers as text. */
#include "router/answer.h"
#include "unit.h"

#include <string.h>

static void text_of(const struct answer *a, char headers[512], char body[512])
{
    struct buffer h = {0}, b = {0};

    ck_assert_int_eq(answer_text(a, "id-1", &h, &b), 0);
    ck_assert_uint_lt(buffer_size(&h), 512);
    memcpy(headers, buffer_bytes(&h), buffer_size(&h));
    memcpy(body, buffer_bytes(&b), buffer_size(&b));
    body[buffer_size(&b)] = '\0';
    buffer_done(&h);
    buffer_done(&b);
}

START_TEST(shape)
{
    char headers[512], body[512];
    struct answer a = {405, "MethodNotAllowed", "this \"path\" takes GET", 3, "GET, HEAD"};

    text_of(&a, headers, body);
    ck_assert_str_eq(headers, "Rouse-Request-Id: id-1\r\nContent-Type: application/json\r\n"
                              "Retry-After: 3\r\nAllow: GET, HEAD\r\n");
    ck_assert_str_eq(body,
                     "{\"reason\":\"MethodNotAllowed\",\"message\":\"this \\\"path\\\" takes GET\","
                     "\"requestId\":\"id-1\"}\n");
}
END_TEST

START_TEST(no_header_ends_its_line)
{
    char headers[512], body[512];
    struct answer a = {405, "X", "y", 0, "GET\r\nSet-Cookie: a=b"};

    text_of(&a, headers, body);
    ck_assert_str_eq(headers, "Rouse-Request-Id: id-1\r\nContent-Type: application/json\r\n"
                              "Allow: GETSet-Cookie: a=b\r\n");
}
END_TEST

START_TEST(every_known_answer_is_complete)
{
    for (int i = 0; i < ANSWER_KIND_COUNT; i++) {
        const struct answer *a = &answers[i];

        ck_assert_int_ge(a->status, 400);
        ck_assert(a->reason && a->message);
        ck_assert_msg((a->status == 503) == (a->retry_after_s > 0),
                      "%s: Retry-After belongs to 503", a->reason);
        ck_assert_msg((a->status == 405) == (a->allow != NULL), "%s: Allow belongs to 405",
                      a->reason);
    }
}
END_TEST

UNIT_MAIN("answer", shape, no_header_ends_its_line, every_known_answer_is_complete)
