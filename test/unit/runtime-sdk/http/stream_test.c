/* Bodies far larger than any buffer through the proxy, made and checked on the fly: memory stays bounded.
 * ROUSE_STREAM_MIB sets their size. */
#include "base/clock.h"
#include "http/parser.h"
#include "http/proxy.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>
#include <sys/resource.h>

enum { PERIOD = 1 << 20, PIECE = 65536, GROWTH_MAX = 24 << 20 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1, DEFAULT_MIB = 16 };
#else
enum { SANITIZED = 0, DEFAULT_MIB = 128 };
#endif

static struct loop *loop;
static struct http_server *front, *back;
static struct http_client *client;
static char back_address[128];
static struct peer peer;
static uint8_t pattern[PERIOD + PIECE];
static uint64_t total;

static uint64_t got, made;
static struct http_exchange *maker;
static int done, done_error;

static void check(const uint8_t *data, size_t n, uint64_t *at)
{
    while (n) {
        size_t run = n < PIECE ? n : PIECE;

        ck_assert_int_eq(memcmp(data, pattern + *at % PERIOD, run), 0);
        data += run;
        n -= run;
        *at += run;
    }
}
static void make(void)
{
    while (maker && made < total && !http_congested(maker)) {
        size_t n = total - made < PIECE ? (size_t)(total - made) : PIECE;

        http_respond_write(maker, pattern + made % PERIOD, n);
        made += n;
    }
    if (maker && made == total) {
        http_respond_end(maker, NULL);
        maker = NULL;
    }
}
static void back_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    check(data, n, &got);
    if (last)
        http_respond(x, 200, NULL, "taken", 5);
}
static void back_drained(struct http_exchange *x)
{
    (void)x;
    make();
}
static const struct http_exchange_ops back_ops = {.on_body = back_body, .on_drained = back_drained};
static void on_back(struct http_exchange *x, void *user)
{
    (void)user;
    http_set_owner(x, &back_ops, NULL);
    if (http_has_body(x)) {
        http_read_body(x, 0);
        return;
    }
    maker = x;
    http_respond_start(x, 200, NULL, str_eq(http_head(x)->path, "/chunked") ? -1 : (int64_t)total);
    make();
}
static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user;
    http_respond(x, 503, NULL, reason, strlen(reason));
}
static void on_done(void *user, struct http_exchange *x, int error)
{
    (void)user, (void)x;
    done++;
    done_error = error;
}
static const struct http_proxy_ops proxy_ops = {.on_refused = on_refused, .on_done = on_done};
static void on_front(struct http_exchange *x, void *user)
{
    struct http_proxy_request r = {.address = back_address};
    struct http_proxy *p;

    (void)user;
    ck_assert_int_eq(http_proxy_start(client, x, &r, &proxy_ops, NULL, &p), 0);
}
static void start(void)
{
    struct http_server_options f = {.on_request = on_front}, b = {.on_request = on_back};
    const char *mib = getenv("ROUSE_STREAM_MIB");

    total = (uint64_t)(mib ? atoi(mib) : DEFAULT_MIB) << 20;
    for (size_t i = 0; i < PERIOD; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 13);
    memcpy(pattern + PERIOD, pattern, PIECE);
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
    ck_assert_int_eq(done, 1);
    ck_assert_int_eq(done_error, 0);
    peer_close(&peer);
    http_server_free(front);
    http_server_free(back);
    http_client_free(client);
    loop_free(loop);
}
/* KiB; never falls. */
static long high_water(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}
static void check_growth(long before)
{
    long grown = high_water() - before;

    printf("%llu MiB passed, the process grew by %ld KiB\n", (unsigned long long)(total >> 20),
           grown);
    if (!SANITIZED)
        ck_assert_int_lt(grown, GROWTH_MAX / 1024);
}
static void send_all(const void *data, size_t n)
{
    size_t at = 0;

    while (at < n) {
        ssize_t w = send(peer.watch.fd, (const char *)data + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        ck_assert(w > 0 || errno == EAGAIN);
        at += w > 0 ? (size_t)w : 0;
        run_once(loop);
    }
}

static void upload(bool chunked)
{
    char line[128];
    long before;

    start();
    if (chunked)
        snprintf(line, sizeof(line),
                 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    else
        snprintf(line, sizeof(line), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %llu\r\n\r\n",
                 (unsigned long long)total);
    send_all(line, strlen(line));
    before = high_water();
    for (uint64_t at = 0; at < total; at += PIECE) {
        if (chunked)
            send_all("10000\r\n", 7);
        send_all(pattern + at % PERIOD, PIECE);
        if (chunked)
            send_all("\r\n", 2);
    }
    if (chunked)
        send_all("0\r\n\r\n", 5);
    peer_until(&peer, "taken");
    ck_assert_uint_eq(got, total);
    check_growth(before);
    finish();
}
START_TEST(an_upload_with_a_length)
{
    upload(false);
}
END_TEST
START_TEST(an_upload_in_chunks)
{
    upload(true);
}
END_TEST

/* Takes everything; every now and then it takes nothing for a while. */
static void download(bool chunked)
{
    static uint8_t in[4 * PIECE];
    struct http_chunked c = {0};
    uint64_t at = 0, raw = 0;
    size_t size = 0, kept = 0;
    long before;

    start();
    peer_send(&peer, chunked ? "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n"
                             : "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_until(&peer, "\r\n\r\n");
    loop_watch_cancel(loop, &peer.watch);
    before = high_water();
    {
        const uint8_t *end = memmem(buffer_bytes(&peer.got), buffer_size(&peer.got), "\r\n\r\n", 4);

        buffer_consume(&peer.got, (size_t)(end + 4 - buffer_bytes(&peer.got)));
        kept = buffer_size(&peer.got);
        memcpy(in, buffer_bytes(&peer.got), kept);
    }
    while (at < total || (chunked && c.state != CHUNKED_END)) {
        const uint8_t *p = in, *data;
        size_t used;
        ssize_t n = recv(peer.watch.fd, in + kept, sizeof(in) - kept, MSG_DONTWAIT);

        run_once(loop);
        kept += n > 0 ? (size_t)n : 0;
        raw += n > 0 ? (size_t)n : 0;
        if (raw > 16 << 20) { /* asleep: what is made meanwhile has nowhere to go */
            raw = 0;
            for (int i = 0; i < 200; i++)
                run_once(loop);
        }
        if (!chunked) {
            check(in, kept, &at);
            kept = 0;
            continue;
        }
        do {
            ck_assert_int_eq(http_chunked_next(&c, p, kept, &used, &data, &size), 0);
            if (c.state != CHUNKED_END)
                check(data, size, &at);
            p += used;
            kept -= used;
        } while (used && kept);
        memmove(in, p, kept);
    }
    while (!done)
        run_once(loop);
    ck_assert_uint_eq(at, total);
    check_growth(before);
    finish();
}
START_TEST(a_download_with_a_length)
{
    download(false);
}
END_TEST
START_TEST(a_download_in_chunks)
{
    download(true);
}
END_TEST

UNIT_MAIN("stream", an_upload_with_a_length, an_upload_in_chunks, a_download_with_a_length,
          a_download_in_chunks)
