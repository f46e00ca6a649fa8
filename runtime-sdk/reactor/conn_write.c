/* conn_write.c - a connection's output: collected in a turn, written once at its end.
 *
 * Small writes are copied behind what is pending; one send(2) at the end of the
 * turn takes them all. Writes of DIRECT_MIN bytes and more go out at once, from
 * where they lie, together with what is pending; only what the kernel does not
 * take is copied. While the kernel is full the connection waits for LOOP_WRITE.
 * SIGPIPE is never raised (MSG_NOSIGNAL). */
#include "reactor/conn_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define LINGER_BOUND_NS (2 * NS_PER_S)
enum { DIRECT_MIN = 32 * 1024, DIRECT_PARTS = 16 };

void conn_count_sent(struct conn *c, size_t n, size_t offered)
{
    c->sent += n;
    c->loop->stats.bytes_out += n;
    c->loop->stats.partial_writes += n < offered;
}

/* Bytes taken, 0 when the kernel is full, or -errno. */
static ssize_t send_parts(struct conn *c, struct iovec *iov, size_t n, size_t offered)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;

    do {
        c->loop->stats.system_calls++;
        sent = n == 1 ? send(c->watch.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                      : sendmsg(c->watch.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN)
        return -errno;
    sent = sent < 0 ? 0 : sent;
    conn_count_sent(c, (size_t)sent, offered);
    return sent;
}

static void block(struct conn *c)
{
    c->blocked = true;
    c->loop->backend->conn_want(c);
}

int conn_write_out(struct conn *c)
{
    bool full = false;
    int r = 0;

    while (r == 0 && !c->blocked && !c->busy && c->out) {
        struct iovec part = {chunk_bytes(c->out), chunk_size(c->out)};
        ssize_t n = send_parts(c, &part, 1, part.iov_len);

        if (n < 0)
            return (int)n;
        chunk_consume(c->loop, &c->out, (size_t)n);
        if ((size_t)n < part.iov_len)
            block(c);
    }
    if (!c->blocked && !c->busy && c->files) {
        r = conn_write_file(c, &full);
        if (r == 0 && full)
            block(c);
        else if (r == 0 && conn_pending(c))
            conn_todo(c, TURN_FLUSH); /* the next step in the next turn */
    }
    return r;
}

static void finish_close(struct conn *c)
{
    loop_timer_cancel(c->loop, &c->timer);
    if (!c->linger || c->eof || shutdown(c->watch.fd, SHUT_WR) < 0) {
        conn_abort(c, 0);
        return;
    }
    conn_set_state(c, CONN_LINGERING);
    loop_timer_set(c->loop, &c->timer, loop_now(c->loop) + LINGER_BOUND_NS);
    c->loop->backend->conn_want(c);
}

void conn_flush_turn(struct conn *c)
{
    if (c->state == CONN_CONNECTING || c->state == CONN_CLOSED)
        return;
    if (conn_pending(c))
        c->loop->backend->conn_flush(c);
    else
        conn_wrote_out(c, 0);
}

void conn_wrote_out(struct conn *c, int r)
{
    if (c->state == CONN_CONNECTING || c->state == CONN_CLOSED)
        return;
    if (r < 0) {
        /* A reset that the input met while paused explains what the output met. */
        conn_abort(c, c->end_kept && c->error < 0 ? c->error : r);
        return;
    }
    if (c->shut && !c->fin_sent && !conn_pending(c) && !c->files && c->state == CONN_OPEN) {
        c->fin_sent = true;
        shutdown(c->watch.fd, SHUT_WR); /* a peer that is gone already is told by reading */
    }
    if (c->state == CONN_CLOSING && !conn_pending(c) && !c->files) {
        finish_close(c);
    } else if (c->congested && conn_pending(c) <= c->low_water) {
        c->congested = false;
        if (c->state == CONN_OPEN && c->ops->on_drained)
            c->ops->on_drained(c);
    }
}

/* Sends what is pending and the parts in one call. The parts' bytes that were not taken begin at
 * *ret_skip. */
static int write_direct(struct conn *c, const struct iovec *iov, int n, size_t total, size_t *ret_skip)
{
    struct iovec parts[DIRECT_PARTS + 1];
    size_t pending = chunk_size(c->out);
    ssize_t sent;

    parts[0] = (struct iovec){chunk_bytes(c->out), pending};
    memcpy(parts + 1, iov, (size_t)n * sizeof(*iov));
    sent = send_parts(c, pending ? parts : parts + 1, (size_t)n + (pending != 0), pending + total);
    if (sent < 0)
        return (int)sent;
    if ((size_t)sent < pending) {
        chunk_consume(c->loop, &c->out, (size_t)sent);
        *ret_skip = 0;
    } else {
        chunk_free(c->loop, &c->out);
        *ret_skip = (size_t)sent - pending;
    }
    return 0;
}

void conn_offered(struct conn *c)
{
    if (!c->congested && conn_pending(c) > c->high_water) {
        c->congested = true;
        c->loop->stats.high_water++;
    }
    if (!c->blocked && !c->busy && (c->out || c->files || c->congested))
        conn_todo(c, TURN_FLUSH);
}

int conn_writev(struct conn *c, const struct iovec *iov, int n)
{
    size_t total = 0, skip = 0;
    bool direct;
    int r;

    if (c->state > CONN_OPEN || c->shut)
        return -EPIPE;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (!total)
        return 0;
    direct = total >= DIRECT_MIN && n <= DIRECT_PARTS && c->state == CONN_OPEN && !c->blocked &&
             !c->busy && !c->files;
    if (direct) {
        r = write_direct(c, iov, n, total, &skip);
        if (r < 0) {
            conn_abort(c, r);
            return r;
        }
    }
    if (skip < total) {
        struct chunk **tail = conn_tail(c);
        uint8_t *to = chunk_reserve(c->loop, tail, total - skip, false);
        size_t left = skip;

        if (!to) {
            conn_abort(c, -ENOMEM); /* a stream with a hole is of no use */
            return -ENOMEM;
        }
        for (int i = 0; i < n; i++) {
            size_t from = left < iov[i].iov_len ? left : iov[i].iov_len;

            left -= from;
            if (iov[i].iov_len > from) {
                memcpy(to, (const uint8_t *)iov[i].iov_base + from, iov[i].iov_len - from);
                to += iov[i].iov_len - from;
            }
        }
        (*tail)->end += total - skip;
        if (direct)
            block(c);
    }
    conn_offered(c);
    return 0;
}

int conn_write(struct conn *c, const void *data, size_t n)
{
    struct iovec part = {(void *)(uintptr_t)data, n};

    return conn_writev(c, &part, 1);
}

void conn_flush(struct conn *c)
{
    int r;

    if (c->state != CONN_OPEN && c->state != CONN_CLOSING)
        return;
    r = conn_write_out(c);
    if (r < 0)
        conn_abort(c, r);
    else if (c->congested || c->state == CONN_CLOSING)
        conn_todo(c, TURN_FLUSH); /* on_drained() never runs under the caller */
}

void conn_shutdown(struct conn *c)
{
    if (c->state > CONN_OPEN || c->shut)
        return;
    c->shut = true;
    if (!c->blocked && !c->busy)
        conn_todo(c, TURN_FLUSH);
}

size_t conn_pending(const struct conn *c)
{
    return chunk_size(c->out) + chunk_size(c->busy) + conn_files_size(c);
}

uint64_t conn_maybe_sent(const struct conn *c)
{
    return c->sent + chunk_size(c->busy);
}

uint64_t conn_sent(const struct conn *c)
{
    return c->sent;
}

bool conn_congested(const struct conn *c)
{
    return c->congested;
}

void conn_drain(struct conn *c)
{
    c->congested = true;
    c->low_water = 0;
    if (c->state == CONN_OPEN && !c->blocked && !c->busy)
        conn_todo(c, TURN_FLUSH);
}
