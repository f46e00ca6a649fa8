/* net_poll.c - one task waits for several descriptors: see rouse_poll() in rouse/net.h.
 *
 * The truth is poll(2)'s, asked before a wait, once more when the task is on
 * every list, and after it: whatever changes behind the second question makes an
 * edge. */
#include "rouse/net.h"

#include "sched/internal.h"
#include "sched/netdesc.h"

#include <errno.h>

enum { POLL_MAX = 64 };

struct place {
    struct netdesc *desc; /* NULL: not waited for */
    struct netwait wait;
};

__attribute__((noinline)) static int poll_now(struct pollfd *fds, size_t n)
{
    int r;

    do
        r = poll(fds, (nfds_t)n, 0);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static uint8_t sides_of(short events)
{
    uint8_t sides = events & (POLLOUT | POLLWRNORM | POLLWRBAND) ? SIDE_WRITE : 0;

    return events & (POLLIN | POLLRDNORM | POLLRDBAND | POLLRDHUP | POLLPRI) || !sides
               ? sides | SIDE_READ
               : sides;
}

static int register_all(struct place *places, const struct pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct place *p = &places[i];
        int r;

        p->desc = NULL;
        p->wait = (struct netwait){.sides = sides_of(fds[i].events)};
        if (fds[i].fd < 0)
            continue;
        r = netdesc_get(fds[i].fd, &p->desc);
        if (r == 0)
            netdesc_settle(p->desc);
        if (r == 0)
            r = netdesc_register(p->desc, fds[i].fd, p->wait.sides, true);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool add_all(struct task *t, struct place *places, size_t n)
{
    bool closed = false;

    for (size_t i = 0; i < n; i++) {
        struct place *p = &places[i];

        list_init(&p->wait.link);
        p->wait.task = t;
        if (!p->desc)
            continue;
        spin_acquire(&p->desc->spin);
        if (p->desc->closing)
            closed = true;
        else
            list_push_back(&p->desc->parked, &p->wait.link);
        spin_release(&p->desc->spin);
    }
    return closed;
}

static bool remove_all(struct place *places, size_t n)
{
    bool closed = false;

    for (size_t i = 0; i < n; i++) {
        struct place *p = &places[i];

        if (!p->desc)
            continue;
        spin_acquire(&p->desc->spin);
        list_del(&p->wait.link);
        closed |= p->wait.closed;
        spin_release(&p->desc->spin);
    }
    return closed;
}

/* Until there was an edge, or poll(2) finds something. 0, or why not. */
static int wait_once(struct place *places, struct pollfd *fds, size_t n, int64_t deadline)
{
    struct machine *m = sched_enter();
    bool closed;
    int r;

    r = wait_open(m, "poll");
    if (r < 0) {
        sched_leave(m);
        return r;
    }
    poller_wait_begins();
    closed = add_all(m->current, places, n);
    if ((closed || poll_now(fds, n) != 0) && wait_abandon(m))
        poller_wait_ended();
    else if ((r = wait_park(&m, NULL, deadline)) < 0)
        poller_wait_ended();
    closed |= remove_all(places, n);
    sched_leave(m);
    return closed ? -EBADF : r;
}

int rouse_poll(struct pollfd *fds, size_t n, int64_t deadline)
{
    struct place places[POLL_MAX];
    int r, ready;

    if (!rouse_task_id())
        return -EPERM;
    if (n < 1 || n > POLL_MAX)
        return -EINVAL;
    ready = poll_now(fds, n);
    if (ready || deadline <= 0)
        return ready ? ready : -ETIMEDOUT;
    r = register_all(places, fds, n);
    while (r == 0 && !ready) {
        r = wait_once(places, fds, n, deadline);
        if (r == 0)
            ready = poll_now(fds, n);
    }
    return r < 0 ? r : ready;
}

int rouse_wait_fd(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int r = fd < 0 ? -EBADF : rouse_poll(&p, 1, deadline);

    if (r < 0)
        return r;
    return p.revents & POLLNVAL ? -EBADF : p.revents;
}
