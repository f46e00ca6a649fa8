/* The codec: what is taken, what is refused, and that the size of the pieces changes nothing. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "http/parser.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST "Host: a\r\n"

/* Scans in steps of `step` bytes, then parses. Returns 0, a status, or -1 when it is incomplete. */
static int parse(const char *in, size_t n, size_t step, bool response, struct http_head *h)
{
    struct http_scan scan = {0};
    const char *why = NULL;
    size_t size = 0;

    for (size_t got = step < n ? step : n;; got = got + step < n ? got + step : n) {
        int r = http_scan_head(&scan, (const uint8_t *)in, got, &size, &why);

        if (r)
            return r;
        if (size)
            break;
        if (got == n)
            return -1;
    }
    return response ? http_parse_response(h, in, size, &why) : http_parse_request(h, in, size, &why);
}

static int request(const char *in, struct http_head *h)
{
    size_t n = strlen(in);
    int whole = parse(in, n, n, false, h);

    for (size_t step = 1; step < 8; step++)
        ck_assert_msg(parse(in, n, step, false, h) == whole, "%s in steps of %zu", in, step);
    return whole;
}

static void check_str(struct str s, const char *expected)
{
    ck_assert_msg(str_eq(s, expected), "'%.*s' is not '%s'", (int)s.n, s.at, expected);
}

START_TEST(a_request_is_taken_apart)
{
    struct http_head h;

    ck_assert_int_eq(request("POST /a/b%20c?x=1&y HTTP/1.1\r\nHost: example.org:8080\r\n"
                             "X-Empty:\r\nX-Spaces: \t a b \t \r\ncontent-LENGTH: 42\r\n"
                             "Expect: 100-Continue\r\n\r\n",
                             &h),
                     0);
    check_str(h.method, "POST");
    check_str(h.target, "/a/b%20c?x=1&y");
    check_str(h.path, "/a/b%20c");
    check_str(h.query, "x=1&y");
    check_str(h.host, "example.org:8080");
    ck_assert_int_eq(h.minor, 1);
    ck_assert_int_eq(h.content_length, 42);
    ck_assert(h.keep_alive && h.expect_continue && !h.chunked && !h.upgrade);
    ck_assert_uint_eq(h.header_count, 5);
    check_str(*http_head_get(&h, "x-empty"), "");
    check_str(*http_head_get(&h, "X-SPACES"), "a b");
    ck_assert_ptr_null(http_head_get(&h, "x-none"));
}
END_TEST

START_TEST(forms_of_the_target)
{
    static const struct {
        const char *line;
        int status;
        const char *target, *path, *query, *host;
    } rows[] = {
        {"GET / HTTP/1.1", 0, "/", "/", "", "a"},
        {"GET /? HTTP/1.1", 0, "/?", "/", "", "a"},
        {"GET /a?b?c HTTP/1.1", 0, "/a?b?c", "/a", "b?c", "a"},
        {"GET http://a/x?y HTTP/1.1", 0, "/x?y", "/x", "y", "a"},
        {"GET HTTPS://a/x HTTP/1.1", 0, "/x", "/x", "", "a"},
        {"GET http://a HTTP/1.1", 0, "/", "/", "", "a"},
        {"OPTIONS * HTTP/1.1", 0, "*", "*", "", "a"},
        {"FROB-NICATE /x HTTP/1.1", 0, "/x", "/x", "", "a"},
        {"GET //x HTTP/1.1", 0, "//x", "//x", "", "a"},
        {.line = "GET * HTTP/1.1", .status = 400},
        {.line = "GET x HTTP/1.1", .status = 400},
        {.line = "GET http:// HTTP/1.1", .status = 400},
        {.line = "GET http:///x HTTP/1.1", .status = 400},
        {.line = "GET http://b?c HTTP/1.1", .status = 400},
        {.line = "GET http://u@b/ HTTP/1.1", .status = 400},
        {.line = "GET ftp://b/ HTTP/1.1", .status = 400},
        {.line = "CONNECT /x HTTP/1.1", .status = 400},
        {.line = "CONNECT b HTTP/1.1", .status = 400},
        {.line = "CONNECT b: HTTP/1.1", .status = 400},
        {.line = "CONNECT :443 HTTP/1.1", .status = 400},
        {.line = "CONNECT b:4_43 HTTP/1.1", .status = 400},
        {.line = "CONNECT }b:443 HTTP/1.1", .status = 400},
        {.line = "CONNECT u@b:443 HTTP/1.1", .status = 400},
        {.line = "GET /\xc3\xa4 HTTP/1.1", .status = 400},
        {.line = "GET /a?\xa0 HTTP/1.1", .status = 400},
        {.line = "GET /a#b HTTP/1.1", .status = 400},
        {.line = "GET /a\x7f HTTP/1.1", .status = 400},
        {.line = "GET /a\tb HTTP/1.1", .status = 400},
        {.line = "GET  / HTTP/1.1", .status = 400},
        {.line = "GET /  HTTP/1.1", .status = 400},
        {.line = "GET / a HTTP/1.1", .status = 400},
        {.line = " GET / HTTP/1.1", .status = 400},
        {.line = "GET /", .status = 400},
        {.line = "GET", .status = 400},
        {.line = "G@T / HTTP/1.1", .status = 400},
        {.line = "GET / HTTP/1.1 ", .status = 400},
        {.line = "GET / http/1.1", .status = 400},
        {.line = "GET / HTTP/1", .status = 400},
        {.line = "GET / HTTP/11", .status = 400},
        {.line = "GET / HTTP/1.12", .status = 400},
        {.line = "GET / HTTP/1.2", .status = 505},
        {.line = "GET / HTTP/2.0", .status = 505},
        {.line = "PRI * HTTP/2.0", .status = 505},
        {.line = "GET / HTTP/0.9", .status = 505},
        {"OPTIONS http://a HTTP/1.1", 0, "*", "*", "", "a"},
        {"GET http://A/x HTTP/1.1", 0, "/x", "/x", "", "a"},
        {.line = "GET http://b/x HTTP/1.1", .status = 400}, /* Host says a */
        {.line = "GET http://a:80/x HTTP/1.1", .status = 400},
        {.line = "GET http://a:b/x HTTP/1.1", .status = 400},
        {.line = "GET http://a\\b/x HTTP/1.1", .status = 400},
        {.line = "GET http://[::1/x HTTP/1.1", .status = 400},
        {.line = "CONNECT b:443/x HTTP/1.1", .status = 400},
        {.line = "CONNECT a: HTTP/1.1", .status = 400},
        {.line = "CONNECT :443 HTTP/1.1", .status = 400},
        {.line = "CONNECT a:65536 HTTP/1.1", .status = 400},
        {.line = "CONNECT a:44x HTTP/1.1", .status = 400},
        {.line = "CONNECT u@a:443 HTTP/1.1", .status = 400},
        {.line = "CONNECT a?b:1 HTTP/1.1", .status = 400},
        {.line = "GET / HTTP/1.2", .status = 505},
        {.line = "GET / HTTP/1.9", .status = 505},
        {.line = "GET / HTTP/3.1", .status = 505},
        {.line = "GET / HTTP/1.1\t", .status = 400},
        {.line = "GET\t/ HTTP/1.1", .status = 400},
        {.line = "GET /\tHTTP/1.1", .status = 400},
        {.line = "GET /\rHTTP/1.1", .status = 400},
        {.line = "GET / \rHTTP/1.1", .status = 400},
        {.line = "GET / HTTP/1.1\r", .status = 400},
        {.line = "GET /a b HTTP/1.1", .status = 400},
        {.line = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHI / HTTP/1.1", .status = 501},
    };
    struct http_head h;
    char text[256];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), "%s\r\n" HOST "\r\n", rows[i].line);
        ck_assert_msg(request(text, &h) == rows[i].status, "%s: %d", rows[i].line, request(text, &h));
        if (rows[i].status)
            continue;
        check_str(h.target, rows[i].target);
        check_str(h.path, rows[i].path);
        check_str(h.query, rows[i].query);
        check_str(h.host, rows[i].host);
    }
}
END_TEST

START_TEST(what_two_parsers_could_read_differently_is_refused)
{
    static const struct {
        const char *fields;
        int status;
    } rows[] = {
        {HOST "Content-Length: 5\r\nContent-Length: 5\r\n", 400},
        {HOST "Content-Length: 5\r\nContent-Length: 6\r\n", 400},
        {HOST "Content-Length: 5, 5\r\n", 400},
        {HOST "Content-Length: +5\r\n", 400},
        {HOST "Content-Length: -5\r\n", 400},
        {HOST "Content-Length: 0x5\r\n", 400},
        {HOST "Content-Length: 5 5\r\n", 400},
        {HOST "Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n", 400},
        {HOST "Content-Length: 5;\r\n", 400},
        {HOST "Content-Length: 5.0\r\n", 400},
        {HOST "Content-Length: \xd9\xa5\r\n", 400}, /* an Arabic five */
        {HOST "Content-Length: 5,\r\n", 400},
        {HOST "Content-Length : 5\r\n", 400},
        {HOST "Content-Length\t: 5\r\n", 400},
        {HOST "Content_Length: 5\r\n", 0}, /* another header */
        {HOST "Transfer-Encoding: chunked, chunked\r\n", 501},
        {HOST "Transfer-Encoding: ,chunked\r\n", 501},
        {HOST "Transfer-Encoding: chunked;q=1\r\n", 501},
        {HOST "Transfer-Encoding: chunked\x0b\r\n", 400},
        {HOST "Transfer-Encoding: \x0b"
              "chunked\r\n",
         400},
        {HOST "Transfer-Encoding: chunked\r\n\t\r\n", 400},
        {HOST "Transfer-Encoding:\r\n chunked\r\n", 501},
        {HOST "Transfer-Encoding\r\n: chunked\r\n", 400},
        {HOST "\tX: a\r\n", 400},
        {HOST "X: a\r\r\n", 400},
        {HOST "X: 12345678\rb\r\n", 400},
        {HOST "X: 1234567\x1f"
              "b\r\n",
         400},
        {HOST "X: 1234567\tb12345678\t\x01\r\n", 400},
        {HOST "X: 12345678\x7f"
              "9\r\n",
         400},
        {HOST "X: 1234567\tb \xff~ 12345\t\r\n", 0},
        {"Host: a:b\r\n", 400},
        {"Host: a:80:80\r\n", 400},
        {"Host: a:65536\r\n", 400},
        {"Host: [::1\r\n", 400},
        {"Host: [::1]x\r\n", 400},
        {"Host: a[\r\n", 400},
        {"Host: :80\r\n", 400},
        {"Host: a\\b\r\n", 400},
        {"Host: a:80\r\n", 0},
        {"Host: a:\r\n", 0},
        {HOST "Content-Length:\r\n", 400},
        {HOST "Content-Length: 9999999999999999999\r\n", 400},
        {HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400},
        {HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400},
        {HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
        {HOST "Transfer-Encoding: gzip, chunked\r\n", 501},
        {HOST "Transfer-Encoding: chunked, identity\r\n", 501},
        {HOST "Transfer-Encoding: xchunked\r\n", 501},
        {HOST "Transfer-Encoding: \"chunked\"\r\n", 501},
        {HOST "Transfer-Encoding:\r\n", 501},
        {HOST "Transfer-Encoding : chunked\r\n", 400},
        {HOST "Transfer-Encoding: chunked\n", 400},
        {HOST "X: a\nContent-Length: 5\r\n", 400},
        {HOST "X: a\rb\r\n", 400},
        {HOST "X: a\r\n b\r\n", 400},
        {HOST " X: a\r\n", 400},
        {HOST "X : a\r\n", 400},
        {HOST "X\t: a\r\n", 400},
        {HOST "X\r\n", 400},
        {HOST ": a\r\n", 400},
        {HOST "X y: a\r\n", 400},
        {HOST "X\x80: a\r\n", 400},
        {HOST "X: a\x01\r\n", 400},
        {HOST "X: a\x7f\r\n", 400},
        {"", 400},
        {HOST HOST, 400},
        {"Host: a, b\r\n", 400},
        {"Host: a/b\r\n", 400},
        {"Host: u@b\r\n", 400},
        {"Host: a b\r\n", 400},
        {HOST "Expect: something\r\n", 417},
        {"Host:\r\n", 0},
        {"Host: [::1]:80\r\n", 0},
        {HOST "X: \x80\xff\r\n", 0},
        {HOST "Transfer-Encoding: CHUNKED\r\n", 0},
        {HOST "Content-Length: 0005\r\n", 0},
    };
    struct http_head h;
    char text[512];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n%s\r\n", rows[i].fields);
        ck_assert_msg(request(text, &h) == rows[i].status, "%s: %d", rows[i].fields,
                      request(text, &h));
    }
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 38, 38, false, &h), 400);
    ck_assert_int_eq(request("GET / HTTP/1.1\n", &h), 400);
    ck_assert_int_eq(request("\n", &h), 400);
    ck_assert_int_eq(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &h), 400);
    ck_assert_int_eq(request("GET / HTTP/1.1\r\nHost: a\r\n", &h), -1);
}
END_TEST

static void nul_at(const char *head, size_t n, size_t at)
{
    struct http_head h;
    char text[128];
    const char *why;
    size_t size;
    int r;

    memcpy(text, head, n);
    text[at] = '\0';
    r = http_scan_head(&(struct http_scan){0}, (const uint8_t *)text, n, &size, &why);
    if (r == 0 && size)
        r = http_parse_request(&h, text, size, &why);
    ck_assert_msg(r == 400 || (r == 0 && !size) || r == 505, "NUL at %zu: %d", at, r);
}

START_TEST(nul_is_nowhere)
{
    static const char head[] = "GET /ab HTTP/1.1\r\nHost: a\r\nX-Yz: some value\r\n\r\n";

    for (size_t at = 0; at + 1 < sizeof(head); at++)
        nul_at(head, sizeof(head) - 1, at);
}
END_TEST

/* To Node's parser and to RFC 9110 9.3.6 the tunnel begins behind the head, to h11 behind the body. */
START_TEST(connect_is_for_an_authority_alone)
{
    struct http_head h;

    ck_assert_int_eq(request("CONNECT b:443 HTTP/1.1\r\nHost: B:443\r\n\r\n", &h), 0);
    check_str(h.target, "b:443");
    check_str(h.path, "b:443");
    check_str(h.host, "B:443");
    ck_assert_int_eq(request("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", &h), 0);
    ck_assert_int_eq(request("CONNECT [::1] HTTP/1.1\r\nHost: [::1]\r\n\r\n", &h), 400);
    ck_assert_int_eq(request("CONNECT b:443 HTTP/1.1\r\nHost: c:443\r\n\r\n", &h), 400);
    ck_assert_int_eq(
        request("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nContent-Length: 1\r\n\r\n", &h), 400);
    ck_assert_int_eq(
        request("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nTransfer-Encoding: chunked\r\n\r\n", &h),
        400);
    ck_assert_int_eq(
        request("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nContent-Length: 0\r\n\r\n", &h), 0);
}
END_TEST

START_TEST(keep_alive_and_upgrade)
{
    static const struct {
        const char *head;
        bool keep_alive, upgrade;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close ,y\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true, true},
        {"GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\n\r\n", true, false},
    };
    struct http_head h;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(request(rows[i].head, &h) == 0, "%s", rows[i].head);
        ck_assert_msg(h.keep_alive == rows[i].keep_alive, "%s", rows[i].head);
        ck_assert_msg(h.upgrade == rows[i].upgrade, "%s", rows[i].head);
    }
}
END_TEST

START_TEST(limits_of_a_head)
{
    cleanup_buffer struct buffer b = {0};
    struct http_head h;

    buffer_puts(&b, "GET /");
    while (buffer_size(&b) < HTTP_TARGET_MAX + 4)
        buffer_puts(&b, "x");
    buffer_puts(&b, " HTTP/1.1\r\n" HOST "\r\n");
    ck_assert_int_eq(parse((const char *)b.data, buffer_size(&b), 4096, false, &h), 0);
    buffer_clear(&b);
    buffer_puts(&b, "GET /");
    while (buffer_size(&b) < HTTP_TARGET_MAX + 5)
        buffer_puts(&b, "x");
    buffer_puts(&b, " HTTP/1.1\r\n" HOST "\r\n");
    ck_assert_int_eq(parse((const char *)b.data, buffer_size(&b), 4096, false, &h), 414);
    buffer_clear(&b);
    while (buffer_size(&b) < 9000)
        buffer_puts(&b, "x");
    ck_assert_int_eq(parse((const char *)b.data, buffer_size(&b), 1, false, &h), 414);

    buffer_clear(&b);
    buffer_puts(&b, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 1; i < HTTP_HEADERS_MAX; i++)
        buffer_printf(&b, "X-%d: y\r\n", i);
    buffer_puts(&b, "\r\n");
    ck_assert_int_eq(parse((const char *)b.data, buffer_size(&b), 4096, false, &h), 0);
    ck_assert_uint_eq(h.header_count, HTTP_HEADERS_MAX);
    b.end -= 2;
    buffer_puts(&b, "One-More: y\r\n\r\n");
    ck_assert_int_eq(parse((const char *)b.data, buffer_size(&b), 4096, false, &h), 431);

    buffer_clear(&b);
    buffer_puts(&b, "GET / HTTP/1.1\r\nX: ");
    while (buffer_size(&b) < HTTP_HEAD_MAX)
        buffer_puts(&b, "x");
    ck_assert_int_eq(parse((const char *)b.data, HTTP_HEAD_MAX, 1000, false, &h), 431);
}
END_TEST

START_TEST(responses)
{
    static const struct {
        const char *head;
        int expected, status;
        int64_t length;
        bool chunked, keep_alive;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 0, 200, 3, false, true},
        {"HTTP/1.1 404 \r\n\r\n", 0, 404, -1, false, true},
        {"HTTP/1.1 404\r\nX: y\r\n\r\n", 0, 404, -1, false, true},
        {"HTTP/1.0 200 OK\r\n\r\n", 0, 200, -1, false, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", 0, 200, -1,
         true, false},
        {"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", 0, 204, 3, false, false},
        {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 204, -1, true, false},
        {"HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", 0, 304, 3, false, true},
        {"HTTP/1.2 200 OK\r\n\r\n", 505, 0, 0, false, false},
        {"HTTP/1.1 200 O\rK\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, 0, 0, false, false},
        {"HTTP/1.1 099 X\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 600 X\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 2x0 X\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 2000 X\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1  200 X\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/2.0 200 X\r\n\r\n", 505, 0, 0, false, false},
        {"ICY 200 OK\r\nA: b\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400, 0, 0, false, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0, 0,
         false, false},
    };
    struct http_head h;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].head);
        int r = parse(rows[i].head, n, n, true, &h);

        ck_assert_msg(r == rows[i].expected, "%s: %d", rows[i].head, r);
        for (size_t step = 1; step < 5; step++)
            ck_assert_int_eq(parse(rows[i].head, n, step, true, &h), r);
        if (r)
            continue;
        ck_assert_int_eq(h.status, rows[i].status);
        ck_assert_int_eq(h.content_length, rows[i].length);
        ck_assert(h.chunked == rows[i].chunked && h.keep_alive == rows[i].keep_alive);
    }
    ck_assert(http_answer_is_bare(STR("HEAD"), 200) && http_answer_is_bare(STR("GET"), 304));
    ck_assert(http_answer_is_bare(STR("GET"), 204) && !http_answer_is_bare(STR("GET"), 200));
}
END_TEST

/* Node's parser does not see "chunked" before a tab: to it, a response ends with its stream. */
START_TEST(a_tab_behind_a_framing_value_is_refused)
{
    static const struct {
        const char *field;
        int status;
    } rows[] = {
        {"Transfer-Encoding: chunked\t", 501},
        {"Transfer-Encoding: chunked \t ", 501},
        {"Content-Length: 5\t", 400},
        {"Content-Length: 5 \t", 400},
        {"Transfer-Encoding:\tchunked ", 0},
        {"Content-Length: \t5  ", 0},
        {"X: y\t", 0},
    };
    struct http_head h;
    char text[128];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n" HOST "%s\r\n\r\n", rows[i].field);
        ck_assert_msg(request(text, &h) == rows[i].status, "%s", rows[i].field);
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", rows[i].field);
        ck_assert_msg(parse(text, strlen(text), 9, true, &h) == rows[i].status, "%s", rows[i].field);
    }
}
END_TEST

/* ---- the chunked coding */

/* Decodes `in` in pieces. 0: ended, 1: incomplete, or -EPROTO. What follows the end is counted. */
static int unchunk(const char *in, size_t n, size_t step, struct buffer *body,
                   struct buffer *trailer, size_t *ret_rest)
{
    struct http_chunked c = {0};
    size_t at = 0, got = 0;

    while (c.state != CHUNKED_END) {
        const uint8_t *data;
        size_t used, size;
        int r = http_chunked_next(&c, (const uint8_t *)in + at, got - at, &used, &data, &size);

        if (r < 0)
            return r;
        at += used;
        if (size)
            buffer_append(c.state == CHUNKED_END ? trailer : body, data, size);
        if (used)
            continue;
        if (got == n)
            return 1;
        got = got + step < n ? got + step : n;
    }
    *ret_rest = n - at;
    return 0;
}

START_TEST(chunks)
{
    static const struct {
        const char *in;
        int expected;
        const char *body, *trailer;
        size_t rest;
    } rows[] = {
        {"0\r\n\r\n", 0, "", "", 0},
        {"3\r\nabc\r\n0\r\n\r\nGET", 0, "abc", "", 3},
        {"3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n", 0, "abc0123456789", "", 0},
        {"3;x=y\r\nabc\r\n0;z\r\n\r\n", 0, "abc", "", 0},
        {"1\r\na\r\n0\r\nX: y\r\nZ: a\r\n\r\nrest", 0, "a", "X: y\r\nZ: a\r\n\r\n", 4},
        {"3\r\nab", 1, "ab", "", 0},
        {"0\r\n", 1, "", "", 0},
        {"0\r\n\r", 1, "", "", 0},
        {"0\r\nX: y\r\n", 1, "", "", 0},
        {"3\r\nabcd\r\n", -EPROTO, "abc", "", 0},
        {"3\nabc\r\n", -EPROTO, "", "", 0},
        {"3\r\nabc\n0\r\n\r\n", -EPROTO, "abc", "", 0},
        {"3 \r\nabc\r\n", -EPROTO, "", "", 0},
        {" 3\r\nabc\r\n", -EPROTO, "", "", 0},
        {"+3\r\nabc\r\n", -EPROTO, "", "", 0},
        {"0x3\r\nabc\r\n", -EPROTO, "", "", 0},
        {"\r\n", -EPROTO, "", "", 0},
        {";x\r\n", -EPROTO, "", "", 0},
        {"3;x\x01\r\nabc\r\n", -EPROTO, "", "", 0},
        {"3;x\nabc\r\n", -EPROTO, "", "", 0},
        {"fffffffffffffffff\r\n", -EPROTO, "", "", 0},
        {"0000000000000003\r\nabc\r\n", -EPROTO, "", "", 0},
        {"-3\r\nabc\r\n", -EPROTO, "", "", 0},
        {"3\t\r\nabc\r\n", -EPROTO, "", "", 0},
        {"3\r\nabc\rX0\r\n\r\n", -EPROTO, "abc", "", 0},
        {"3\rabc\r\n", -EPROTO, "", "", 0},
        {"3;x\rabc\r\n", -EPROTO, "", "", 0},
        {"g\r\n", -EPROTO, "", "", 0},
        {"ffffffffffffffff\r\n", -EPROTO, "", "", 0},
        {"10000000000000003\r\nabc\r\n", -EPROTO, "", "", 0},
        {"0\r\nX: y\r\n Z: a\r\n\r\n", 0, "", "X: y\r\n Z: a\r\n\r\n", 0}, /* refused by its parser */
        {"0\r\n\n", -EPROTO, "", "", 0},
        {"0\r\nX: y\n\r\n", -EPROTO, "", "", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].in);

        for (size_t step = 1; step <= n; step++) {
            cleanup_buffer struct buffer body = {0}, trailer = {0};
            size_t rest = 0;
            int r = unchunk(rows[i].in, n, step, &body, &trailer, &rest);

            ck_assert_msg(r == rows[i].expected, "%s by %zu: %d", rows[i].in, step, r);
            check_str((struct str){(char *)body.data, buffer_size(&body)}, rows[i].body);
            check_str((struct str){(char *)trailer.data, buffer_size(&trailer)}, rows[i].trailer);
            if (r == 0)
                ck_assert_uint_eq(rest, rows[i].rest);
        }
    }
}
END_TEST

/* Node's parser reads on behind a CRLF within quotes, or refuses what RFC 9112 7.1.1 has no rule for. */
START_TEST(a_chunk_extension_ends_where_every_parser_ends_it)
{
    static const struct {
        const char *extension;
        bool taken;
    } rows[] = {
        {";x", true},           {";x=y", true},       {";x=\"y z,;=#\"", true},
        {";x;y=z;w", true},     {";x=\"\"", true},    {";x=\"\";y", true},
        {";x=\"y", false},      {";", false},         {";;x", false},
        {";x;", false},         {";=y", false},       {";x=", false},
        {";x==y", false},       {"; x", false},       {" ;x", false},
        {";x =y", false},       {";x= y", false},     {";x y", false},
        {";x=y ", false},       {";x=\"y\"z", false}, {";x=\"a\\\"b\"", false},
        {";x=y\"", false},      {";\"x\"", false},    {";x=\"\t\"", false},
        {";x=\"\x80\"", false}, {";\x80", false},     {";x=y=z", false},
        {",x", false},          {";x\r", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cleanup_buffer struct buffer body = {0}, trailer = {0};
        size_t rest = 0;
        char in[64];
        int n = snprintf(in, sizeof(in), "1%s\r\na\r\n0%s\r\n\r\n", rows[i].extension,
                         rows[i].extension);

        for (size_t step = 1; step <= (size_t)n; step++)
            ck_assert_msg(unchunk(in, (size_t)n, step, &body, &trailer, &rest) ==
                              (rows[i].taken ? 0 : -EPROTO),
                          "%s by %zu", rows[i].extension, step);
    }
}
END_TEST

START_TEST(chunk_extensions_and_trailers_are_bounded)
{
    cleanup_buffer struct buffer in = {0}, body = {0}, trailer = {0};
    size_t rest;

    buffer_puts(&in, "1;");
    for (int i = 0; i < HTTP_CHUNK_LINE_MAX + 1; i++)
        buffer_puts(&in, "x");
    buffer_puts(&in, "\r\na\r\n0\r\n\r\n");
    ck_assert_int_eq(unchunk((char *)in.data, buffer_size(&in), 64, &body, &trailer, &rest), -EPROTO);

    buffer_clear(&in);
    for (int i = 0; i < 1000; i++)
        buffer_puts(&in, "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n");
    buffer_puts(&in, "0\r\n\r\n");
    ck_assert_int_eq(unchunk((char *)in.data, buffer_size(&in), 64, &body, &trailer, &rest), -EPROTO);

    buffer_clear(&in);
    buffer_puts(&in, "0\r\n");
    for (int i = 0; i < HTTP_TRAILERS_MAX / 8; i++)
        buffer_puts(&in, "X: yy\r\n");
    ck_assert_int_eq(unchunk((char *)in.data, buffer_size(&in), 64, &body, &trailer, &rest), 1);
    for (int i = 0; i < HTTP_TRAILERS_MAX / 8; i++)
        buffer_puts(&in, "X: yy\r\n");
    ck_assert_int_eq(unchunk((char *)in.data, buffer_size(&in), 64, &body, &trailer, &rest), -EPROTO);
}
END_TEST

START_TEST(trailers_never_frame_or_authenticate)
{
    struct http_head h;
    const char *why;
    const char *fields = "X-Sum: 1\r\nHOST: b\r\nAuthorization: x\r\n"
                         "Rouse-Slot: 5\r\nIf-Match: x\r\n\r\n";

    ck_assert_int_eq(request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &h),
                     0);
    ck_assert_int_eq(http_parse_trailers(&h, fields, strlen(fields), &why), 0);
    ck_assert_uint_eq(h.header_count, 2);
    ck_assert_uint_eq(h.trailer_count, 1);
    check_str(*http_head_trailer(&h, "x-sum"), "1");
    ck_assert_ptr_null(http_head_get(&h, "x-sum"));
    ck_assert_ptr_null(http_head_trailer(&h, "host"));
    ck_assert_int_eq(h.content_length, -1);
    check_str(h.host, "a");
    ck_assert_int_eq(http_parse_trailers(&h, "X : y\r\n\r\n", 9, &why), 400);
    /* Node's parser refuses them; nobody can mean them. */
    ck_assert_int_eq(http_parse_trailers(&h, "content-length: 5\r\n\r\n", 21, &why), 400);
    ck_assert_int_eq(http_parse_trailers(&h, "Transfer-Encoding: chunked\r\n\r\n", 30, &why), 400);
    ck_assert_int_eq(http_parse_trailers(&h, "X: y\r\n Z: a\r\n\r\n", 15, &why), 400);
    ck_assert_int_eq(http_parse_trailers(&h, "X: y\r\n", 6, &why), 400);
}
END_TEST

START_TEST(small_values)
{
    char out[16];

    ck_assert(str_eq(STR("abc"), "abc") && !str_eq(STR("abc"), "abd") && !str_eq(STR("ab"), "abc"));
    ck_assert(str_ieq(STR("AbC"), "aBc") && !str_ieq(STR("a["), "a{") && !str_ieq(STR("a"), "ab"));
    ck_assert(http_list_has(STR("a, B ,c"), "b") && !http_list_has(STR("ab, c"), "b"));
    ck_assert(!http_list_has(STR(""), "b") && http_list_has(STR(",,b"), "b"));
    ck_assert_int_eq(http_percent_decode(STR("a%20b+%c3%A4"), out, 16), 6);
    ck_assert_int_eq(memcmp(out, "a b+\xc3\xa4", 6), 0);
    ck_assert_int_eq(http_percent_decode(STR("%"), out, 16), -EINVAL);
    ck_assert_int_eq(http_percent_decode(STR("%a"), out, 16), -EINVAL);
    ck_assert_int_eq(http_percent_decode(STR("%ax"), out, 16), -EINVAL);
    ck_assert_int_eq(http_percent_decode(STR("abc"), out, 2), -EINVAL);
    ck_assert_int_eq(http_percent_decode(STR("%41"), out, 1), 1);
    ck_assert_str_eq(http_status_text(404), "Not Found");
    ck_assert_str_eq(http_status_text(299), "Unknown");
}
END_TEST

UNIT_MAIN("parser", a_request_is_taken_apart, forms_of_the_target,
          what_two_parsers_could_read_differently_is_refused, nul_is_nowhere,
          connect_is_for_an_authority_alone, keep_alive_and_upgrade, limits_of_a_head, responses,
          a_tab_behind_a_framing_value_is_refused, chunks,
          a_chunk_extension_ends_where_every_parser_ends_it,
          chunk_extensions_and_trailers_are_bounded, trailers_never_frame_or_authenticate,
          small_values)
