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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REST_NS (50 * NS_PER_MS)
enum { ACCEPTS_PER_TURN = 64 };

struct listener {
    struct loop_watch watch;
    struct loop *loop;
    void (*on_accept)(void *user, int fd);
    void *user;
    bool paused;
    bool freed; /* closed by its own on_accept() */
    struct loop_timer rest;
    struct list members;
    unsigned open, max;
    char unix_path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* ours to unlink; "": not */
};

static void update_watch(struct listener *ls)
{
    if (ls->paused || loop_timer_armed(&ls->rest) || ls->open >= ls->max)
        loop_watch_cancel(ls->loop, &ls->watch);
    else if (loop_watch_set(ls->loop, &ls->watch, LOOP_READ | EPOLLEXCLUSIVE) < 0)
        loop_timer_set(ls->loop, &ls->rest, loop_now(ls->loop) + REST_NS);
}

static void rested(struct loop_timer *t)
{
    update_watch(container_of(t, struct listener, rest));
}

void listener_join(struct loop *l, struct listener_member *m)
{
    struct listener *ls = l->accepting;

    if (!ls || ls->freed)
        return;
    m->listener = ls;
    list_push_back(&ls->members, &m->link);
    ls->open++;
}

void listener_leave(struct listener_member *m)
{
    struct listener *ls = m->listener;

    if (!ls)
        return;
    m->listener = NULL;
    list_del(&m->link);
    if (ls->open-- == ls->max)
        update_watch(ls);
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct listener *ls = container_of(w, struct listener, watch);
    struct loop *l = ls->loop;

    (void)events;
    l->accepting = ls;
    for (int i = 0; i < ACCEPTS_PER_TURN && ls->watch.events && !ls->freed; i++) {
        int fd = accept4(ls->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            ls->on_accept(ls->user, fd);
            if (!ls->freed && ls->open >= ls->max)
                update_watch(ls);
            continue;
        }
        if (errno == EAGAIN)
            break;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            loop_timer_set(l, &ls->rest, loop_now(l) + REST_NS);
            update_watch(ls);
        }
        /* EINTR, ECONNABORTED, EPROTO and the network's own errors concern one connection. */
    }
    l->accepting = NULL;
    if (ls->freed)
        free(ls);
}

static int listener_start(struct loop *l, int fd, const struct listener_options *o,
                          const char *unix_path, void (*on_accept)(void *user, int fd), void *user,
                          struct listener **ret)
{
    struct listener *ls = calloc(1, sizeof(*ls));
    int r;

    if (!ls)
        return -ENOMEM;
    ls->watch = (struct loop_watch){.fd = fd, .fn = on_readable};
    ls->loop = l;
    ls->on_accept = on_accept;
    ls->user = user;
    ls->rest.fn = rested;
    ls->max = o && o->max_connections ? o->max_connections : 10000;
    list_init(&ls->members);
    r = loop_watch_set(l, &ls->watch, LOOP_READ | EPOLLEXCLUSIVE);
    if (r < 0) {
        free(ls);
        return r;
    }
    memcpy(ls->unix_path, unix_path, strlen(unix_path) + 1);
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

int listener_open(struct loop *l, const char *address, const struct listener_options *o,
                  void (*on_accept)(void *user, int fd), void *user, struct listener **ret)
{
    cleanup_fd int fd = -1;
    struct sockaddr_storage sa;
    socklen_t size;
    const char *path = "";
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
        if (o && o->reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
            return -errno;
        if (bind(fd, (struct sockaddr *)&sa, size) < 0)
            return -errno;
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
    return listener_start(l, fd, NULL, "", on_accept, user, ret);
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
    list_for_each(link, &ls->members)
    {
        list_entry(link, struct listener_member, link)->listener = NULL;
        list_del(link);
    }
    loop_watch_cancel(ls->loop, &ls->watch);
    loop_timer_cancel(ls->loop, &ls->rest);
    close(ls->watch.fd);
    if (ls->unix_path[0])
        unlink(ls->unix_path);
    if (ls->loop->accepting == ls)
        ls->freed = true;
    else
        free(ls);
    return NULL;
}

void listener_pause(struct listener *ls, bool paused)
{
    ls->paused = paused;
    update_watch(ls);
}
