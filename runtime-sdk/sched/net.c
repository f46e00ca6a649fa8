/* net.c - bytes of descriptors: see rouse/net.h.
 *
 * A call is tried outside the scheduler, in a leaf of its own that returns
 * -errno: the thread may be another after a wait, and errno's address is kept by
 * compilers. */
#include "rouse/net.h"

#include "sched/netdesc.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { WRITEV_MAX = 64, ONE_CALL_MAX = 0x7ffff000 /* read(2): what Linux moves at once */ };

struct transfer {
    struct iovec *iov;
    int n;
    size_t size;            /* asked for */
    struct msghdr *message; /* of the caller; NULL: iov is all */
    int flags;
    bool more; /* set by the call: a short count does not say that nothing is left */
};

/* A stream of the Unix domain stops short behind a message with control data (which a read without room
 * for it throws away); MSG_CTRUNC tells. */
static ssize_t receive_unix(int fd, struct transfer *t)
{
    struct msghdr message = {.msg_iov = t->iov, .msg_iovlen = (size_t)t->n};
    ssize_t n = recvmsg(fd, &message, 0);

    t->more = message.msg_flags & MSG_CTRUNC;
    return n;
}

static ssize_t receive_once(const struct netop *op, struct transfer *t)
{
    if (t->message) {
        t->more = true;
        return recvmsg(op->fd, t->message, t->flags);
    }
    if (op->kind == NETDESC_UNIX)
        return receive_unix(op->fd, t);
    if (t->n != 1)
        return readv(op->fd, t->iov, t->n);
    if (op->kind == NETDESC_TCP)
        return recv(op->fd, t->iov->iov_base, t->iov->iov_len, 0);
    return read(op->fd, t->iov->iov_base, t->iov->iov_len);
}

static ssize_t send_once(const struct netop *op, struct transfer *t)
{
    struct msghdr message = {.msg_iov = t->iov, .msg_iovlen = (size_t)t->n};

    if (t->message) {
        t->more = true;
        return sendmsg(op->fd, t->message, t->flags | MSG_NOSIGNAL);
    }
    if (op->kind == NETDESC_FILE || op->kind == NETDESC_BLOCKING)
        return t->n == 1 ? write(op->fd, t->iov->iov_base, t->iov->iov_len)
                         : writev(op->fd, t->iov, t->n);
    if (t->n == 1)
        return send(op->fd, t->iov->iov_base, t->iov->iov_len, MSG_NOSIGNAL);
    return sendmsg(op->fd, &message, MSG_NOSIGNAL);
}

__attribute__((noinline)) static ssize_t receive(const struct netop *op, void *arg)
{
    ssize_t n;

    do
        n = receive_once(op, arg);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

__attribute__((noinline)) static ssize_t deliver(const struct netop *op, void *arg)
{
    ssize_t n;

    do
        n = send_once(op, arg);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* One call that moves something, with as many tries as it takes. */
static ssize_t once(struct netop *op, netop_fn *fn, struct transfer *t, int64_t deadline)
{
    ssize_t n;

    if (op->kind != NETDESC_BLOCKING)
        return netop_call(op, fn, t, deadline);
    if (rouse_canceled())
        return -ECANCELED;
    rouse_block_begin();
    n = fn(op, t);
    rouse_block_end();
    return n;
}

static bool drained(const struct transfer *t, ssize_t n)
{
    return n > 0 && (size_t)n < t->size && n < ONE_CALL_MAX && !t->more;
}

static ssize_t transfer(int fd, uint8_t side, const char *what, netop_fn *fn, struct transfer *t,
                        int64_t deadline)
{
    struct netop op;
    ssize_t n = netop_begin(&op, fd, side, what, deadline);

    if (n < 0)
        return n;
    n = once(&op, fn, t, deadline);
    netop_end(&op, drained(t, n));
    return n;
}

static bool sum(const struct iovec *iov, int n, int max, size_t *ret)
{
    size_t size = 0;

    if (n < 1 || n > max)
        return false;
    for (int i = 0; i < n; i++) {
        if (__builtin_add_overflow(size, iov[i].iov_len, &size) || size > SSIZE_MAX)
            return false;
    }
    *ret = size;
    return true;
}

ssize_t rouse_read(int fd, void *data, size_t size, int64_t deadline)
{
    struct iovec iov = {data, size};

    return transfer(fd, SIDE_READ, "read", receive,
                    &(struct transfer){.iov = &iov, .n = 1, .size = size}, deadline);
}

ssize_t rouse_readv(int fd, const struct iovec *iov, int n, int64_t deadline)
{
    struct transfer t = {.iov = (struct iovec *)iov, .n = n};

    if (!sum(iov, n, IOV_MAX, &t.size))
        return -EINVAL;
    return transfer(fd, SIDE_READ, "read", receive, &t, deadline);
}

ssize_t rouse_read_full(int fd, void *data, size_t size, int64_t deadline)
{
    struct iovec iov = {data, size};
    struct transfer t = {.iov = &iov, .n = 1};
    struct netop op;
    ssize_t n = netop_begin(&op, fd, SIDE_READ, "read", deadline);

    if (n < 0)
        return n;
    for (;;) {
        t.size = iov.iov_len;
        n = once(&op, receive, &t, deadline);
        if (n <= 0 || (size_t)n == t.size)
            break;
        iov.iov_base = (char *)iov.iov_base + n;
        iov.iov_len -= (size_t)n;
        netop_next(&op, drained(&t, n));
    }
    netop_end(&op, false);
    if (n > 0)
        iov.iov_len -= (size_t)n;
    return n < 0 ? n : (ssize_t)(size - iov.iov_len);
}

static void advance(struct transfer *t, size_t n)
{
    t->size -= n;
    while (t->n && n >= t->iov->iov_len) {
        n -= t->iov->iov_len;
        t->iov++;
        t->n--;
    }
    if (t->n) {
        t->iov->iov_base = (char *)t->iov->iov_base + n;
        t->iov->iov_len -= n;
    }
}

/* Uses up the vector. */
static int write_all(int fd, struct transfer *t, size_t *written, int64_t deadline)
{
    size_t all = t->size;
    struct netop op;
    ssize_t n = netop_begin(&op, fd, SIDE_WRITE, "write", deadline);

    if (n == 0) {
        for (;;) {
            bool full;

            n = once(&op, deliver, t, deadline);
            if (n == 0 && t->size)
                n = -EIO; /* a device that takes nothing and does not say why */
            if (n < 0)
                break;
            full = drained(t, n);
            advance(t, (size_t)n);
            if (!t->n)
                break;
            netop_next(&op, full);
        }
        netop_end(&op, false);
    }
    if (written)
        *written = all - t->size;
    return n < 0 ? (int)n : 0;
}

int rouse_write(int fd, const void *data, size_t size, size_t *written, int64_t deadline)
{
    struct iovec iov = {(void *)data, size};
    struct transfer t = {.iov = &iov, .n = 1, .size = size};

    if (size > SSIZE_MAX) {
        if (written)
            *written = 0;
        return -EINVAL;
    }
    return write_all(fd, &t, written, deadline);
}

int rouse_writev(int fd, const struct iovec *iov, int n, size_t *written, int64_t deadline)
{
    struct iovec copy[WRITEV_MAX];
    struct transfer t = {.iov = copy, .n = n};

    if (!sum(iov, n, WRITEV_MAX, &t.size)) {
        if (written)
            *written = 0;
        return -EINVAL;
    }
    memcpy(copy, iov, (size_t)n * sizeof(*iov));
    return write_all(fd, &t, written, deadline);
}

ssize_t rouse_recvmsg(int fd, struct msghdr *message, int flags, int64_t deadline)
{
    return transfer(fd, SIDE_READ, "receive", receive,
                    &(struct transfer){.message = message, .flags = flags}, deadline);
}

ssize_t rouse_sendmsg(int fd, const struct msghdr *message, int flags, int64_t deadline)
{
    return transfer(fd, SIDE_WRITE, "send", deliver,
                    &(struct transfer){.message = (struct msghdr *)message, .flags = flags},
                    deadline);
}

int rouse_close(int fd)
{
    return netdesc_close(fd);
}
