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
typedef ssize_t transfer_fn(int fd, enum netdesc_kind kind, struct transfer *t);

/* A stream of the Unix domain stops short behind a message with control data (which a read without room
 * for it throws away); MSG_CTRUNC tells. */
static ssize_t receive_unix(int fd, struct transfer *t)
{
    struct msghdr message = {.msg_iov = t->iov, .msg_iovlen = (size_t)t->n};
    ssize_t n = recvmsg(fd, &message, 0);

    t->more = message.msg_flags & MSG_CTRUNC;
    return n;
}

__attribute__((noinline)) static ssize_t receive(int fd, enum netdesc_kind kind, struct transfer *t)
{
    ssize_t n;

    if (t->message) {
        n = recvmsg(fd, t->message, t->flags);
        t->more = true;
    } else if (kind == NETDESC_UNIX) {
        n = receive_unix(fd, t);
    } else if (kind == NETDESC_TCP && t->n == 1) {
        n = recv(fd, t->iov->iov_base, t->iov->iov_len, 0);
    } else if (t->n == 1) {
        n = read(fd, t->iov->iov_base, t->iov->iov_len);
    } else {
        n = readv(fd, t->iov, t->n);
    }
    return n < 0 ? -errno : n;
}

__attribute__((noinline)) static ssize_t deliver(int fd, enum netdesc_kind kind, struct transfer *t)
{
    ssize_t n;

    if (t->message) {
        n = sendmsg(fd, t->message, t->flags | MSG_NOSIGNAL);
        t->more = true;
    } else if (kind == NETDESC_FILE || kind == NETDESC_BLOCKING) {
        n = t->n == 1 ? write(fd, t->iov->iov_base, t->iov->iov_len) : writev(fd, t->iov, t->n);
    } else if (t->n == 1) {
        n = send(fd, t->iov->iov_base, t->iov->iov_len, MSG_NOSIGNAL);
    } else {
        n = sendmsg(fd, &(struct msghdr){.msg_iov = t->iov, .msg_iovlen = (size_t)t->n},
                    MSG_NOSIGNAL);
    }
    return n < 0 ? -errno : n;
}

static ssize_t blocking(struct netop *op, transfer_fn *fn, struct transfer *t)
{
    ssize_t n;

    if (rouse_canceled())
        return -ECANCELED;
    rouse_block_begin();
    do
        n = fn(op->fd, op->kind, t);
    while (n == -EINTR);
    rouse_block_end();
    return n;
}

/* One call that moves something, with as many tries as it takes. */
static ssize_t once(struct netop *op, transfer_fn *fn, struct transfer *t, int64_t deadline)
{
    bool wait = op->wait_first;

    if (op->kind == NETDESC_BLOCKING)
        return blocking(op, fn, t);
    for (;;) {
        int r = wait ? netop_wait(op, deadline) : 0;
        ssize_t n;

        /* a wait that came before any try knows only what the poller told */
        if (r < 0 && (r != -ETIMEDOUT || !op->wait_first))
            return r;
        op->wait_first = false;
        do
            n = fn(op->fd, op->kind, t);
        while (n == -EINTR);
        if (n != -EAGAIN)
            return n;
        if (r < 0)
            return r;
        wait = true;
    }
}

static bool drained(const struct transfer *t, ssize_t n)
{
    return n > 0 && (size_t)n < t->size && n < ONE_CALL_MAX && !t->more;
}

static ssize_t transfer(int fd, uint8_t side, const char *what, transfer_fn *fn, struct transfer *t,
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
