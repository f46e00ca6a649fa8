/* uring_conn.c - a connection on io_uring.
 *
 * On the loop's thread. Input: one multishot receive stays with the kernel while
 * the connection reads. Output: one send a turn out of `busy`, which never waits
 * (MSG_DONTWAIT) and posts a completion only when it did not take all; so after
 * the submission every send's outcome is known, and no completion of a send ever
 * ends a wait. What the kernel did not take waits for a multishot poll: it tells
 * changes alone, unlike a send that waits by itself, which a half-closed peer
 * (POLLRDHUP for ever) drives round and then into a worker thread. */
#include "reactor/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static void mark(struct conn *c, unsigned why)
{
    struct uring *u = uring_of(c->loop);

    c->armed |= (uint8_t)why;
    if (c->armed & DIRTY)
        return;
    c->armed |= DIRTY;
    vector_push(&u->dirty, (uintptr_t)c);
}

static void unlist(struct uring *u, struct conn *c)
{
    struct conn *last;

    if (!c->index)
        return;
    last = (struct conn *)u->conns.at[--u->conns.count];
    u->conns.at[c->index - 1] = (uintptr_t)last;
    last->index = c->index;
    c->index = 0;
}

static void release(struct uring *u, struct conn *c)
{
    unlist(u, c);
    conn_release(c);
}

int uring_conn_start(struct conn *c)
{
    struct uring *u = uring_of(c->loop);
    int r = u->buffers ? 0 : uring_buffers_open(u);

    if (r < 0) {
        uring_buffers_close(u);
        return r;
    }
    vector_push(&u->conns, (uintptr_t)c);
    c->index = (uint32_t)u->conns.count;
    mark(c, WANT_CHECK);
    return 0;
}

void uring_conn_want(struct conn *c)
{
    mark(c, WANT_CHECK);
}

bool uring_conn_receiving(const struct conn *c)
{
    return c->armed & ARM_RECV;
}

void uring_conn_flush(struct conn *c)
{
    if (c->blocked || c->busy)
        return;
    if (c->out)
        mark(c, WANT_SEND);
    else if (c->files) /* sendfile(2) does not wait either */
        conn_wrote_out(c, conn_write_out(c));
    else
        conn_wrote_out(c, 0);
}

/* ---- before a submission */

static struct io_uring_sqe *conn_sqe(struct uring *u, struct conn *c, unsigned tag)
{
    struct io_uring_sqe *e = uring_sqe(u);

    bool fixed = u->fixed && c->watch.slot;

    e->fd = fixed ? (int)c->watch.slot - 1 : c->watch.fd;
    e->flags = fixed ? IOSQE_FIXED_FILE : 0;
    e->user_data = uring_name(c, tag);
    return e;
}

static void register_fd(struct uring *u, struct conn *c)
{
    struct io_uring_sqe *e;
    uint32_t slot;

    if (u->slots_free.count)
        slot = (uint32_t)u->slots_free.at[--u->slots_free.count];
    else if (u->slots_used < u->slots)
        slot = u->slots_used++;
    else
        return;
    c->watch.slot = slot + 1;
    e = uring_sqe(u);
    e->opcode = IORING_OP_FILES_UPDATE;
    e->fd = -1;
    e->addr = (uintptr_t)&c->watch.fd;
    e->len = 1;
    e->off = slot;
    e->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static bool wants_input(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_OPEN:
        return !c->paused && !c->splice && !c->eof && !c->end_kept;
    case CONN_CLOSING:
        return c->linger && !c->eof;
    case CONN_LINGERING:
        return true;
    default:
        return false;
    }
}

static uint32_t wants_poll(const struct conn *c)
{
    uint32_t want = c->blocked || c->state == CONN_CONNECTING ? POLLOUT : 0;

    if (c->state != CONN_OPEN || c->eof || c->end_kept)
        return want;
    if ((c->paused || c->splice) && !c->left_told)
        want |= POLLRDHUP;
    if (c->splice && conn_splice_wants(c))
        want |= POLLIN;
    return want;
}

/* A splice's, of no use behind it: every byte would be told twice. */
static bool idle_poll(const struct conn *c)
{
    return (c->armed & ARM_POLL) && (c->watch.events & POLLIN) && !c->splice;
}

static void compare(struct uring *u, struct conn *c)
{
    bool input = wants_input(c);
    uint32_t poll_for = wants_poll(c);
    struct io_uring_sqe *e;

    if (u->fixed && !c->watch.slot && !(c->armed & ARM_ALL))
        register_fd(u, c);
    if (input && !(c->armed & ARM_RECV)) {
        e = conn_sqe(u, c, TAG_RECV);
        e->opcode = IORING_OP_RECV;
        e->ioprio = IORING_RECV_MULTISHOT;
        e->flags |= IOSQE_BUFFER_SELECT;
        e->buf_group = URING_GROUP;
        c->armed |= ARM_RECV;
    } else if (!input && (c->armed & (ARM_RECV | CANCEL_RECV)) == ARM_RECV) {
        uring_cancel(u, uring_name(c, TAG_RECV));
        c->armed |= CANCEL_RECV;
    }
    if (!(poll_for & ~(c->armed & ARM_POLL ? c->watch.events : 0)) && !idle_poll(c))
        return;
    if (!(c->armed & ARM_POLL)) {
        e = conn_sqe(u, c, TAG_POLL);
        e->opcode = IORING_OP_POLL_ADD;
        e->len = IORING_POLL_ADD_MULTI;
        e->poll32_events = poll_for;
        c->watch.events = poll_for;
        c->armed |= ARM_POLL;
    } else if (!(c->armed & CANCEL_POLL)) { /* compared again when it has ended */
        uring_cancel(u, uring_name(c, TAG_POLL));
        c->armed |= CANCEL_POLL;
    }
}

static void send_out(struct uring *u, struct conn *c)
{
    struct io_uring_sqe *e;

    if (c->busy || c->blocked || !c->out || c->state == CONN_CONNECTING)
        return;
    e = conn_sqe(u, c, TAG_SEND);
    e->opcode = IORING_OP_SEND;
    e->flags |= IOSQE_CQE_SKIP_SUCCESS;
    e->addr = (uintptr_t)chunk_bytes(c->out);
    e->len = chunk_size(c->out) > INT32_MAX ? INT32_MAX : (uint32_t)chunk_size(c->out);
    e->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
    c->busy = c->out;
    c->out = NULL;
    c->armed |= ARM_SEND;
    c->sending = (int32_t)e->len;
    vector_push(&u->sending, (uintptr_t)c);
    /* A send that takes all ends no wait, but on_drained() or the end of a close depends on it. */
    u->owed |= c->congested || c->shut || c->state != CONN_OPEN;
}

static void let_go(struct uring *u, struct conn *c)
{
    struct io_uring_sqe *e;

    if ((c->armed & (ARM_RECV | CANCEL_RECV)) == ARM_RECV)
        uring_cancel(u, uring_name(c, TAG_RECV));
    if ((c->armed & (ARM_POLL | CANCEL_POLL)) == ARM_POLL)
        uring_cancel(u, uring_name(c, TAG_POLL));
    c->armed |= CANCEL_RECV | CANCEL_POLL;
    if (u->fixed && c->watch.slot) {
        e = uring_sqe(u);
        e->opcode = IORING_OP_CLOSE;
        e->file_index = c->watch.slot;
        e->flags = IOSQE_CQE_SKIP_SUCCESS;
        vector_push(&u->slots_free, c->watch.slot - 1);
        c->watch.slot = 0;
    }
    e = uring_sqe(u);
    e->opcode = IORING_OP_CLOSE;
    e->fd = c->watch.fd;
    e->flags = IOSQE_CQE_SKIP_SUCCESS;
    if (!(c->armed & ARM_ALL))
        release(u, c);
}

void uring_conn_prepare(struct uring *u, struct conn *c)
{
    unsigned why = c->armed;

    c->armed &= (uint8_t) ~(DIRTY | WANT_CHECK | WANT_SEND);
    if (c->state == CONN_CLOSED) {
        let_go(u, c);
        return;
    }
    if (why & WANT_CHECK)
        compare(u, c);
    if (why & WANT_SEND)
        send_out(u, c);
}

/* ---- after it */

static void release_closed(struct conn *c)
{
    if (c->state == CONN_CLOSED && !(c->armed & (ARM_ALL | DIRTY)))
        release(uring_of(c->loop), c);
}

void uring_conns_forget(struct uring *u, bool closed_only)
{
    for (size_t i = u->conns.count; i-- > 0;) { /* releasing moves the last one here */
        struct conn *c = (struct conn *)u->conns.at[i];

        if (c->state != CONN_CLOSED && closed_only)
            continue;
        c->armed &= DIRTY | WANT_CHECK | WANT_SEND;
        if (c->state != CONN_CLOSED)
            uring_conn_want(c);
        else if (closed_only || !(c->armed & DIRTY))
            release(u, c);
    }
}

static void sent(struct conn *c, int result)
{
    struct loop *l = c->loop;
    size_t offered = chunk_size(c->busy);

    c->armed &= (uint8_t)~ARM_SEND;
    if (c->state == CONN_CLOSED) {
        chunk_free(l, &c->busy);
        release_closed(c);
        return;
    }
    if (result > 0) {
        conn_count_sent(c, (size_t)result, offered);
        chunk_consume(l, &c->busy, (size_t)result);
    }
    if (c->busy) { /* before what was written meanwhile */
        if (c->out && chunk_append(l, &c->busy, chunk_bytes(c->out), chunk_size(c->out), false) < 0)
            result = -ENOMEM;
        chunk_free(l, &c->out);
        c->out = c->busy;
        c->busy = NULL;
    }
    if (result == -EAGAIN || (result > 0 && (size_t)result < offered)) {
        c->blocked = true;
        uring_conn_want(c);
        result = 0;
    } else if (result == -EINTR) {
        result = 0;
    }
    if (result >= 0 && (c->out || c->files) && !c->blocked)
        conn_todo(c, TURN_FLUSH);
    conn_wrote_out(c, result < 0 ? result : 0);
}

void uring_conns_sent(struct uring *u)
{
    for (size_t i = 0; i < u->sending.count; i++) {
        struct conn *c = (struct conn *)u->sending.at[i];

        sent(c, c->sending);
    }
    u->sending.count = 0;
}

static void received(struct conn *c, const struct uring_completion *cqe)
{
    int res = cqe->res;

    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        c->armed &= (uint8_t) ~(ARM_RECV | CANCEL_RECV);
        if (c->state != CONN_CLOSED)
            uring_conn_want(c);
        if (c->splice)
            conn_splice_step(c);
    }
    if (res > 0) {
        c->loop->stats.events++;
        if (c->state != CONN_CLOSED)
            conn_got_input(c, cqe->bytes, (size_t)res);
    } else if (res == -ENOBUFS) { /* armed again when this turn's buffers are back */
        c->loop->stats.buffers_exhausted++;
    } else if (res != -ECANCELED && res != -EAGAIN && res != -EINTR) {
        c->loop->stats.events++;
        if (c->state != CONN_CLOSED)
            conn_got_end(c, res);
    }
}

static void polled(struct conn *c, const struct uring_completion *cqe)
{
    uint32_t got = cqe->res < 0 ? 0 : (uint32_t)cqe->res;

    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        c->armed &= (uint8_t) ~(ARM_POLL | CANCEL_POLL);
        if (c->state != CONN_CLOSED)
            uring_conn_want(c);
        if (cqe->res < 0 && cqe->res != -ECANCELED)
            got = POLLERR;
    }
    if (!got || c->state == CONN_CLOSED)
        return;
    c->loop->stats.events++;
    if (c->state == CONN_CONNECTING) {
        if (got & (POLLOUT | POLLERR | POLLHUP))
            conn_connected(c);
        return;
    }
    if (c->blocked && (got & (POLLOUT | POLLERR | POLLHUP))) {
        c->blocked = false;
        conn_flush_turn(c);
    }
    if (c->state == CONN_OPEN && c->splice && conn_splice_wants(c)) {
        conn_splice_readable(c);
        return;
    }
    if ((got & (POLLRDHUP | POLLERR | POLLHUP)) && c->state == CONN_OPEN &&
        (c->paused || c->splice) && !(c->armed & ARM_RECV))
        conn_got_left(c);
}

void uring_conn_completed(struct conn *c, unsigned tag, const struct uring_completion *cqe)
{
    if (tag == TAG_RECV)
        received(c, cqe);
    else
        polled(c, cqe);
    release_closed(c);
}

/* ---- the end */

static bool keep_received(void *object, const struct uring_completion *cqe)
{
    struct conn *c = object;

    if (cqe->res > 0)
        (void)conn_keep(c, cqe->bytes, (size_t)cqe->res);
    if (cqe->flags & IORING_CQE_F_MORE)
        return false;
    c->armed &= (uint8_t)~ARM_RECV;
    return true;
}

static bool end_poll(void *object, const struct uring_completion *cqe)
{
    struct conn *c = object;

    if (cqe->flags & IORING_CQE_F_MORE)
        return false;
    c->armed &= (uint8_t)~ARM_POLL;
    return true;
}

static bool detach(struct uring *u, struct conn *c)
{
    int none = -1;

    if (c->armed & DIRTY)
        vector_remove(&u->dirty, (uintptr_t)c);
    c->armed &= (uint8_t)~DIRTY;
    if (!uring_mine(u))
        return !(c->armed & ARM_ALL); /* its thread took what the kernel held with it */
    if (c->armed & ARM_RECV)
        uring_end_now(u, uring_name(c, TAG_RECV), keep_received, c);
    if (c->armed & ARM_POLL)
        uring_end_now(u, uring_name(c, TAG_POLL), end_poll, c);
    if (u->fixed && c->watch.slot) {
        c->loop->stats.system_calls++;
        io_uring_register_files_update(&u->ring, c->watch.slot - 1, &none, 1);
        vector_push(&u->slots_free, c->watch.slot - 1);
        c->watch.slot = 0;
    }
    return !(c->armed & ARM_ALL);
}

static bool stop(struct uring *u, struct conn *c, bool keep)
{
    if (keep)
        return detach(u, c);
    if (c->loop->running || uring_mine(u)) {
        mark(c, WANT_CHECK);
        c->held = true; /* uring_settle() may release it at once */
        if (!c->loop->running)
            uring_settle(u);
        return !c->held;
    }
    if (c->armed & DIRTY)
        vector_remove(&u->dirty, (uintptr_t)c);
    c->armed &= (uint8_t)~DIRTY;
    close(c->watch.fd);
    return !(c->armed & ARM_ALL);
}

bool uring_conn_stop(struct conn *c, bool keep)
{
    struct uring *u = uring_of(c->loop);
    bool done = stop(u, c, keep);

    if (done)
        unlist(u, c);
    return done;
}
