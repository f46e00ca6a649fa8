#include "control/many.h"
#include "control/link.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MANY = 64, EVENTS = 256 };
#define PASS_NS (10 * NS_PER_MS)

int many_init(struct hub *h, unsigned from)
{
    struct epoll_event e = {.events = EPOLLIN};

    h->many_from = from ? from : MANY;
    h->poller = epoll_create1(EPOLL_CLOEXEC);
    h->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->poller < 0 || h->bell < 0 || epoll_ctl(h->poller, EPOLL_CTL_ADD, h->bell, &e) < 0)
        return -errno;
    return 0;
}

void many_done(struct hub *h)
{
    if (h->poller >= 0)
        close(h->poller);
    if (h->bell >= 0)
        close(h->bell);
}

/* ---- the links */

static void control(struct link *l, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = l};

    if (l->fd >= 0)
        epoll_ctl(l->hub->poller, op, l->fd, &e);
}

/* Who looked at `many` before it changed may have woken the thread where it does not wait any more: many_turn() looks
 * once more at what is dirty. */
static void set_many(struct hub *h)
{
    bool many = h->links >= h->many_from || (h->many && h->links > h->many_from / 2);

    if (h->many == many)
        return;
    pthread_mutex_lock(&h->lock);
    h->many = many;
    pthread_mutex_unlock(&h->lock);
    h->next_pass = 0;
}

void many_add(struct link *l)
{
    if (l->hub->poller < 0)
        return;
    l->fd = lws_get_socket_fd(l->wsi);
    control(l, EPOLL_CTL_ADD, EPOLLIN);
    l->hub->links++;
    set_many(l->hub);
}

void many_del(struct link *l)
{
    if (l->fd < 0)
        return;
    control(l, EPOLL_CTL_DEL, 0);
    l->fd = -1;
    l->hub->links--;
    set_many(l->hub);
}

void many_listen(struct link *l, bool on)
{
    control(l, EPOLL_CTL_MOD, on ? EPOLLIN : 0);
    if (on)
        l->hub->next_pass = 0; /* libwebsockets may hold what had come before */
}

static void service(struct link *l, short events)
{
    struct lws_pollfd p = {.fd = l->fd, .events = events, .revents = events};

    lws_service_fd(l->hub->context, &p);
}

void many_write(struct link *l)
{
    if (l->hub->many && l->fd >= 0)
        service(l, LWS_POLLOUT);
}

/* ---- the thread */

static bool is_dirty(struct hub *h)
{
    bool dirty;

    pthread_mutex_lock(&h->lock);
    dirty = h->woken || !list_empty(&h->dirty);
    pthread_mutex_unlock(&h->lock);
    return dirty;
}

static void take(struct hub *h, const struct epoll_event *e)
{
    struct link *l = e->data.ptr;
    uint64_t rung;

    if (!l) {
        if (read(h->bell, &rung, sizeof(rung)) < 0)
            return;
    } else if (e->events & EPOLLIN) {
        service(l, LWS_POLLIN);
    } else {
        service(l, LWS_POLLHUP);
    }
}

/* What libwebsockets does in its own time: accepts, time-outs, pings, the rest of what a socket did not take. */
static int pass(struct hub *h)
{
    int r = lws_service(h->context, -1);

    h->next_pass = clock_monotonic_ns() + PASS_NS;
    if (!h->many)
        link_service_dirty(h);
    return r;
}

int many_turn(struct hub *h)
{
    struct epoll_event events[EVENTS];
    uint64_t now = clock_monotonic_ns();
    int n, wait = 0;

    if (now >= h->next_pass || !lws_service_adjust_timeout(h->context, 1, 0))
        return pass(h);
    if (!is_dirty(h))
        wait = (int)((h->next_pass - now + NS_PER_MS - 1) / NS_PER_MS);
    n = epoll_wait(h->poller, events, EVENTS, wait);
    if (n < 0 && errno != EINTR)
        return -errno;
    /* A link's service ends no other link, and each is there once. */
    for (int i = 0; i < n; i++)
        take(h, &events[i]);
    link_service_dirty(h);
    if (!h->many) /* a link has ended in there: see set_many() */
        link_service_dirty(h);
    return 0;
}

void many_ring(struct hub *h)
{
    uint64_t one = 1;

    if (write(h->bell, &one, sizeof(one)) < 0)
        return; /* it has been rung too often to hold more: it is awake */
}
