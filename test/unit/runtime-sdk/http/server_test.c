/* The server seen by raw clients: framing, pipelining, holding, limits, time, ends. */
#include "base/clock.h"
#include "http/server.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct loop *loop;
static struct http_server *server;
static struct peer peer;

/* What the last exchange went through. */
static struct http_exchange *now;
static struct buffer body;
static int requests, gone, gone_error, done, drained, lasts;
static bool stop_on_gone, stop_on_request, stop_on_done, pause_once;

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    buffer_append(&body, data, n);
    lasts += last;
    if (pause_once) {
        pause_once = false;
        http_pause_body(x);
        loop_stop(loop);
    }
    if (last && http_user(x)) {
        http_respond(x, 200, NULL, buffer_bytes(&body), buffer_size(&body));
        buffer_clear(&body);
    }
}
static void on_drained(struct http_exchange *x)
{
    (void)x;
    drained++;
    loop_stop(loop);
}
static void on_gone(struct http_exchange *x, int error)
{
    (void)x;
    gone++;
    gone_error = error;
    if (stop_on_gone)
        loop_stop(loop);
}
static void on_done(struct http_exchange *x)
{
    ck_assert_ptr_nonnull(http_head(x)->method.at);
    done++;
    now = NULL;
    if (stop_on_done)
        loop_stop(loop);
}
static const struct http_exchange_ops ops = {on_body, on_drained, on_gone, on_done};

static void on_request(struct http_exchange *x, void *user)
{
    const struct http_head *h = http_head(x);

    (void)user;
    requests++;
    now = x;
    http_set_owner(x, &ops, NULL);
    if (stop_on_request)
        loop_stop(loop);
    if (str_eq(h->path, "/hello")) {
        http_respond(x, 200, "X-A: b\r\n", "hello", 5);
    } else if (str_eq(h->path, "/empty")) {
        http_respond(x, 204, NULL, NULL, 0);
    } else if (str_eq(h->path, "/query")) {
        http_respond(x, 200, NULL, h->query.at, h->query.n);
    } else if (str_eq(h->path, "/chunked")) {
        http_respond_start(x, 200, NULL, -1);
        http_respond_write(x, "hel", 3);
        http_respond_write(x, "lo", 2);
        http_respond_end(x, "X-Sum: 5\r\n");
    } else if (str_eq(h->path, "/echo")) {
        http_set_owner(x, &ops, x);
        http_set_refusal_headers(x, "X-Id: 7\r\n");
        http_read_body(x, 1000);
    } else if (str_eq(h->path, "/short")) {
        http_respond_start(x, 200, NULL, 10);
        http_respond_write(x, "abc", 3);
        http_respond_end(x, NULL);
    } else if (str_eq(h->path, "/long")) {
        http_respond_start(x, 200, NULL, 2);
        http_respond_write(x, "abc", 3);
    } else if (str_eq(h->path, "/abort")) {
        http_abort(x);
    }
}

static void start(const struct http_server_options *given)
{
    struct http_server_options o = given ? *given : (struct http_server_options){0};

    o.on_request = on_request;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &o, &server), 0);
    peer_connect(&peer, loop, server);
}
static void finish(void)
{
    peer_close(&peer);
    http_server_free(server);
    loop_free(loop);
    buffer_done(&body);
    ck_assert_int_eq(done, requests);
}

START_TEST(an_answer)
{
    start(NULL);
    peer_send(&peer, GET("/hello"));
    peer_until(&peer, "hello");
    ck_assert_int_eq(memcmp(peer.got.data, "HTTP/1.1 200 OK\r\nX-A: b\r\nDate: ", 31), 0);
    ck_assert(peer_has(&peer, " GMT\r\nContent-Length: 5\r\n\r\nhello"));
    ck_assert(!peer_has(&peer, "Connection:"));
    finish();
}
END_TEST

/* Everything but the dates of what a stream of requests is answered with. */
static void exchange_all(const char *in, size_t step, struct buffer *out)
{
    size_t n = strlen(in), at = 0;
    const char *p, *end;

    start(NULL);
    while (at < n) {
        size_t piece = step < n - at ? step : n - at;

        ck_assert_int_eq(send(peer.watch.fd, in + at, piece, MSG_NOSIGNAL), (ssize_t)piece);
        at += piece;
        if (step < n)
            run_once(loop);
    }
    peer_until_eof(&peer);
    p = (const char *)peer.got.data;
    end = p + peer.got.end;
    while (p < end) {
        const char *line = memchr(p, '\n', (size_t)(end - p));

        line = line ? line + 1 : end;
        if (end - p < 6 || memcmp(p, "Date: ", 6))
            buffer_append(out, p, (size_t)(line - p));
        p = line;
    }
    finish();
}

START_TEST(pieces_and_pipelines_give_identical_answers)
{
    static const char in[] = "\r\n" GET("/hello") GET(
        "/query?a=1") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3;x=y\r\nchu\r\n3\r\nnks\r\n0\r\nX-T: z\r\n\r\n"
                      "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/empty") GET(
                          "/chunked") "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: "
                                      "6\r\n\r\nunread"
                                      "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    cleanup_buffer struct buffer whole = {0};

    exchange_all(in, sizeof(in), &whole);
    buffer_append(&whole, "", 1);
    ck_assert_str_eq(
        (char *)whole.data,
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na=1"
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nchunks"
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\n"
        "HTTP/1.1 204 No Content\r\n\r\n"
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 5\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"
        "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    for (size_t step = 1; step < 40; step += step < 4 ? 1 : 7) {
        cleanup_buffer struct buffer pieces = {0};

        exchange_all(in, step, &pieces);
        buffer_append(&pieces, "", 1);
        ck_assert_str_eq((char *)pieces.data, (char *)whole.data);
    }
}
END_TEST

START_TEST(http_1_0)
{
    start(NULL);
    peer_send(&peer, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_until(&peer, "hello");
    ck_assert(peer_has(&peer, "Connection: keep-alive\r\n"));
    peer_send(&peer, "GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_until_eof(&peer); /* its length unknown, the end of the stream ends it */
    ck_assert(peer_has(&peer, "Connection: close\r\n\r\nhello") && !peer_has(&peer, "chunked"));
    finish();
}
END_TEST

START_TEST(refusals_are_json_and_close)
{
    static const struct {
        const char *in, *line, *reason;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "{\"reason\":\"BadRequest\""},
        {"\x16\x03\x01", "HTTP/1.1 400 ", "BadRequest"},
        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 ", "HTTPVersionNotSupported"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 ", "both Content-Length and Transfer-Encoding"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 ", "chunks are malformed"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413 ",
         "ContentTooLarge"},
        {"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 ", "chunks are malformed"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        start(NULL);
        peer_send(&peer, rows[i].in);
        peer_until(&peer, rows[i].reason);
        peer_until_eof(&peer);
        ck_assert_int_eq(memcmp(peer.got.data, rows[i].line, strlen(rows[i].line)), 0);
        ck_assert(peer_has(&peer, "Connection: close\r\n") && peer_has(&peer, "application/json"));
        finish();
    }
}
END_TEST

START_TEST(a_body_past_its_limit_while_it_comes)
{
    char chunk[700];

    start(NULL);
    memset(chunk, 'x', sizeof(chunk));
    peer_send(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 2; i++) {
        peer_send(&peer, "2bc\r\n");
        ck_assert_int_eq(send(peer.watch.fd, chunk, 700, 0), 700);
        peer_send(&peer, "\r\n");
    }
    peer_until(&peer, "413");
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "\r\nX-Id: 7\r\n") && peer_has(&peer, "larger than 1000 bytes"));
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(gone_error, -EMSGSIZE);
    finish();
}
END_TEST

START_TEST(a_body_is_held_until_it_is_read)
{
    struct http_server_options o = {.hold_limit = 8};

    start(&o);
    stop_on_request = true;
    peer_send(&peer, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    loop_run(loop);
    ck_assert(http_has_body(now));
    ck_assert(http_held_all(now)); /* what came with the head is there at once */
    ck_assert_uint_eq(buffer_size(http_held(now)), 4);
    http_set_owner(now, &ops, now);
    http_read_body(now, 0);
    ck_assert_uint_eq(buffer_size(&body), 0); /* not before the return */
    peer_until(&peer, "\r\n\r\nabcd");
    ck_assert_int_eq(lasts, 1);

    peer_send(&peer, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nabcdefghijkl");
    loop_run(loop);
    ck_assert(!http_held_all(now));
    ck_assert_uint_eq(buffer_size(http_held(now)), 8); /* and no more is read */
    http_set_owner(now, &ops, now);
    pause_once = true;
    http_read_body(now, 0);
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&body), 8);
    http_resume_body(now);
    peer_until(&peer, "\r\n\r\nabcdefghijkl");
    finish();
}
END_TEST

START_TEST(expect_100_continue)
{
    start(NULL);
    peer_send(&peer,
              "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    peer_until(&peer, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert(!peer_has(&peer, "200"));
    peer_send(&peer, "abcd");
    peer_until(&peer, "\r\n\r\nabcd");
    /* Answered without the body: the client may send it or not, so the stream ends. */
    buffer_clear(&peer.got);
    peer_send(&peer,
              "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "Connection: close\r\n") && !peer_has(&peer, "100 Continue"));
    finish();
}
END_TEST

START_TEST(an_answer_that_breaks_its_word_is_cut)
{
    static const char *const paths[] = {GET("/short"), GET("/long"), GET("/abort")};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        start(NULL);
        peer_send(&peer, paths[i]);
        peer_until_eof(&peer);
        ck_assert(!peer_has(&peer, "abcd"));
        ck_assert_int_eq(gone, 0);
        finish();
    }
}
END_TEST

START_TEST(a_client_that_leaves_is_told_at_once)
{
    stop_on_request = stop_on_gone = true;
    start(NULL);
    peer_send(&peer, GET("/wait"));
    loop_run(loop);
    peer_close(&peer);
    loop_run(loop);
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(gone_error, -ECONNRESET);
    if (now)
        http_respond(now, 200, NULL, "late", 4); /* nobody is there: nothing happens */
    finish();

    start(NULL); /* in the middle of its body */
    requests = done = 0;
    peer_send(&peer, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    loop_run(loop);
    peer_close(&peer);
    loop_run(loop);
    ck_assert_int_eq(gone, 2);
    finish();
}
END_TEST

START_TEST(an_unread_body_is_swallowed_up_to_its_bound)
{
    static char big[HTTP_HEADERS_MAX * 3000];
    ssize_t sent = 0;

    start(NULL);
    memset(big, 'x', sizeof(big));
    peer_send(&peer, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    peer_until(&peer, "hello");
    ck_assert(peer_has(&peer, "Connection: close\r\n"));
    while (sent < (ssize_t)sizeof(big)) { /* still taken, so that the answer is not destroyed */
        ssize_t n = send(peer.watch.fd, big, sizeof(big) - (size_t)sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        ck_assert(n > 0 || errno == EAGAIN);
        sent += n > 0 ? n : 0;
        run_once(loop);
    }
    finish();
}
END_TEST

START_TEST(congestion_is_told_and_ends)
{
    static char big[400000];

    start(NULL);
    stop_on_request = true;
    peer_send(&peer, GET("/wait"));
    loop_watch_cancel(loop, &peer.watch);
    loop_run(loop);
    http_respond_start(now, 200, NULL, -1);
    while (!http_congested(now))
        http_respond_write(now, big, sizeof(big));
    ck_assert_int_eq(loop_watch_set(loop, &peer.watch, LOOP_READ), 0);
    loop_run(loop);
    ck_assert_int_eq(drained, 1);
    ck_assert(!http_congested(now));
    http_respond_end(now, NULL);
    peer_until(&peer, "\r\n0\r\n\r\n");
    finish();
}
END_TEST

START_TEST(time_limits)
{
    struct http_server_options o = {.header_timeout_ns = 20 * NS_PER_MS,
                                    .idle_timeout_ns = 20 * NS_PER_MS,
                                    .body_timeout_ns = 20 * NS_PER_MS,
                                    .write_timeout_ns = 20 * NS_PER_MS};
    static char big[4 << 20];

    start(&o); /* half a head */
    peer_send(&peer, "GET / HT");
    peer_until(&peer, "HTTP/1.1 408 ");
    peer_until_eof(&peer);
    finish();
    start(&o); /* silence */
    peer_send(&peer, GET("/hello"));
    peer_until_eof(&peer);
    ck_assert(!peer_has(&peer, "408"));
    finish();
    start(&o); /* a body that stops */
    peer_send(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    peer_until(&peer, "HTTP/1.1 408 ");
    peer_until_eof(&peer);
    ck_assert(peer_has(&peer, "\r\nX-Id: 7\r\n"));
    ck_assert_int_eq(gone_error, -ETIMEDOUT);
    finish();
    start(&o); /* an answer that nobody takes */
    stop_on_request = stop_on_gone = true;
    gone = 0;
    peer_send(&peer, GET("/wait"));
    loop_watch_cancel(loop, &peer.watch);
    loop_run(loop);
    http_respond_start(now, 200, NULL, sizeof(big));
    http_respond_write(now, big, sizeof(big));
    loop_run(loop);
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(gone_error, -ETIMEDOUT);
    finish();
}
END_TEST

static int drains;
static void on_server_drained(void *user)
{
    (void)user;
    drains++;
    loop_stop(loop);
}

START_TEST(drain_finishes_what_runs)
{
    struct peer idle;

    start(NULL);
    peer_connect(&idle, loop, server);
    stop_on_request = true;
    peer_send(&peer, GET("/wait"));
    loop_run(loop);
    http_server_drain(server, loop_now(loop) + 60 * NS_PER_S, on_server_drained, NULL);
    ck_assert_int_eq(drains, 0);
    peer_until_eof(&idle);
    http_respond(now, 200, NULL, "late", 4);
    peer_until(&peer, "Connection: close\r\n\r\nlate");
    while (!drains)
        loop_run(loop);
    ck_assert_uint_eq(http_server_stats(server)->connections, 0);
    peer_close(&idle);
    finish();
}
END_TEST

START_TEST(drain_cuts_at_its_deadline)
{
    start(NULL);
    stop_on_request = true;
    peer_send(&peer, GET("/wait"));
    loop_run(loop);
    http_server_drain(server, loop_now(loop) + NS_PER_MS, on_server_drained, NULL);
    while (!drains)
        loop_run(loop);
    ck_assert_int_eq(gone, 1);
    finish();
}
END_TEST

START_TEST(free_tells_every_owner)
{
    start(NULL);
    stop_on_request = true;
    peer_send(&peer, GET("/wait"));
    loop_run(loop);
    finish();
    ck_assert_int_eq(gone, 1);
}
END_TEST

START_TEST(upgrade_hands_the_stream_over)
{
    struct conn *c;
    uint8_t *rest;
    size_t n;

    start(NULL);
    stop_on_request = true;
    peer_send(&peer, "GET /wait HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw");
    loop_run(loop);
    ck_assert(http_head(now)->upgrade);
    ck_assert_int_eq(http_upgrade(now, "Upgrade: x\r\n", &c, &rest, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(memcmp(rest, "raw", 3), 0);
    free(rest);
    conn_write(c, "back", 4);
    peer_until(&peer, "\r\n\r\nback");
    ck_assert(peer_has(&peer,
                       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n"));
    conn_abort(c, 0);
    finish();
}
END_TEST

START_TEST(limit_of_connections)
{
    struct http_server_options o = {.max_connections = 1};
    int fds[2];

    start(&o);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(http_server_open(server, fds[0]), -EMFILE);
    close(fds[0]);
    close(fds[1]);
    finish();
}
END_TEST

UNIT_MAIN("server", an_answer, pieces_and_pipelines_give_identical_answers, http_1_0,
          refusals_are_json_and_close, a_body_past_its_limit_while_it_comes,
          a_body_is_held_until_it_is_read, expect_100_continue,
          an_answer_that_breaks_its_word_is_cut, a_client_that_leaves_is_told_at_once,
          an_unread_body_is_swallowed_up_to_its_bound, congestion_is_told_and_ends, time_limits,
          drain_finishes_what_runs, drain_cuts_at_its_deadline, free_tells_every_owner,
          upgrade_hands_the_stream_over, limit_of_connections)
