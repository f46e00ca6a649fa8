/* net_dial.c - rouse_dial(): attempts at several addresses, the next one beside those that take long
 * (RFC 8305, "happy eyeballs").
 *
 * On public calls alone: it is in a part of the library of its own, which a
 * program that never dials does not link. */
#include "rouse/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { ADDRESSES = 16, HOST_MAX = 253 };
#define BESIDE (250 * ROUSE_MS) /* RFC 8305 section 5: Connection Attempt Delay */

struct race {
    struct rouse_address addresses[ADDRESSES];
    struct pollfd attempts[ADDRESSES]; /* fd -1: over */
    unsigned count, begun, running;
    int64_t next_at; /* when the next one begins beside the others */
    int error;       /* of the last one that failed */
};

/* "[::1]:80" or "host:80". */
static int split(const char *text, char host[HOST_MAX + 1], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':'), *from = text, *to = colon;
    unsigned port = 0;

    if (!colon || !colon[1] || strlen(colon + 1) > 5)
        return -EINVAL;
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(*c - '0');
    }
    if (*text == '[') {
        from++;
        to--;
        if (to < from || *to != ']')
            return -EINVAL;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return -EINVAL; /* IPv6 without brackets */
    }
    if (to == from || to - from > HOST_MAX || port > UINT16_MAX)
        return -EINVAL;
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

/* RFC 8305 section 4: the families take turns, the first address's begins. */
static void take_turns(struct rouse_address *a, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        unsigned k = i;
        struct rouse_address other;

        while (k < n && a[k].address.ss_family == a[i - 1].address.ss_family)
            k++;
        if (k == n)
            return;
        other = a[k];
        memmove(&a[i + 1], &a[i], (k - i) * sizeof(*a));
        a[i] = other;
    }
}

__attribute__((noinline)) static int start(const struct rouse_address *a, int *ret_fd)
{
    int fd = rouse_socket(a->address.ss_family, SOCK_STREAM, 0), r;

    if (fd < 0)
        return fd;
    do
        r = connect(fd, (const struct sockaddr *)&a->address, a->size) < 0 ? -errno : 0;
    while (r == -EINTR);
    if (r < 0 && r != -EINPROGRESS && r != -EALREADY) {
        rouse_close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static void begin_next(struct race *r)
{
    struct pollfd *p = &r->attempts[r->begun];

    *p = (struct pollfd){.fd = -1, .events = POLLOUT};
    r->error = start(&r->addresses[r->begun++], &p->fd);
    if (r->error == 0) {
        r->running++;
        r->next_at = rouse_after(BESIDE);
    } else {
        r->next_at = 0;
    }
}

static int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? EBADF : error;
}

/* The descriptor of one that is connected; -1: none yet. */
static int winner(struct race *r)
{
    for (unsigned i = 0; i < r->begun; i++) {
        struct pollfd *p = &r->attempts[i];
        int fd = p->fd, error;

        if (fd < 0 || !p->revents)
            continue;
        error = socket_error(fd);
        p->fd = -1;
        if (!error)
            return fd;
        rouse_close(fd);
        r->running--;
        r->error = -error;
        r->next_at = 0;
    }
    return -1;
}

static int run(struct race *r, int64_t deadline)
{
    for (;;) {
        bool more = r->begun < r->count;
        int64_t until;
        int n, fd;

        if (more && (!r->running || rouse_now() >= r->next_at)) {
            begin_next(r);
            continue;
        }
        if (!r->running)
            return r->error;
        until = more && r->next_at < deadline ? r->next_at : deadline;
        n = rouse_poll(r->attempts, r->begun, until);
        if (n == -ETIMEDOUT && until < deadline)
            continue;
        if (n < 0)
            return n;
        fd = winner(r);
        if (fd >= 0)
            return fd;
    }
}

static int dial_tcp(const char *text, int64_t deadline)
{
    const int on = 1;
    struct race r = {0};
    char host[HOST_MAX + 1];
    uint16_t port;
    int n, fd;

    n = split(text, host, &port);
    if (n == 0)
        n = rouse_resolve(host, port, r.addresses, ADDRESSES, deadline);
    if (n < 0)
        return n;
    r.count = (unsigned)n;
    take_turns(r.addresses, r.count);
    fd = run(&r, deadline);
    for (unsigned i = 0; i < r.begun; i++) {
        if (r.attempts[i].fd >= 0)
            rouse_close(r.attempts[i].fd);
    }
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static int dial_unix(const char *path, int64_t deadline)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd, r;

    if (path[0] != '/')
        return -EINVAL;
    if (strlen(path) >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    strcpy(un.sun_path, path);
    fd = rouse_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    r = rouse_connect(fd, (const struct sockaddr *)&un, sizeof(un), deadline);
    if (r < 0) {
        rouse_close(fd);
        return r;
    }
    return fd;
}

int rouse_dial(const char *address, int64_t deadline, int *ret_fd)
{
    int fd = -EINVAL;

    if (!rouse_task_id())
        return -EPERM;
    if (!strncmp(address, "tcp://", 6))
        fd = dial_tcp(address + 6, deadline);
    else if (!strncmp(address, "unix://", 7))
        fd = dial_unix(address + 7, deadline);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}
