/* epoll.c - the epoll backend: waits, watches, accepts. Streams are epoll_conn.c's.
 *
 * On the loop's thread. Level triggered throughout: a read that leaves bytes or an
 * accept that leaves connections is told again. */
#include "reactor/epoll_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64 };

static int epoll_open(struct loop *l)
{
    struct epoll_state *s = calloc(1, sizeof(*s));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};

    l->kernel = s;
    if (!s)
        return -ENOMEM;
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    e.data.ptr = &s->wake;
    return epoll_ctl(s->fd, EPOLL_CTL_ADD, l->wake_fd, &e) < 0 ? -errno : 0;
}

static void epoll_done(struct loop *l)
{
    struct epoll_state *s = epoll_of(l);

    if (s && s->fd >= 0)
        close(s->fd);
    free(s);
}

static int epoll_start(struct loop *l)
{
    (void)l;
    return 0;
}

static void epoll_rest(struct loop *l)
{
    (void)l;
}

int epoll_watch_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events & ~(uint32_t)LOOP_HANGUP, .data.ptr = w};

    l->stats.system_calls++;
    if (epoll_ctl(epoll_of(l)->fd, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return -errno;
    w->events = events;
    return 0;
}

void epoll_watch_cancel(struct loop *l, struct loop_watch *w)
{
    struct epoll_state *s = epoll_of(l);
    struct epoll_event unused = {0};

    w->events = 0;
    l->stats.system_calls++;
    epoll_ctl(s->fd, EPOLL_CTL_DEL, w->fd, &unused);
    /* Its owner may free it now, so the rest of this batch must not name it. */
    for (int i = 0; i < s->count; i++) {
        if (s->events[i].data.ptr == w)
            s->events[i].data.ptr = NULL;
    }
}

static void run_event(struct loop *l, struct epoll_state *s, int i)
{
    struct loop_watch *w = s->events[i].data.ptr;
    uint32_t got = s->events[i].events;
    uint32_t told = got & (EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    uint64_t count;

    s->events[i].data.ptr = NULL;
    if (w == &s->wake) { /* drained before the mail is taken: a post that comes later writes again */
        loop_count(&l->stats.wakeups, read(l->wake_fd, &count, sizeof(count)) == sizeof(count));
        l->stats.system_calls++;
        return;
    }
    if (got & (EPOLLHUP | EPOLLERR))
        told |= LOOP_HANGUP;
    l->stats.events++;
    w->fn(w, told);
}

static void run_events(struct loop *l, struct epoll_state *s)
{
    for (int i = 0; i < s->count; i++) {
        if (s->events[i].data.ptr)
            run_event(l, s, i);
    }
    s->count = 0;
}

/* To the nanosecond where the kernel can (5.11), else rounded up to the millisecond: early would spin. */
static int wait_for(struct epoll_state *s, uint64_t until)
{
    uint64_t now, ns = 0;

    if (until == UINT64_MAX)
        return epoll_wait(s->fd, s->events, EPOLL_BATCH, -1);
    if (until && until > (now = clock_monotonic_ns()))
        ns = until - now;
    if (!s->coarse && ns) {
        struct timespec ts = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
        int n = epoll_pwait2(s->fd, s->events, EPOLL_BATCH, &ts, NULL);

        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        s->coarse = true;
    }
    ns = (ns + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(s->fd, s->events, EPOLL_BATCH, ns > INT_MAX ? INT_MAX : (int)ns);
}

static int epoll_turn(struct loop *l, uint64_t until)
{
    struct epoll_state *s = epoll_of(l);
    int n = wait_for(s, until);

    n = loop_fault(l, FAULT_WAIT, n < 0 ? -errno : n);
    l->stats.system_calls++;
    if (n < 0 && n != -EINTR)
        return n;
    l->now = clock_monotonic_ns();
    s->count = n > 0 ? n : 0;
    early_tell(l);
    run_events(l, s);
    return 0;
}

/* ---- accepting */

static void on_acceptable(struct loop_watch *w, uint32_t events)
{
    struct listener *ls = list_entry(w, struct listener, watch);
    struct loop *l = ls->loop;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        l->stats.system_calls++;
        fd = loop_fault(l, FAULT_ACCEPT, fd < 0 ? -errno : fd);
        /* After the last one on_accept() may have freed the listener. */
        if (fd == -EAGAIN || !listener_accepted(ls, fd))
            return;
    }
}

static int epoll_accept_set(struct listener *ls, bool on)
{
    if (on == (ls->watch.events != 0))
        return 0;
    if (!on) {
        epoll_watch_cancel(ls->loop, &ls->watch);
        return 0;
    }
    ls->watch.fn = on_acceptable;
    /* Several loops may wait on one socket: a connection wakes one of them. */
    return epoll_watch_set(ls->loop, &ls->watch, LOOP_READ | EPOLLEXCLUSIVE);
}

static void epoll_accept_done(struct listener *ls)
{
    (void)ls;
}

const struct backend backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_done,
    .start = epoll_start,
    .turn = epoll_turn,
    .rest = epoll_rest,
    .watch_set = epoll_watch_set,
    .watch_cancel = epoll_watch_cancel,
    .conn_start = epoll_conn_start,
    .conn_want = epoll_conn_want,
    .conn_receiving = epoll_conn_receiving,
    .conn_flush = epoll_conn_flush,
    .conn_stop = epoll_conn_stop,
    .accept_set = epoll_accept_set,
    .accept_done = epoll_accept_done,
};
