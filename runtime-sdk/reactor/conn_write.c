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

/* Bytes taken, 0 when the kernel is full, or -errno. */
static ssize_t send_parts(struct conn *c, struct iovec *iov, size_t n)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;

    do
        sent = sendmsg(c->watch.fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -errno;
    c->sent += (size_t)sent;
    return sent;
}

static void block(struct conn *c)
{
    c->blocked = true;
    conn_update_watch(c);
}

int conn_write_out(struct conn *c)
{
    while (!c->blocked && buffer_size(&c->out)) {
        struct iovec part = {c->out.data + c->out.start, buffer_size(&c->out)};
        ssize_t n = send_parts(c, &part, 1);

        if (n < 0)
            return (int)n;
        buffer_consume(&c->out, (size_t)n);
        if ((size_t)n < part.iov_len)
            block(c);
    }
    if (!buffer_size(&c->out))
        buffer_done(&c->out);
    return 0;
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
    conn_update_watch(c);
}

void conn_flush_turn(struct conn *c)
{
    int r;

    if (c->state == CONN_CONNECTING || c->state == CONN_CLOSED)
        return;
    r = conn_write_out(c);
    if (r < 0) {
        conn_abort(c, r);
        return;
    }
    if (c->state == CONN_CLOSING && !buffer_size(&c->out)) {
        finish_close(c);
    } else if (c->congested && buffer_size(&c->out) <= c->low_water) {
        c->congested = false;
        if (c->state == CONN_OPEN && c->ops->on_drained)
            c->ops->on_drained(c);
    }
}

/* Sends what is pending and the parts in one call. The parts' bytes that were not taken begin at
 * *ret_skip. */
static int write_direct(struct conn *c, const struct iovec *iov, int n, size_t *ret_skip)
{
    struct iovec parts[DIRECT_PARTS + 1];
    size_t pending = buffer_size(&c->out);
    ssize_t sent;

    parts[0] = (struct iovec){c->out.data + c->out.start, pending};
    memcpy(parts + 1, iov, (size_t)n * sizeof(*iov));
    sent = send_parts(c, pending ? parts : parts + 1, (size_t)n + (pending != 0));
    if (sent < 0)
        return (int)sent;
    if ((size_t)sent < pending) {
        buffer_consume(&c->out, (size_t)sent);
        *ret_skip = 0;
    } else {
        buffer_done(&c->out);
        *ret_skip = (size_t)sent - pending;
    }
    return 0;
}

int conn_writev(struct conn *c, const struct iovec *iov, int n)
{
    size_t total = 0, skip = 0;
    int r;

    if (c->state > CONN_OPEN)
        return -EPIPE;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (!total)
        return 0;
    if (total >= DIRECT_MIN && n <= DIRECT_PARTS && c->state == CONN_OPEN && !c->blocked) {
        r = write_direct(c, iov, n, &skip);
        if (r < 0) {
            conn_abort(c, r);
            return r;
        }
    }
    if (skip < total) {
        uint8_t *to = buffer_reserve(&c->out, total - skip);
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
        buffer_commit(&c->out, total - skip);
        if (total >= DIRECT_MIN && c->state == CONN_OPEN && !c->blocked && n <= DIRECT_PARTS)
            block(c);
    }
    if (buffer_size(&c->out) > c->high_water)
        c->congested = true;
    if (!c->blocked && (buffer_size(&c->out) || c->congested))
        loop_queue(&c->loop->flushing, &c->flush);
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
        loop_queue(&c->loop->flushing, &c->flush); /* on_drained() never runs under the caller */
}

size_t conn_pending(const struct conn *c)
{
    return buffer_size(&c->out);
}

uint64_t conn_sent(const struct conn *c)
{
    return c->sent;
}

bool conn_congested(const struct conn *c)
{
    return c->congested;
}
