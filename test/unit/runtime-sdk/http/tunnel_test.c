/* Streams through a server, a client and the proxy between them: a WebSocket conversation by hand (RFC
 * 6455), CONNECT, and what is no tunnel. */
#include "base/clock.h"
#include "http/proxy.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>

#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* RFC 6455 1.3 */
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define WISH   "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
#define HELLO  "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" /* masked, RFC 6455 5.7 */
enum { BIG = 4 << 20 };

static struct loop *loop;
static struct http_server *front, *back;
static struct http_client *client;
static char back_address[128];
static struct peer peer;

/* ---- the back: an echo of WebSocket messages */
static struct buffer back_in;
static struct conn *back_stream;
static int back_requests, back_eofs;
static bool saw_upgrade, saw_key;

/* One message in `back_in`, answered unmasked; false: it is not all there. */
static bool echo_frame(void)
{
    const uint8_t *p = buffer_bytes(&back_in), *mask;
    size_t have = buffer_size(&back_in), head = 6, n;
    uint8_t out[10];

    if (have < head)
        return false;
    ck_assert_uint_eq(p[0] & 0x80, 0x80);
    ck_assert_uint_eq(p[1] & 0x80, 0x80); /* a client masks */
    n = p[1] & 0x7f;
    if (n == 127) {
        head = 14;
        n = 0;
        for (int i = 2; have >= 14 && i < 10; i++)
            n = n << 8 | p[i];
    }
    if (have < head || have < head + n)
        return false;
    mask = p + head - 4;
    out[0] = p[0];
    out[1] = n > 125 ? 127 : (uint8_t)n;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (uint8_t)(n >> (56 - 8 * i));
    conn_write(back_stream, out, n > 125 ? 10 : 2);
    for (size_t at = 0; at < n; at += 4096) {
        uint8_t piece[4096];
        size_t size = n - at < sizeof(piece) ? n - at : sizeof(piece);

        for (size_t i = 0; i < size; i++)
            piece[i] = p[head + at + i] ^ mask[(at + i) % 4];
        conn_write(back_stream, piece, size);
    }
    if ((p[0] & 15) == 8)
        conn_shutdown(back_stream);
    buffer_consume(&back_in, head + n);
    return true;
}
static size_t back_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c;
    buffer_append(&back_in, in, n);
    while (buffer_size(&back_in) && echo_frame())
        ;
    return n;
}
static void back_eof(struct conn *c)
{
    (void)c;
    back_eofs++;
    loop_stop(loop);
}
static void back_closed(struct conn *c, int error)
{
    (void)c, (void)error;
    back_stream = NULL;
    back_eofs++;
    loop_stop(loop);
}
static const struct conn_ops back_ops = {
    .on_data = back_data, .on_eof = back_eof, .on_closed = back_closed};

static void take_stream(struct http_exchange *x, const char *headers)
{
    uint8_t *rest;
    size_t n;

    ck_assert_int_eq(http_upgrade(x, headers, &back_stream, &rest, &n), 0);
    conn_set_user(back_stream, &back_ops, NULL);
    conn_write(back_stream, "\x89\x00", 2); /* a ping, in one piece with the 101 */
    if (n)
        back_data(back_stream, rest, n);
    free(rest);
}
static void on_back(struct http_exchange *x, void *user)
{
    const struct http_head *h = http_head(x);

    (void)user;
    back_requests++;
    saw_upgrade = h->upgrade;
    saw_key = http_head_get(h, "Sec-WebSocket-Key") != NULL;
    if (str_eq(h->method, "CONNECT"))
        take_stream(x, NULL);
    else if (str_eq(h->path, "/never"))
        http_respond(x, 426, "Upgrade: h9\r\nConnection: Upgrade\r\n", "no", 2);
    else if (h->upgrade)
        take_stream(x, "Upgrade: websocket\r\n" ACCEPT);
    else
        http_respond(x, 200, NULL, "plain", 5);
}

/* ---- the front */
static int tunnels_over, over_error, dones, done_error, exchange_dones, head_status, start_error;
static bool no_tunnel;
static uint64_t idle_ns;
static struct http_proxy *proxy;

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user;
    proxy = NULL;
    http_respond(x, 503, NULL, reason, strlen(reason));
}
static void on_head(void *user, struct http_exchange *x, int status)
{
    (void)user;
    ck_assert_ptr_nonnull(x);
    head_status = status;
}
static void on_done(void *user, struct http_exchange *x, int error)
{
    (void)user;
    proxy = NULL;
    if (!x) {
        ck_assert_int_eq(exchange_dones, 1); /* the exchange ended before */
        tunnels_over++;
        over_error = error;
        loop_stop(loop);
        return;
    }
    dones++;
    done_error = error;
    if (error && error != -ECANCELED)
        http_respond(x, 502, NULL, NULL, 0);
}
static const struct http_proxy_ops proxy_ops = {on_refused, on_head, on_done};

static void front_exchange_done(struct http_exchange *x)
{
    (void)x;
    exchange_dones++;
}
static const struct http_exchange_ops front_ops = {.on_done = front_exchange_done};

static void on_front(struct http_exchange *x, void *user)
{
    struct http_proxy_request r = {.address = back_address,
                                   .set = "X-Set: mine\r\n",
                                   .answer_headers = "Rouse-Request-Id: 7\r\n",
                                   .deadline_ns = loop_now(loop) + 10 * NS_PER_S,
                                   .origin = true,
                                   .tunnel = !no_tunnel,
                                   .tunnel_idle_ns = idle_ns};

    (void)user;
    http_set_owner(x, &front_ops, NULL);
    start_error = http_proxy_start(client, x, &r, &proxy_ops, NULL, &proxy);
    if (start_error < 0)
        http_respond(x, start_error == -EOPNOTSUPP ? 405 : 500, NULL, NULL, 0);
}

static void start(void)
{
    struct http_server_options f = {.on_request = on_front, .connect = true},
                               b = {.on_request = on_back, .connect = true};

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &f, &front), 0);
    ck_assert_int_eq(http_server_new(loop, &b, &back), 0);
    ck_assert_int_eq(http_server_listen(back, "tcp://127.0.0.1:0", NULL), 0);
    http_server_address(back, back_address);
    ck_assert_int_eq(http_client_new(loop, NULL, &client), 0);
    peer_connect(&peer, loop, front);
}
static void finish(void)
{
    peer_close(&peer);
    if (proxy)
        http_proxy_cancel(proxy);
    if (back_stream)
        conn_abort(back_stream, 0);
    http_server_free(front);
    http_server_free(back);
    http_client_free(client);
    loop_free(loop);
    buffer_done(&back_in);
}
static void send_bytes(const void *data, size_t n)
{
    size_t at = 0;

    while (at < n) {
        ssize_t w = send(peer.watch.fd, (const char *)data + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

        ck_assert(w > 0 || errno == EAGAIN);
        at += w > 0 ? (size_t)w : 0;
        run_once(loop);
    }
}
static void until_size(size_t n)
{
    peer.until = "\xff\xff never";
    while (buffer_size(&peer.got) < n) {
        ck_assert(!peer.eof);
        run_once(loop);
    }
}
static void drop_head(void)
{
    const uint8_t *end;

    peer_until(&peer, "\r\n\r\n");
    end = memmem(buffer_bytes(&peer.got), buffer_size(&peer.got), "\r\n\r\n", 4);
    buffer_consume(&peer.got, (size_t)(end + 4 - buffer_bytes(&peer.got)));
}

START_TEST(a_websocket_conversation)
{
    static uint8_t big[14 + BIG] = {0x82, 0xff, 0, 0, 0, 0, BIG >> 24, BIG >> 16 & 255,
                                    0,    0,    1, 2, 3, 4};
    size_t n;

    start();
    /* The first message does not wait for the 101: it is handed over with the stream. */
    send_bytes(
        "GET /ws?a HTTP/1.1\r\nHost: a\r\n" WISH KEY "Sec-WebSocket-Version: 13\r\n\r\n" HELLO,
        strlen("GET /ws?a HTTP/1.1\r\nHost: a\r\n" WISH KEY "Sec-WebSocket-Version: 13\r\n\r\n") + 11);
    peer_until(&peer, "\r\n\r\n");
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "HTTP/1.1 101 Switching Protocols\r\n", 34), 0);
    ck_assert(peer_has(&peer, "Connection: Upgrade\r\n") &&
              peer_has(&peer, "Upgrade: websocket\r\n") && peer_has(&peer, ACCEPT) &&
              peer_has(&peer, "Rouse-Request-Id: 7\r\n"));
    ck_assert(saw_upgrade && saw_key);
    ck_assert_int_eq(head_status, 101);
    drop_head();
    until_size(9);
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "\x89\x00\x81\x05Hello", 9), 0);
    buffer_clear(&peer.got);

    for (size_t i = 0; i < BIG; i++)
        big[14 + i] = (uint8_t)(i * 2654435761u >> 13);
    send_bytes(big, sizeof(big));
    until_size(10 + BIG);
    ck_assert_uint_eq(buffer_bytes(&peer.got)[1], 127);
    for (n = 0; n < BIG; n += 4093)
        ck_assert_uint_eq(buffer_bytes(&peer.got)[10 + n] ^ big[10 + n % 4], big[14 + n]);
    buffer_clear(&peer.got);

    ck_assert_int_eq(tunnels_over, 0);
    send_bytes("\x88\x80\x00\x00\x00\x00", 6); /* close */
    peer_until_eof(&peer);
    ck_assert_uint_eq(buffer_size(&peer.got), 2);
    shutdown(peer.watch.fd, SHUT_WR);
    while (!back_eofs || !tunnels_over)
        run_once(loop);
    ck_assert_int_eq(over_error, 0);
    ck_assert_int_eq(dones, 0);
    ck_assert_int_eq(exchange_dones, 1);
    finish();
}
END_TEST

START_TEST(what_is_an_ordinary_request)
{
    static const struct {
        const char *request;
        bool forbidden;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n" WISH "\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n", false},
        /* a body goes first, and nobody has asked the server whether it wants to switch behind it */
        {"POST / HTTP/1.1\r\nHost: a\r\n" WISH "Content-Length: 3\r\n\r\nabc", false},
    };

    start();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        no_tunnel = rows[i].forbidden;
        peer_send(&peer, rows[i].request);
        peer_until(&peer, "plain");
        ck_assert_msg(!saw_upgrade, "%s", rows[i].request);
        ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "HTTP/1.1 200 OK\r\n", 17), 0);
        buffer_clear(&peer.got);
    }
    ck_assert_uint_eq(http_server_stats(front)->accepted, 1);
    finish();
}
END_TEST

START_TEST(a_refused_upgrade_is_an_answer)
{
    start();
    peer_send(&peer, "GET /never HTTP/1.1\r\nHost: a\r\n" WISH "\r\n");
    peer_until(&peer, "\r\n\r\nno");
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "HTTP/1.1 426 Upgrade Required\r\n", 31), 0);
    ck_assert(peer_has(&peer, "Upgrade: h9\r\n") && peer_has(&peer, "Connection: Upgrade\r\n"));
    ck_assert(saw_upgrade);
    ck_assert_int_eq(done_error, 0);
    buffer_clear(&peer.got);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* both connections are kept */
    peer_until(&peer, "plain");
    ck_assert_uint_eq(http_server_stats(back)->accepted, 1);
    finish();
}
END_TEST

START_TEST(connect_is_a_tunnel_where_it_is_allowed)
{
    static const char in[] = "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n" HELLO;

    start();
    send_bytes(in, sizeof(in) - 1);
    peer_until(&peer, "\r\n\r\n");
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "HTTP/1.1 200 OK\r\n", 17), 0);
    ck_assert(!peer_has(&peer, "Content-Length") && !peer_has(&peer, "Transfer-Encoding") &&
              !peer_has(&peer, "Connection"));
    drop_head();
    until_size(9);
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "\x89\x00\x81\x05Hello", 9), 0);
    http_proxy_cancel(proxy);
    proxy = NULL;
    peer_until_eof(&peer);
    ck_assert_int_eq(tunnels_over, 0);
    finish();
}
END_TEST

START_TEST(connect_is_refused_where_it_is_not)
{
    struct http_server_options o = {.on_request = on_front};
    struct http_server *plain;

    start();
    no_tunnel = true;
    peer_send(&peer, "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n");
    peer_until(&peer, "HTTP/1.1 405 ");
    ck_assert_int_eq(start_error, -EOPNOTSUPP);
    ck_assert_int_eq(back_requests, 0);
    peer_close(&peer);

    exchange_dones = 0; /* a server whose owner takes none does not even ask */
    ck_assert_int_eq(http_server_new(loop, &o, &plain), 0);
    peer_connect(&peer, loop, plain);
    peer_send(&peer, "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n");
    peer_until_eof(&peer);
    ck_assert_int_eq(memcmp(buffer_bytes(&peer.got), "HTTP/1.1 405 Method Not Allowed\r\n", 33), 0);
    ck_assert(peer_has(&peer, "Allow: GET, ") && peer_has(&peer, "MethodNotAllowed"));
    ck_assert_int_eq(exchange_dones, 0);
    http_server_free(plain);
    finish();
}
END_TEST

START_TEST(a_silent_tunnel_ends)
{
    start();
    idle_ns = 20 * NS_PER_MS;
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n" WISH "\r\n");
    while (!tunnels_over)
        loop_run(loop);
    ck_assert_int_eq(over_error, -ETIMEDOUT);
    peer_until_eof(&peer);
    finish();
}
END_TEST

START_TEST(a_client_that_breaks_the_tunnel_is_told_upstream)
{
    start();
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n" WISH "\r\n");
    peer_until(&peer, "\r\n\r\n");
    peer_close(&peer);
    while (!back_eofs)
        run_once(loop);
    conn_close(back_stream);
    while (!tunnels_over)
        run_once(loop);
    finish();
}
END_TEST

/* ---- the server's own edges, without a proxy */
static struct http_exchange *raw;
static void on_raw(struct http_exchange *x, void *user)
{
    (void)user;
    raw = x;
    loop_stop(loop);
}
static int upgrade_of(struct http_server *s, const char *request)
{
    struct conn *c;
    uint8_t *rest;
    size_t n;
    int r;

    peer_connect(&peer, loop, s);
    peer_send(&peer, request);
    raw = NULL;
    while (!raw)
        loop_run(loop);
    r = http_upgrade(raw, NULL, &c, &rest, &n);
    if (r == 0) {
        conn_abort(c, 0);
        free(rest);
    } else {
        http_respond(raw, 400, NULL, NULL, 0);
    }
    run_once(loop);
    peer_close(&peer);
    run_once(loop);
    return r;
}
START_TEST(when_the_server_upgrades)
{
    struct http_server_options o = {.on_request = on_raw, .connect = true};
    struct http_server *s;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &o, &s), 0);
    ck_assert_int_eq(upgrade_of(s, "GET / HTTP/1.1\r\nHost: a\r\n" WISH "\r\n"), 0);
    ck_assert_int_eq(
        upgrade_of(s, "GET / HTTP/1.1\r\nHost: a\r\n" WISH "Content-Length: 1\r\n\r\nx"), 0);
    ck_assert_int_eq(
        upgrade_of(s, "GET / HTTP/1.1\r\nHost: a\r\n" WISH "Content-Length: 2\r\n\r\nx"), -EBUSY);
    ck_assert_int_eq(upgrade_of(s, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n"), -EPROTO);
    ck_assert_int_eq(upgrade_of(s, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n"),
                     -EPROTO);
    ck_assert_int_eq(upgrade_of(s, "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
                     -EPROTO);
    ck_assert_int_eq(upgrade_of(s, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), 0);
    http_server_free(s);
    loop_free(loop);
}
END_TEST

/* ---- an upstream that switches without being asked */
START_TEST(a_101_that_nobody_asked_for_is_no_answer)
{
    struct sockaddr_storage sa;
    socklen_t size = sizeof(sa);
    int fd, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static const char said[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                               "Upgrade: x\r\n\r\nraw";

    start();
    ck_assert_int_eq(address_parse("tcp://127.0.0.1:0", &sa, &size), 0);
    ck_assert_int_eq(bind(listening, (struct sockaddr *)&sa, size), 0);
    ck_assert_int_eq(listen(listening, 1), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sa, &size), 0);
    address_text(&sa, size, back_address);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run_once(loop);
    run_once(loop);
    fd = accept(listening, NULL, NULL);
    ck_assert_int_eq(send(fd, said, sizeof(said) - 1, 0), sizeof(said) - 1);
    peer_until(&peer, "HTTP/1.1 502 ");
    ck_assert_int_eq(done_error, -EPROTO);
    ck_assert(!peer_has(&peer, "raw"));
    close(fd);
    close(listening);
    finish();
}
END_TEST

UNIT_MAIN("tunnel", a_websocket_conversation, what_is_an_ordinary_request,
          a_refused_upgrade_is_an_answer, connect_is_a_tunnel_where_it_is_allowed,
          connect_is_refused_where_it_is_not, a_silent_tunnel_ends,
          a_client_that_breaks_the_tunnel_is_told_upstream, when_the_server_upgrades,
          a_101_that_nobody_asked_for_is_no_answer)
