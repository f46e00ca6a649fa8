/* The known ways to smuggle a request, through the server: each is refused with its status, the
 * connection ends, and the request behind it is never seen. */
#include "http/server.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>

#define POST   "POST /first HTTP/1.1\r\n"
#define HOST   "Host: a\r\n"
#define HIDDEN "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
#define TE     "Transfer-Encoding: chunked\r\n"

static struct loop *loop;
static struct http_server *server;
static struct peer peer;
static struct buffer seen; /* the paths of the requests that were read whole, each with a space */
static bool read_bodies;

static void answer(struct http_exchange *x)
{
    struct str path = http_head(x)->path;

    buffer_append(&seen, path.at, path.n);
    buffer_puts(&seen, " ");
    http_respond(x, 200, NULL, path.at, path.n);
}
static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    (void)data, (void)n;
    if (last)
        answer(x);
}
static const struct http_exchange_ops ops = {.on_body = on_body};

static void on_request(struct http_exchange *x, void *user)
{
    (void)user;
    http_set_owner(x, &ops, NULL);
    if (read_bodies)
        http_read_body(x, 0);
    else
        answer(x);
}

static void start(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(
        http_server_new(loop, &(struct http_server_options){.on_request = on_request}, &server), 0);
    peer_connect(&peer, loop, server);
    buffer_clear(&seen);
}
static void finish(void)
{
    peer_close(&peer);
    http_server_free(server);
    loop_free(loop);
}
static void send_pieces(const char *in, size_t n, size_t step)
{
    for (size_t at = 0; at < n && !peer.eof; at += step) {
        /* What comes after the refusal is thrown away, or finds nobody. */
        send(peer.watch.fd, in + at, step < n - at ? step : n - at, MSG_NOSIGNAL);
        run_once(loop);
    }
}
static bool was_seen(const char *paths)
{
    return buffer_size(&seen) == strlen(paths) &&
           (!*paths || memcmp(buffer_bytes(&seen), paths, strlen(paths)) == 0);
}

static void check_refused(const char *in, size_t n, int status)
{
    const size_t steps[] = {n, 1, 7};
    char line[32];

    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        start();
        read_bodies = true;
        send_pieces(in, n, steps[i]);
        /* On its way there it may have to be told that nothing more comes. */
        shutdown(peer.watch.fd, SHUT_WR);
        peer_until_eof(&peer);
        ck_assert_msg(buffer_size(&peer.got) > strlen(line) &&
                          memcmp(buffer_bytes(&peer.got), line, strlen(line)) == 0,
                      "'%.*s' by %zu is answered '%.*s', not %d", (int)n, in, steps[i],
                      (int)buffer_size(&peer.got), (const char *)buffer_bytes(&peer.got), status);
        ck_assert_msg(peer_has(&peer, "\r\nConnection: close\r\n"), "'%.*s'", (int)n, in);
        ck_assert_msg(was_seen(""), "'%.*s' by %zu lets through %.*s", (int)n, in, steps[i],
                      (int)buffer_size(&seen), (const char *)buffer_bytes(&seen));
        ck_assert_uint_eq(http_server_stats(server)->bad_requests, 1);
        finish();
    }
}

struct vector {
    int status;
    const char *in;
    size_t n;
};
#define ROW(status, text)                                                                          \
    {                                                                                              \
        status, text HIDDEN, sizeof(text HIDDEN) - 1                                               \
    }
static void check_all(const struct vector *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_refused(rows[i].in, rows[i].n, rows[i].status);
}

START_TEST(two_framings_in_one_head)
{
    static const struct vector rows[] = {
        /* CL.TE, TE.CL and their orders */
        ROW(400, POST HOST "Content-Length: 6\r\n" TE "\r\n0\r\n\r\nG"),
        ROW(400, POST HOST TE "Content-Length: 3\r\n\r\n1\r\nZ\r\n0\r\n\r\n"),
        ROW(400, POST HOST "Content-Length: 0\r\n" TE "\r\n0\r\n\r\n"),
        ROW(400, POST HOST "Content-Length: 5\r\nContent-Length: 0\r\n\r\nabcde"),
        ROW(400, POST HOST "Content-Length: 0\r\ncontent-length: 5\r\n\r\nabcde"),
        ROW(400, POST HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
        /* TE.TE */
        ROW(400, POST HOST TE TE "\r\n0\r\n\r\n"),
        ROW(501, POST HOST "Transfer-Encoding: identity\r\n" TE "\r\n0\r\n\r\n"),
        ROW(400, POST HOST TE "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        ROW(400, "POST / HTTP/1.0\r\n" TE "\r\n0\r\n\r\n"),
        ROW(400, "CONNECT a:1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde"),
    };

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(a_coding_that_is_not_quite_chunked)
{
#define CODING(status, value) ROW(status, POST HOST "Transfer-Encoding:" value "\r\n\r\n0\r\n\r\n")
    static const struct vector rows[] = {
        CODING(501, " chunked, identity"),
        CODING(501, " identity, chunked"),
        CODING(501, " gzip, chunked"),
        CODING(501, " chunked, chunked"),
        CODING(501, " chunked,"),
        CODING(501, " ,chunked"),
        CODING(501, " xchunked"),
        CODING(501, " chunke"),
        CODING(501, " chun ked"),
        CODING(501, " \"chunked\""),
        CODING(501, " 'chunked'"),
        CODING(501, " chunked;q=1"),
        CODING(501, " identity"),
        CODING(501, " gzip"),
        CODING(501, ""),
        CODING(501, " chunked\t"),
        CODING(501, " chunked\xa0"),
        CODING(400, " \x0b"
                    "chunked"),
        CODING(400, " chunked\x0b"),
        CODING(400, " chunked\x0c"),
        CODING(400, " chunked\x00"),
        CODING(400, " \x00"
                    "chunked"),
        CODING(501, "\r\n chunked"),
        CODING(400, "\n chunked"),
        CODING(400, " chunked\r\n , x"),
        CODING(400, " chunked\r"),
        CODING(400, " chunked\n"),
        CODING(400, " x\rchunked"),
    };
#undef CODING

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(a_name_that_is_not_quite_one)
{
#define NAME(line) ROW(400, POST HOST line "\r\n\r\n0\r\n\r\n")
    static const struct vector rows[] = {
        NAME("Transfer-Encoding : chunked"),
        NAME("Transfer-Encoding\t: chunked"),
        NAME("Transfer-Encoding\x0b: chunked"),
        NAME("Transfer-Encoding\x00: chunked"),
        NAME("\x00Transfer-Encoding: chunked"),
        NAME(" Transfer-Encoding: chunked"),
        NAME("\tTransfer-Encoding: chunked"),
        NAME("\x0bTransfer-Encoding: chunked"),
        NAME("Transfer Encoding: chunked"),
        NAME("Transfer-Encoding\r\n : chunked"),
        NAME("Transfer-Encoding\n: chunked"),
        NAME("Transfer-Encoding chunked"),
        NAME("Transfer-Encoding"),
        NAME(": chunked"),
        NAME("X: y\nTransfer-Encoding: chunked"),
        NAME("X: y\rTransfer-Encoding: chunked"),
        NAME("X: y\n\rTransfer-Encoding: chunked"),
        NAME("X: y\r\rTransfer-Encoding: chunked"),
        NAME("X: y\r\r\nTransfer-Encoding: chunked"),
        NAME("X: y\x00\r\nTransfer-Encoding: chunked"),
        NAME("X: y\r\n z\r\nTransfer-Encoding: chunked"),
        NAME("X:\r\n\tz\r\nTransfer-Encoding: chunked"),
        NAME("Content-Length\x00: 5"),
        NAME("Content-Length : 5"),
        NAME("Content-Length\xc2\xa0: 5"),
        /* a fold where there is nothing to fold */
        ROW(400, POST " Host: a\r\n\r\n"),
        ROW(400, POST "\tHost: a\r\n" TE "\r\n0\r\n\r\n"),
    };
#undef NAME

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(a_length_that_is_not_quite_one)
{
#define LENGTH(value) ROW(400, POST HOST "Content-Length:" value "\r\n\r\nabcde")
    static const struct vector rows[] = {
        LENGTH(" 5, 5"),
        LENGTH(" 5,5"),
        LENGTH(" 5 5"),
        LENGTH(" +5"),
        LENGTH(" -5"),
        LENGTH(" -0"),
        LENGTH(" 0x5"),
        LENGTH(" 5.0"),
        LENGTH(" 5e0"),
        LENGTH(" 5;"),
        LENGTH(" \"5\""),
        LENGTH(" 5_0"),
        LENGTH(""),
        LENGTH(" ,5"),
        LENGTH(" five"),
        LENGTH(" 5\t"),
        LENGTH(" 5\x00"),
        LENGTH(" \x0b"
               "5"),
        LENGTH(" 5\x0b"),
        LENGTH("\r\n 5"),
        LENGTH(" \xef\xbc\x95"),
        LENGTH(" 18446744073709551621"),
        LENGTH(" 9223372036854775813"),
    };
#undef LENGTH

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(a_request_line_that_is_not_quite_one)
{
#define LINE(status, line) ROW(status, line "\r\n" HOST "\r\n")
    static const struct vector rows[] = {
        LINE(400, "GET /a HTTP/1.1\r\nX: y GET /b HTTP/1.1\n"),
        LINE(400, "GET  /a HTTP/1.1"),
        LINE(400, "GET\t/a HTTP/1.1"),
        LINE(400, "GET /a\x0bHTTP/1.1"),
        LINE(400, "GET /a HTTP/1.1 "),
        LINE(400, "GET /a HTTP/1.1\r"),
        LINE(400, "GET /a b HTTP/1.1"),
        LINE(400, "GET /a\x00 HTTP/1.1"),
        LINE(400, "GET /a#b HTTP/1.1"),
        LINE(400, "GET /\xc4\xa0 HTTP/1.1"),
        LINE(400, "GET a HTTP/1.1"),
        LINE(400, " GET /a HTTP/1.1"),
        LINE(400, "\x00GET /a HTTP/1.1"),
        LINE(400, "\nGET /a HTTP/1.1"),
        LINE(400, "GET /a"),
        LINE(400, "GET /a HTTP/1.1x"),
        LINE(400, "GET /a http/1.1"),
        LINE(400, "GET /a HTTP/1.01"),
        LINE(400, "GET /a HTTP/+1.1"),
        LINE(505, "GET /a HTTP/1.2"),
        LINE(505, "GET /a HTTP/3.0"),
        LINE(505, "PRI * HTTP/2.0"),
        /* hosts */
        ROW(400, "GET /a HTTP/1.1\r\n\r\n"),
        ROW(400, "GET /a HTTP/1.1\r\n" HOST HOST "\r\n"),
        ROW(400, "GET /a HTTP/1.1\r\n" HOST "Host: b\r\n\r\n"),
        ROW(400, "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ROW(400, "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ROW(400, "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ROW(400, "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"),
        ROW(400, "GET http:///a HTTP/1.1\r\n" HOST "\r\n"),
        ROW(400, "GET http://a\\b/ HTTP/1.1\r\n" HOST "\r\n"),
    };
#undef LINE

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(chunks_that_end_elsewhere)
{
#define CHUNKS(text) ROW(400, POST HOST TE "\r\n" text)
    static const struct vector rows[] = {
        CHUNKS("5 \r\nabcde\r\n0\r\n\r\n"),
        CHUNKS(" 5\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5\t\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("0_5\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("0x5\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("+5\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("-1\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5\x00\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5\rabcde\r\n0\r\n\r\n"),
        CHUNKS("5\rxabcde\r\n0\r\n\r\n"),
        CHUNKS("5\r\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5\n\rabcde\r\n0\r\n\r\n"),
        CHUNKS("5\r\nabcde\n0\r\n\r\n"),
        CHUNKS("5\r\nabcde\r0\r\n\r\n"),
        CHUNKS("5\r\nabcde\rx0\r\n\r\n"),
        CHUNKS("5\r\nabcdex\n0\r\n\r\n"),
        CHUNKS("5\r\nabcde0\r\n\r\n"),
        CHUNKS("5\r\nabcdefg\r\n0\r\n\r\n"),
        CHUNKS("5\r\nabc\r\n0\r\n\r\n"),
        CHUNKS("5\r\nabcde\r\n\r\n0\r\n\r\n"),
        CHUNKS("5\r\nabcde\r\n0\n\r\n"),
        CHUNKS("5\r\nabcde\r\n0\r\n\n"),
        CHUNKS("5\r\nabcde\r\n0\r\n\n\r"),
        CHUNKS("\r\n5\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("00000000000000000005\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5;\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5;x\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5;x=\"\r\nabcde\r\n0\r\n\r\n\"\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5;x=\"\n\"\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5;x\x00y\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("5 ;x\r\nabcde\r\n0\r\n\r\n"),
        CHUNKS("0\r\nContent-Length: 5\r\n\r\n"),
        CHUNKS("0\r\n" TE "\r\n"),
        CHUNKS("0\r\nX : y\r\n\r\n"),
        CHUNKS("0\r\n X: y\r\n\r\n"),
        CHUNKS("0\r\nX: y\n\r\n"),
        CHUNKS("0\r\nX: y\r\n z\r\n\r\n"),
        CHUNKS("0\r\nX: \x00\r\n\r\n"),
        /* the final CRLF is missing: the hidden request is a trailer that is none */
        CHUNKS("0\r\n"),
    };
#undef CHUNKS

    check_all(rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(what_is_too_long)
{
    cleanup_buffer struct buffer in = {0};

    buffer_puts(&in, POST HOST TE "\r\n5;");
    for (int i = 0; i < 1000; i++)
        buffer_puts(&in, "x");
    buffer_puts(&in, "\r\nabcde\r\n0\r\n\r\n" HIDDEN);
    check_refused((const char *)in.data, buffer_size(&in), 400);

    buffer_clear(&in);
    buffer_puts(&in, "GET /");
    for (int i = 0; i < 9000; i++)
        buffer_puts(&in, "x");
    buffer_puts(&in, " HTTP/1.1\r\n" HOST "\r\n" HIDDEN);
    check_refused((const char *)in.data, buffer_size(&in), 414);

    buffer_clear(&in);
    buffer_puts(&in, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 200; i++)
        buffer_puts(&in, "X: y\r\n");
    buffer_puts(&in, "\r\n" HIDDEN);
    check_refused((const char *)in.data, buffer_size(&in), 431);

    buffer_clear(&in);
    buffer_puts(&in, "GET / HTTP/1.1\r\n" HOST "X: ");
    for (int i = 0; i < 33000; i++)
        buffer_puts(&in, "y");
    buffer_puts(&in, "\r\n\r\n" HIDDEN);
    check_refused((const char *)in.data, buffer_size(&in), 431);
}
END_TEST

/* CL.0: an owner that does not care for a body must not leave it to be read as the next request. */
START_TEST(a_body_that_nobody_reads_is_no_request)
{
    static const char *const rows[] = {
        POST HOST "Content-Length: 33\r\n\r\n" HIDDEN "GET /last HTTP/1.1\r\n" HOST
                  "Connection: close\r\n\r\n",
        "GET /first HTTP/1.1\r\n" HOST "Content-Length: 33\r\n\r\n" HIDDEN
        "GET /last HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        POST HOST TE "\r\n21\r\n" HIDDEN "\r\n0\r\n\r\nGET /last HTTP/1.1\r\n" HOST
                     "Connection: close\r\n\r\n",
        POST HOST TE "\r\n0\r\nX: y\r\n\r\nGET /last HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 200; step += 66) {
            start();
            read_bodies = false;
            send_pieces(rows[i], strlen(rows[i]), step);
            peer_until_eof(&peer);
            ck_assert_msg(was_seen("/first /last "), "%s by %zu: %.*s", rows[i], step,
                          (int)buffer_size(&seen), (const char *)buffer_bytes(&seen));
            finish();
        }
    }
}
END_TEST

/* A client would take the body for its next answer. */
START_TEST(a_refused_head_request_gets_no_body)
{
    start();
    read_bodies = true;
    send_pieces("HEAD / HTTP/1.1\r\n" HOST TE "\r\nx", 57, 57);
    shutdown(peer.watch.fd, SHUT_WR);
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "HTTP/1.1 400 ") && !peer_has(&peer, "\r\n\r\n{"));
    finish();
}
END_TEST

UNIT_MAIN("refusal", two_framings_in_one_head, a_coding_that_is_not_quite_chunked,
          a_name_that_is_not_quite_one, a_length_that_is_not_quite_one,
          a_request_line_that_is_not_quite_one, chunks_that_end_elsewhere, what_is_too_long,
          a_body_that_nobody_reads_is_no_request, a_refused_head_request_gets_no_body)
