/* conn_read.c - a connection's input: read, hand over, keep, pause.
 *
 * On the loop's thread. The backend brings bytes in a buffer of the loop's; they
 * are copied only when the owner does not take them. A pause costs nothing by
 * itself: the backend stops reading only when input arrives while paused, so
 * pause and resume within one turn make no system call. */
#include "reactor/conn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINGER_BYTES_MAX = 64 << 20 };

int conn_keep(struct conn *c, const uint8_t *in, size_t n)
{
    return chunk_append(c->loop, &c->in, in, n, true);
}

/* Hands over `n` bytes at `in`, which are the kept ones if `kept`, and keeps what is not taken. */
static void deliver(struct conn *c, const uint8_t *in, size_t n, bool kept)
{
    struct loop *l = c->loop;
    size_t taken;

    c->in_data = true;
    l->current = in;
    l->current_n = n;
    taken = c->ops->on_data(c, in, n);
    c->in_data = false;
    l->current = NULL;
    if (c->state != CONN_OPEN) {
        chunk_free(l, &c->in);
        return;
    }
    if (kept)
        chunk_consume(l, &c->in, taken);
    else if (taken < n && conn_keep(c, in + taken, n - taken) < 0) {
        conn_abort(c, -ENOMEM);
        return;
    }
    if (!c->paused && !c->splice && chunk_size(c->in) > c->input_limit)
        conn_abort(c, -ENOBUFS);
}

void conn_hand_over_kept(struct conn *c)
{
    if (c->splice)
        return;
    if (c->state == CONN_OPEN && !c->paused && c->in)
        deliver(c, chunk_bytes(c->in), chunk_size(c->in), true);
    if (c->state == CONN_OPEN && !c->paused && c->end_kept) {
        c->end_kept = false;
        conn_got_end(c, c->error);
    }
}

static void discard(struct conn *c, size_t n)
{
    c->discarded += (uint32_t)n;
    if (c->discarded > LINGER_BYTES_MAX)
        conn_abort(c, 0);
}

void conn_got_input(struct conn *c, const uint8_t *in, size_t n)
{
    c->loop->stats.bytes_in += n;
    if (c->state == CONN_LINGERING || (c->state == CONN_CLOSING && c->linger)) {
        discard(c, n);
    } else if (c->state == CONN_CLOSING) {
        c->loop->backend->conn_want(c);
    } else if (c->state == CONN_OPEN && c->splice) { /* io_uring: had come before */
        if (conn_keep(c, in, n) < 0)
            conn_abort(c, -ENOMEM);
        else
            conn_splice_step(c);
    } else if (c->state == CONN_OPEN && !c->in && !c->paused) {
        deliver(c, in, n, false);
    } else if (c->state == CONN_OPEN) {
        if (conn_keep(c, in, n) < 0) {
            conn_abort(c, -ENOMEM);
        } else if (c->paused) {
            c->loop->backend->conn_want(c);
        } else {
            conn_not_todo(c, TURN_RESUME); /* what is kept comes before what follows */
            deliver(c, chunk_bytes(c->in), chunk_size(c->in), true);
        }
    }
}

void conn_got_left(struct conn *c)
{
    bool tell = !c->left_told;

    c->left_told = true;
    c->loop->backend->conn_want(c);
    if (tell && c->state == CONN_OPEN && c->ops->on_left)
        c->ops->on_left(c);
}

void conn_got_end(struct conn *c, int error)
{
    if (c->state == CONN_LINGERING) {
        conn_abort(c, 0);
        return;
    }
    if (c->state == CONN_CLOSING) {
        c->eof = true;
        if (error < 0)
            conn_abort(c, error);
        return;
    }
    if (c->state != CONN_OPEN)
        return;
    if (c->splice) {
        conn_splice_got_end(c, error);
        return;
    }
    if (c->todo & TURN_RESUME) { /* kept bytes come before the end */
        conn_not_todo(c, TURN_RESUME);
        conn_hand_over_kept(c);
        if (c->state != CONN_OPEN)
            return;
    }
    if (c->paused) {
        c->end_kept = true;
        c->error = error;
        conn_got_left(c);
        return;
    }
    if (error < 0) {
        conn_abort(c, error);
        return;
    }
    c->eof = true;
    c->loop->backend->conn_want(c);
    if (c->state != CONN_OPEN)
        return;
    if (c->ops->on_eof)
        c->ops->on_eof(c);
    else
        conn_close(c);
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
    if (!c->eof && !c->end_kept)
        c->loop->backend->conn_want(c);
    if (c->splice) {
        conn_splice_step(c);
        return;
    }
    /* Within on_data() the callee's own return value settles what is kept. */
    if (c->state == CONN_OPEN && (c->in || c->in_data || c->end_kept))
        conn_todo(c, TURN_RESUME);
}

int conn_take_kept(struct conn *c, uint8_t **ret_rest, size_t *ret_n)
{
    bool current = c->in_data && c->loop->current == chunk_bytes(c->in);
    size_t n = current ? 0 : chunk_size(c->in);
    uint8_t *rest = NULL;

    if (n) {
        rest = malloc(n);
        if (!rest)
            return -ENOMEM;
        memcpy(rest, chunk_bytes(c->in), n);
        chunk_free(c->loop, &c->in);
    }
    *ret_rest = rest;
    *ret_n = n;
    return 0;
}
