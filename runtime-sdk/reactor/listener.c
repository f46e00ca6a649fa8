/* listener.c - accepts connections and hands the descriptors to its owner.
 *
 * On the loop's thread. Out of descriptors or memory it rests for a moment
 * instead of spinning on a backlog it cannot take; at its limit of open
 * connections it stops watching until one of them closes. */
#include "reactor/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REST_NS (50 * NS_PER_MS)
enum { BIND_PATIENCE_MS = 250 };

static void accept_or_rest(struct listener *ls)
{
    bool on = !ls->closed && !ls->paused && !loop_timer_armed(&ls->rest) && ls->open < ls->max;

    if (ls->loop->backend->accept_set(ls, on) < 0)
        loop_timer_set(ls->loop, &ls->rest, loop_now(ls->loop) + REST_NS);
}

static void rested(struct loop_timer *t)
{
    accept_or_rest(container_of(t, struct listener, rest));
}

struct listener *listener_join(struct loop *l)
{
    struct listener *ls = l->accepting;

    if (ls)
        ls->open++;
    return ls;
}

static void free_if_done(struct listener *ls)
{
    if (ls->closed && !ls->open && ls->loop->accepting != ls)
        free(ls);
}

void listener_leave(struct listener *ls)
{
    if (!ls)
        return;
    ls->open--;
    if (ls->closed)
        free_if_done(ls);
    else if (ls->open + 1 == ls->max)
        accept_or_rest(ls);
}

bool listener_accepted(struct listener *ls, int fd)
{
    struct loop *l = ls->loop;
    bool more;

    if (fd >= 0) {
        l->stats.accepted++;
        l->accepting = ls;
        ls->on_accept(ls->user, fd);
        l->accepting = NULL;
        if (ls->closed) {
            free_if_done(ls);
            return false;
        }
    } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
        loop_timer_set(l, &ls->rest, loop_now(l) + REST_NS);
    }
    /* EINTR, ECONNABORTED, EPROTO and the network's own errors concern one connection. */
    more = !ls->paused && !loop_timer_armed(&ls->rest) && ls->open < ls->max;
    if (!more)
        accept_or_rest(ls);
    return more;
}

static int listener_start(struct loop *l, int fd, const struct listener_options *o,
                          const char *unix_path, void (*on_accept)(void *user, int fd), void *user,
                          struct listener **ret)
{
    struct listener *ls = calloc(1, sizeof(*ls));
    int r;

    if (!ls)
        return -ENOMEM;
    ls->watch.fd = fd;
    ls->loop = l;
    ls->on_accept = on_accept;
    ls->user = user;
    ls->rest.fn = rested;
    ls->max = o && o->max_connections ? o->max_connections : 10000;
    ls->unix_path = unix_path ? strdup(unix_path) : NULL;
    r = unix_path && !ls->unix_path ? -ENOMEM : l->backend->accept_set(ls, true);
    if (r < 0) {
        free(ls->unix_path);
        free(ls);
        return r;
    }
    *ret = ls;
    return 0;
}

/* A socket file that nobody answers on was left by a process that died. */
static bool socket_is_stale(const struct sockaddr_storage *sa, socklen_t size)
{
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)sa, size) < 0 && errno == ECONNREFUSED;
}

static int bind_unix(int fd, const struct sockaddr_storage *sa, socklen_t size, mode_t mode)
{
    const char *path = ((const struct sockaddr_un *)sa)->sun_path;

    if (bind(fd, (const struct sockaddr *)sa, size) < 0) {
        if (errno != EADDRINUSE)
            return -errno;
        if (!socket_is_stale(sa, size))
            return -EADDRINUSE;
        if (unlink(path) < 0 || bind(fd, (const struct sockaddr *)sa, size) < 0)
            return -errno;
    }
    /* Nobody can connect before listen(2). */
    return chmod(path, mode ? mode : 0600) < 0 ? -errno : 0;
}

/* The kernel takes a ring apart some milliseconds after its process has died, and the accept that was
 * in it holds the port until then: who starts again at once waits for that. */
static int bind_tcp(int fd, const struct sockaddr_storage *sa, socklen_t size)
{
    const struct timespec step = {.tv_nsec = NS_PER_MS};

    for (int i = 0; bind(fd, (const struct sockaddr *)sa, size) < 0; i++) {
        if (errno != EADDRINUSE || i == BIND_PATIENCE_MS)
            return -errno;
        nanosleep(&step, NULL);
    }
    return 0;
}

int listener_open(struct loop *l, const char *address, const struct listener_options *o,
                  void (*on_accept)(void *user, int fd), void *user, struct listener **ret)
{
    cleanup_fd int fd = -1;
    struct sockaddr_storage sa;
    socklen_t size;
    const char *path = NULL;
    int one = 1, r = address_parse(address, &sa, &size);

    if (r < 0)
        return r;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (sa.ss_family == AF_UNIX) {
        path = ((const struct sockaddr_un *)&sa)->sun_path;
        r = bind_unix(fd, &sa, size, o ? o->unix_mode : 0);
        if (r < 0)
            return r;
    } else {
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
            return -errno;
        if (o && o->v6only && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
            return -errno;
        if (o && o->reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
            return -errno;
        r = bind_tcp(fd, &sa, size);
        if (r < 0)
            return r;
    }
    if (listen(fd, o && o->backlog ? o->backlog : 4096) < 0)
        return -errno;
    r = listener_start(l, fd, o, path, on_accept, user, ret);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    return 0;
}

int listener_open_fd(struct loop *l, int fd, void (*on_accept)(void *user, int fd), void *user,
                     struct listener **ret)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return listener_start(l, fd, NULL, NULL, on_accept, user, ret);
}

void listener_text(const struct listener *ls, char out[128])
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    getsockname(ls->watch.fd, (struct sockaddr *)&sa, &size);
    address_text(&sa, size, out);
}

struct listener *listener_close(struct listener *ls)
{
    if (!ls)
        return NULL;
    ls->closed = true;
    loop_timer_cancel(ls->loop, &ls->rest);
    ls->loop->backend->accept_set(ls, false);
    ls->loop->backend->accept_done(ls);
    close(ls->watch.fd);
    if (ls->unix_path)
        unlink(ls->unix_path);
    free(ls->unix_path);
    free_if_done(ls);
    return NULL;
}

void listener_pause(struct listener *ls, bool paused)
{
    ls->paused = paused;
    accept_or_rest(ls);
}
