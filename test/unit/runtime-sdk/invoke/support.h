/* support.h - what the tests of links and instances share: a loop that turns until something holds,
 * raw sockets as peers, and the frames of a runtime. Include it once a test. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/conn.h"
#include "wire/frame.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct loop *loop;

/* ---- turning */
static struct loop_timer tick_timer;
static bool (*tick_cond)(void *user);
static void *tick_user;
static bool tick_held;
static uint64_t tick_until;

static void on_tick(struct loop_timer *t)
{
    tick_held = tick_cond(tick_user);
    if (tick_held || clock_monotonic_ns() > tick_until)
        loop_stop(loop);
    else
        loop_timer_set(loop, t, clock_monotonic_ns() + NS_PER_MS / 5);
}

/* Turns the loop until cond() holds; false after ten seconds. */
static bool turn_until(bool (*cond)(void *user), void *user)
{
    tick_cond = cond;
    tick_user = user;
    tick_timer.fn = on_tick;
    tick_until = clock_monotonic_ns() + 20 * NS_PER_S;
    loop_timer_set(loop, &tick_timer, clock_monotonic_ns());
    loop_run(loop);
    loop_timer_cancel(loop, &tick_timer);
    return tick_held;
}
#define wait_for(cond, user) ck_assert_msg(turn_until((cond), (user)), "waited in vain for " #cond)

/* ---- peers: non-blocking sockets read into a buffer */
struct peer {
    int fd;
    struct buffer in;
    bool eof;
};

static void peer_read(struct peer *p)
{
    for (;;) {
        uint8_t *to = buffer_reserve(&p->in, 65536);
        ssize_t n = recv(p->fd, to, 65536, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            p->eof = true;
        if (n <= 0)
            return;
        buffer_commit(&p->in, (size_t)n);
    }
}

static bool peer_flushed(void *user)
{
    struct {
        struct peer *p;
        const uint8_t *at;
        size_t n;
    } *w = user;
    ssize_t n;

    while (w->n) {
        n = send(w->p->fd, w->at, w->n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno != EAGAIN;
        w->at += n;
        w->n -= (size_t)n;
    }
    return true;
}

static void peer_send(struct peer *p, const void *data, size_t n)
{
    struct {
        struct peer *p;
        const uint8_t *at;
        size_t n;
    } w = {p, data, n};

    if (!peer_flushed(&w))
        wait_for(peer_flushed, &w);
}

static inline void peer_close(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    buffer_done(&p->in);
    *p = (struct peer){.fd = -1};
}

static inline bool peer_at_eof(void *user)
{
    struct peer *p = user;

    peer_read(p);
    return p->eof;
}

/* ---- listening sockets as a launcher makes them */
static inline int listen_unix(char path[108])
{
    static int count;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, 108, "/tmp/rouse-test-%d-%d.sock", (int)getpid(), count++);
    unlink(path);
    strcpy(a.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

static inline void peer_connect_unix(struct peer *p, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    *p = (struct peer){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    strcpy(a.sun_path, path);
    ck_assert_int_eq(connect(p->fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static inline int listen_tcp(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static inline void peer_connect_tcp(struct peer *p, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_int_eq(connect(p->fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

/* ---- HTTP/1.1 by hand: an answer that is framed by Content-Length is whole */
static inline bool http_whole(void *user)
{
    struct peer *p = user;
    const char *at, *end, *length;

    peer_read(p);
    if (buffer_append(&p->in, "", 1) < 0)
        return false;
    p->in.end--;
    at = (const char *)buffer_bytes(&p->in);
    end = strstr(at, "\r\n\r\n");
    if (!end)
        return p->eof;
    length = strcasestr(at, "\r\nContent-Length:");
    if (!length || length > end)
        return strncmp(at, "HTTP/1.1 204", 12) == 0 || p->eof;
    return (size_t)(end + 4 - at) + strtoul(length + 17, NULL, 10) <= buffer_size(&p->in);
}

/* The whole answer as text; the caller frees it. */
static inline char *http_take(struct peer *p)
{
    if (!http_whole(p))
        wait_for(http_whole, p);
    return buffer_take_string(&p->in);
}
#define expect_text(text, part)                                                                    \
    ck_assert_msg(strstr((text), (part)) != NULL, "no \"%s\" in:\n%s", (part), (text))
#define expect_no_text(text, part)                                                                 \
    ck_assert_msg(strstr((text), (part)) == NULL, "\"%s\" in:\n%s", (part), (text))

/* ---- frames by hand */
static inline void frame_send(struct peer *p, enum frame_type type, uint8_t flags, uint64_t id,
                              const void *data, size_t n)
{
    struct buffer b = {0};

    ck_assert_int_eq(frame_append(&b, type, flags, id, data, n), 0);
    peer_send(p, buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
}
#define frame_send_text(p, type, flags, id, text)                                                  \
    frame_send((p), (type), (flags), (id), (text), strlen(text))

static inline void frame_send_credit(struct peer *p, uint32_t credit)
{
    uint8_t le[4] = {(uint8_t)credit, (uint8_t)(credit >> 8), (uint8_t)(credit >> 16),
                     (uint8_t)(credit >> 24)};

    frame_send(p, FRAME_CREDIT, 0, 0, le, 4);
}

static inline bool frame_whole(void *user)
{
    struct peer *p = user;
    struct frame f;
    size_t size;

    peer_read(p);
    return p->eof || frame_parse(buffer_bytes(&p->in), buffer_size(&p->in), &f, &size) == 1;
}

/* The next frame; its payload is copied to `payload` (NUL-terminated). */
static inline struct frame frame_take(struct peer *p, struct buffer *payload)
{
    struct frame f = {0};
    size_t size;

    if (!frame_whole(p))
        wait_for(frame_whole, p);
    ck_assert_int_eq(frame_parse(buffer_bytes(&p->in), buffer_size(&p->in), &f, &size), 1);
    buffer_clear(payload);
    buffer_append(payload, f.payload, f.length);
    buffer_append(payload, "", 1);
    payload->end--;
    f.payload = buffer_bytes(payload);
    buffer_consume(&p->in, size);
    return f;
}

static inline void frame_hello_as(struct peer *p, const char *hello)
{
    struct buffer b = {0};

    frame_send_text(p, FRAME_HELLO, 0, 0, hello);
    ck_assert_int_eq(frame_take(p, &b).type, FRAME_HELLO);
    buffer_done(&b);
}

static inline void frame_hello(struct peer *p)
{
    frame_hello_as(p, "{\"protocol\":1,\"runtime\":\"test\",\"pid\":7}");
}

static inline void frame_credit_body(struct peer *p, uint64_t id, uint32_t n)
{
    uint8_t le[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};

    frame_send(p, FRAME_CREDIT, 0, id, le, 4);
}
