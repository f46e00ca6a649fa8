/* Peers that mean no good, against short time-outs: each costs a bounded amount of memory and is cut. */
#include "base/clock.h"
#include "http/server.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>

static struct loop *loop;
static struct http_server *server;
static struct peer peer;
static struct http_exchange *now;
static int requests, gone, gone_error, answered;
static uint8_t big[4 << 20];

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    (void)data, (void)n;
    if (last)
        http_respond(x, 200, NULL, "done", 4);
}
static void on_gone(struct http_exchange *x, int error)
{
    (void)x;
    gone++;
    gone_error = error;
    now = NULL;
}
static const struct http_exchange_ops ops = {.on_body = on_body, .on_gone = on_gone};

static void on_request(struct http_exchange *x, void *user)
{
    const struct http_head *h = http_head(x);

    (void)user;
    requests++;
    now = x;
    http_set_owner(x, &ops, NULL);
    if (str_eq(h->path, "/big")) {
        http_respond_start(x, 200, NULL, sizeof(big));
        http_respond_write(x, big, sizeof(big));
        http_respond_end(x, NULL);
    } else if (!str_eq(h->path, "/hold") && !str_eq(h->method, "GET")) {
        http_read_body(x, 0);
    }
}
static void start(const struct http_server_options *given)
{
    struct http_server_options o = *given;

    o.on_request = on_request;
    requests = gone = gone_error = answered = 0;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &o, &server), 0);
    peer_connect(&peer, loop, server);
}
static void finish(void)
{
    peer_close(&peer);
    http_server_free(server);
    loop_free(loop);
}

/* ---- one byte a millisecond, until the other side has had enough */
static struct loop_timer drip;
static bool drip_reads;
static size_t dripped;
static void on_drip(struct loop_timer *t)
{
    char octet = 'x';

    if ((drip_reads ? recv(peer.watch.fd, &octet, 1, MSG_DONTWAIT)
                    : send(peer.watch.fd, &octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        dripped++;
    loop_timer_set(loop, t, loop_now(loop) + NS_PER_MS);
}
static void drip_until_gone(void)
{
    drip.fn = on_drip;
    loop_timer_set(loop, &drip, loop_now(loop) + NS_PER_MS);
    while (http_server_stats(server)->timeouts == 0)
        run_once(loop);
    loop_timer_cancel(loop, &drip);
    ck_assert_uint_gt(dripped, 0); /* it was alive all the time */
}

START_TEST(a_head_by_the_byte)
{
    struct http_server_options o = {.header_timeout_ns = 40 * NS_PER_MS};

    start(&o);
    peer_send(&peer, "GET / HTTP/1.1\r\nX: ");
    drip_until_gone();
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "HTTP/1.1 408 "));
    ck_assert_int_eq(requests, 0);
    finish();
}
END_TEST

START_TEST(not_a_byte)
{
    struct http_server_options o = {.header_timeout_ns = 40 * NS_PER_MS};

    start(&o);
    peer_until_eof(&peer);
    ck_assert_uint_eq(buffer_size(&peer.got), 0);
    finish();
}
END_TEST

START_TEST(a_body_by_the_byte)
{
    struct http_server_options o = {.body_timeout_ns = 40 * NS_PER_MS};

    start(&o);
    peer_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    drip_until_gone();
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "HTTP/1.1 408 "));
    ck_assert_int_eq(gone_error, -ETIMEDOUT);
    finish();
}
END_TEST

START_TEST(an_answer_taken_by_the_byte)
{
    struct http_server_options o = {.write_timeout_ns = 40 * NS_PER_MS};

    start(&o);
    peer_send(&peer, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    loop_watch_cancel(loop, &peer.watch);
    drip_reads = true;
    drip_until_gone();
    ck_assert_uint_eq(http_server_stats(server)->connections, 0);
    finish();
}
END_TEST

/* Slow is not hostile: what moves is not cut, however long it takes. */
START_TEST(a_body_that_makes_progress_is_taken)
{
    struct http_server_options o = {.body_timeout_ns = 40 * NS_PER_MS};
    uint64_t next;

    start(&o);
    peer_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(send(peer.watch.fd, big, 4000, 0), 4000);
        for (next = loop_now(loop) + 8 * NS_PER_MS; loop_now(loop) < next;)
            run_once(loop);
    }
    peer_until(&peer, "done");
    ck_assert_int_eq(gone, 0);
    finish();
}
END_TEST

/* What is kept waiting on this side is no fault of the client's. */
START_TEST(a_body_that_nobody_reads_is_not_late)
{
    struct http_server_options o = {.body_timeout_ns = 30 * NS_PER_MS, .hold_limit = 1000};
    uint64_t next;

    start(&o);
    peer_send(&peer, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
    ck_assert_int_eq(send(peer.watch.fd, big, 1500, 0), 1500);
    run_once(loop);
    for (next = loop_now(loop) + 100 * NS_PER_MS; loop_now(loop) < next;)
        run_once(loop);
    ck_assert_int_eq(gone, 0);
    http_read_body(now, 0);
    run_once(loop);
    ck_assert_int_eq(send(peer.watch.fd, big, 500, 0), 500);
    peer_until(&peer, "done");
    finish();
}
END_TEST

/* Sends `piece` for ever. How much was taken until the answer came. */
static size_t flood(const char *first, const char *piece)
{
    size_t sent = strlen(first), n = strlen(piece);

    peer_send(&peer, first);
    while (!peer.eof && !buffer_size(&peer.got)) {
        ssize_t w = send(peer.watch.fd, piece, n, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += w > 0 ? (size_t)w : 0;
        ck_assert_uint_lt(sent, 4 << 20);
        run_once(loop);
    }
    return sent;
}

START_TEST(what_has_no_end_is_refused_at_its_limit)
{
    static const struct {
        const char *first, *piece, *answer;
    } rows[] = {
        {"GET / HTTP/1.1\r\n", "X-Y: 0123456789\r\n", "HTTP/1.1 431 "},
        {"GET / HTTP/1.1\r\nX: ", "0123456789", "HTTP/1.1 431 "},
        {"GET /", "0123456789", "HTTP/1.1 414 "},
        {"GET", "0123456789", "HTTP/1.1 414 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", "0123456789",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1;abcdefgh\r\nx\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
         "X: 0123456789\r\n", "HTTP/1.1 400 "},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_server_options o = {0};

        start(&o);
        flood(rows[i].first, rows[i].piece);
        peer_until_eof(&peer);
        ck_assert_msg(peer_has(&peer, rows[i].answer), "%s: %.*s", rows[i].first, 40,
                      (const char *)buffer_bytes(&peer.got));
        finish();
    }
}
END_TEST

START_TEST(empty_lines_without_end)
{
    struct http_server_options o = {.header_timeout_ns = 40 * NS_PER_MS};

    start(&o);
    while (http_server_stats(server)->timeouts == 0) {
        send(peer.watch.fd, "\r\n", 2, MSG_DONTWAIT | MSG_NOSIGNAL);
        run_once(loop);
    }
    peer_until_eof(&peer);
    finish();
}
END_TEST

/* Requests behind one that waits stay in the sockets, but for one read; their answers keep the order. */
START_TEST(pipelined_requests_are_bounded_and_in_order)
{
    struct http_server_options o = {0};
    char request[64], expected[64];
    size_t sent = 0;
    int made = 0, stalled = 0;

    start(&o);
    while (stalled < 50) {
        int n = snprintf(request, sizeof(request), "GET /%08d HTTP/1.1\r\nHost: a\r\n\r\n", made);
        ssize_t w = send(peer.watch.fd, request, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);

        ck_assert(w == n || w < 0);
        made += w > 0;
        sent += w > 0 ? (size_t)w : 0;
        stalled = w > 0 ? 0 : stalled + 1;
        run_once(loop);
        ck_assert_uint_lt(sent, 2 << 20);
    }
    ck_assert_int_eq(requests, 1);
    ck_assert_int_gt(made, 100);
    for (int i = 0; i < made; i++) {
        while (requests == i)
            run_once(loop);
        ck_assert_int_eq(requests, i + 1);
        http_respond(now, 200, NULL, http_head(now)->path.at, http_head(now)->path.n);
        run_once(loop);
    }
    snprintf(expected, sizeof(expected), "/%08d", made - 1);
    peer_until(&peer, expected);
    for (int i = 0, at = 0; i < made; i++) {
        const char *p;

        snprintf(expected, sizeof(expected), "/%08d", i);
        p = memmem(buffer_bytes(&peer.got) + at, buffer_size(&peer.got) - (size_t)at, expected, 9);
        ck_assert_ptr_nonnull(p);
        at = (int)(p - (const char *)buffer_bytes(&peer.got));
    }
    finish();
}
END_TEST

UNIT_MAIN("hostile", a_head_by_the_byte, not_a_byte, a_body_by_the_byte,
          an_answer_taken_by_the_byte, a_body_that_makes_progress_is_taken,
          a_body_that_nobody_reads_is_not_late, what_has_no_end_is_refused_at_its_limit,
          empty_lines_without_end, pipelined_requests_are_bounded_and_in_order)
