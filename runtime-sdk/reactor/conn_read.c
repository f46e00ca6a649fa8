/* conn_read.c - a connection's input: read, hand over, keep, pause.
 *
 * On the loop's thread. Bytes are read into the loop's one buffer and copied
 * only when the owner does not take them. A pause costs nothing by itself: the
 * descriptor leaves the watch only when input arrives while paused, so pause
 * and resume within one turn make no system call. */
#include "base/cleanup.h"
#include "reactor/conn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINGER_BYTES_MAX = 64 << 20 };

/* Hands over `n` bytes at `in`, which are the kept ones if `kept`, and keeps what is not taken. */
static void deliver(struct conn *c, const uint8_t *in, size_t n, bool kept)
{
    size_t taken;

    c->in_data = true;
    c->current = in;
    c->current_n = n;
    taken = c->ops->on_data(c, in, n);
    c->in_data = false;
    c->current = NULL;
    if (c->state != CONN_OPEN) {
        buffer_done(&c->in);
        return;
    }
    if (kept)
        buffer_consume(&c->in, taken);
    else if (taken < n && buffer_append(&c->in, in + taken, n - taken) < 0) {
        conn_abort(c, -ENOMEM);
        return;
    }
    if (!buffer_size(&c->in))
        buffer_done(&c->in);
    else if (!c->paused && buffer_size(&c->in) > c->input_limit)
        conn_abort(c, -ENOBUFS);
}

void conn_hand_over_kept(struct loop_deferred *d)
{
    struct conn *c = container_of(d, struct conn, resume);

    if (c->state == CONN_OPEN && !c->paused && buffer_size(&c->in))
        deliver(c, buffer_bytes(&c->in), buffer_size(&c->in), true);
}

static void read_some(struct conn *c)
{
    ssize_t n;

    if (!list_empty(&c->resume.link)) { /* they come before what follows, even the end */
        list_del(&c->resume.link);
        conn_hand_over_kept(&c->resume);
        if (c->state != CONN_OPEN || c->paused)
            return;
    }
    n = recv(c->watch.fd, c->loop->read_buffer, LOOP_READ_BUFFER, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_abort(c, -errno);
    } else if (n == 0) {
        c->eof = true;
        conn_update_watch(c);
        if (c->state != CONN_OPEN)
            return;
        if (c->ops->on_eof)
            c->ops->on_eof(c);
        else
            conn_close(c);
    } else if (!buffer_size(&c->in)) {
        deliver(c, c->loop->read_buffer, (size_t)n, false);
    } else if (buffer_append(&c->in, c->loop->read_buffer, (size_t)n) < 0) {
        conn_abort(c, -ENOMEM);
    } else {
        deliver(c, buffer_bytes(&c->in), buffer_size(&c->in), true);
    }
}

static void discard_some(struct conn *c)
{
    ssize_t n = recv(c->watch.fd, c->loop->read_buffer, LOOP_READ_BUFFER, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->discarded += (size_t)n;
    if (n <= 0 || c->discarded > LINGER_BYTES_MAX)
        conn_abort(c, 0);
}

void conn_readable(struct conn *c, uint32_t events)
{
    if (c->state == CONN_LINGERING) {
        discard_some(c);
    } else if (c->state == CONN_OPEN && c->paused) {
        bool tell = !c->left_told && (events & (LOOP_PEER_CLOSED | LOOP_HANGUP));

        c->hung |= (events & LOOP_HANGUP) != 0;
        c->left_told |= tell;
        conn_update_watch(c);
        if (tell && c->state == CONN_OPEN && c->ops->on_left)
            c->ops->on_left(c);
    } else if (c->state == CONN_OPEN && !c->eof) {
        read_some(c);
    }
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    if (c->state != CONN_OPEN)
        return;
    c->hung = false;
    if (!c->eof && !(c->watch.events & LOOP_READ))
        conn_update_watch(c);
    /* Within on_data() the callee's own return value settles what is kept. */
    if (c->state == CONN_OPEN && (buffer_size(&c->in) || c->in_data))
        loop_queue(&c->loop->soon, &c->resume);
}

int conn_take_kept(struct conn *c, uint8_t **ret_rest, size_t *ret_n)
{
    bool current = c->in_data && c->current == buffer_bytes(&c->in);
    size_t n = current ? 0 : buffer_size(&c->in);
    uint8_t *rest = NULL;

    if (n) {
        rest = malloc(n);
        if (!rest)
            return -ENOMEM;
        memcpy(rest, buffer_bytes(&c->in), n);
        buffer_done(&c->in);
    }
    *ret_rest = rest;
    *ret_n = n;
    return 0;
}
