/* peer.h - a raw client for tests: a descriptor on the test's loop whose bytes are looked at as
 * text. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "http/server.h"
#include "reactor/loop.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

struct peer {
    struct loop *loop;
    struct loop_watch watch;
    struct buffer got;
    const char *until; /* stop the loop when the bytes contain it */
    bool eof;
};

/* The last `n` bytes complete it: of megabytes that come in pieces, each is looked at once. */
static inline bool peer_has_in_last(const struct peer *p, size_t n, const char *text)
{
    size_t size = buffer_size(&p->got);

    n += strlen(text) - 1;
    n = n < size ? n : size;
    return n && memmem(buffer_bytes(&p->got) + size - n, n, text, strlen(text)) != NULL;
}

static inline bool peer_has(const struct peer *p, const char *text)
{
    return peer_has_in_last(p, buffer_size(&p->got), text);
}

static inline void peer_readable(struct loop_watch *w, uint32_t events)
{
    struct peer *p = container_of(w, struct peer, watch);
    uint8_t piece[65536];
    ssize_t n = recv(w->fd, piece, sizeof(piece), MSG_DONTWAIT);

    (void)events;
    if (n > 0) {
        buffer_append(&p->got, piece, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        p->eof = true;
        loop_watch_cancel(p->loop, w);
    }
    if (p->eof || (n > 0 && p->until && peer_has_in_last(p, (size_t)n, p->until)))
        loop_stop(p->loop);
}

static inline void peer_init(struct peer *p, struct loop *l, int fd)
{
    *p = (struct peer){.loop = l, .watch = {.fd = fd, .fn = peer_readable}};
    ck_assert_int_eq(loop_watch_set(l, &p->watch, LOOP_READ), 0);
}

/* A client of `s`, on a socket pair. */
static inline void peer_connect(struct peer *p, struct loop *l, struct http_server *s)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(http_server_open(s, fds[0]), 0);
    peer_init(p, l, fds[1]);
}

static inline void peer_send(struct peer *p, const char *text)
{
    ck_assert_int_eq(send(p->watch.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Runs the loop until the answer holds `text` or ended. */
static inline void peer_until(struct peer *p, const char *text)
{
    p->until = text;
    while (!p->eof && !peer_has(p, text))
        loop_run(p->loop);
    ck_assert_msg(peer_has(p, text), "'%.*s' lacks '%s'", (int)buffer_size(&p->got),
                  (const char *)p->got.data + p->got.start, text);
}
static inline void peer_until_eof(struct peer *p)
{
    p->until = NULL;
    while (!p->eof)
        loop_run(p->loop);
}
static inline void peer_close(struct peer *p)
{
    loop_watch_cancel(p->loop, &p->watch);
    if (p->watch.fd >= 0)
        close(p->watch.fd);
    p->watch.fd = -1;
    buffer_done(&p->got);
}
