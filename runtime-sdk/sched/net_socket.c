/* net_socket.c - sockets: made, bound, accepted, connected. See rouse/net.h. */
#include "rouse/net.h"

#include "sched/netdesc.h"

#include "base/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int rouse_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return -errno;
    netdesc_fresh(fd, NETDESC_NEW);
    return fd;
}

/* A server that starts again finds connections of its former life in TIME_WAIT. */
static int listen_on(int fd, const struct sockaddr_storage *sa, socklen_t size, int backlog)
{
    const int on = 1;

    if (sa->ss_family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    /* connections that are accepted have it from here */
    if (sa->ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)sa, size) < 0)
        return -errno;
    return listen(fd, backlog > 0 ? backlog : SOMAXCONN) < 0 ? -errno : 0;
}

__attribute__((noinline)) int rouse_listen(const char *address, int backlog, int *ret_fd)
{
    char text[ROUSE_ADDRESS_MAX];
    struct sockaddr_storage sa;
    socklen_t size;
    int r, fd;

    if (!strncmp(address, "tcp://localhost:", 16)) {
        if (strlen(address + 16) > 5)
            return -EINVAL;
        strcpy(stpcpy(text, "tcp://127.0.0.1:"), address + 16);
        address = text;
    }
    r = address_parse(address, &sa, &size);
    if (r < 0)
        return r;
    fd = rouse_socket(sa.ss_family, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    r = listen_on(fd, &sa, size, backlog);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* accept(2): errors of one connection, which is gone then; the next may be there. */
static bool concerns_one(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

__attribute__((noinline)) static ssize_t accept_once(const struct netop *op, void *unused)
{
    int fd;

    (void)unused;
    do
        fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && concerns_one(errno));
    if (fd < 0)
        return -errno;
    netdesc_fresh(fd, op->kind);
    return fd;
}

int rouse_accept(int fd, int64_t deadline)
{
    struct netop op;
    int r = netop_begin(&op, fd, SIDE_READ, "accept", deadline);

    if (r < 0)
        return r;
    r = (int)netop_call(&op, accept_once, NULL, deadline);
    netop_end(&op, false);
    return r;
}

struct connecting {
    const struct sockaddr *address;
    socklen_t size;
    bool begun, full;
};

/* Linux: a second connect(2) says how the first one went, and takes its error. */
__attribute__((noinline)) static ssize_t connect_once(const struct netop *op, void *arg)
{
    struct connecting *c = arg;

    if (connect(op->fd, c->address, c->size) == 0 || (c->begun && errno == EISCONN))
        return 0;
    if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR) {
        c->begun = true;
        return -EAGAIN;
    }
    c->full = errno == EAGAIN;
    return c->full ? -EBUSY : -errno;
}

/* The backlog of a listening Unix socket is full: nothing tells when it is not. */
static int pause_connecting(int64_t *pause, int64_t deadline)
{
    int64_t until = rouse_after(*pause);
    int r;

    if (*pause < 16 * ROUSE_MS)
        *pause *= 2;
    r = rouse_sleep_until(until < deadline ? until : deadline);
    return r < 0 ? r : until < deadline ? 0 : -ETIMEDOUT;
}

int rouse_connect(int fd, const struct sockaddr *address, socklen_t size, int64_t deadline)
{
    struct connecting c = {.address = address, .size = size};
    int64_t pause = ROUSE_MS;
    int r;

    do {
        struct netop op;

        r = netop_begin(&op, fd, SIDE_WRITE, "connect", deadline);
        if (r < 0)
            return r;
        c.full = false;
        op.wait_first = false;
        r = (int)netop_call(&op, connect_once, &c, deadline);
        netop_end(&op, false);
        if (c.full)
            r = pause_connecting(&pause, deadline);
    } while (c.full && r == 0);
    return r;
}

__attribute__((noinline)) int rouse_local_address(int fd, char out[ROUSE_ADDRESS_MAX])
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0)
        return -errno;
    address_text(&sa, size, out);
    return 0;
}

__attribute__((noinline)) int rouse_peer_address(int fd, char out[ROUSE_ADDRESS_MAX])
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    if (getpeername(fd, (struct sockaddr *)&sa, &size) < 0)
        return -errno;
    address_text(&sa, size, out);
    return 0;
}
