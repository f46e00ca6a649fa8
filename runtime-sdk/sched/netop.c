/* netop.c - one operation of a task on a side of a descriptor: its turn, its waits for edges, its end. */
#include "sched/internal.h"
#include "sched/netdesc.h"
#include "sched/waiters.h"

#include <errno.h>

/* The spin is held, before and after. Another operation holds the side: this one's turn comes after it. */
static int queue_up(struct machine **m, struct netdesc *d, uint8_t side, const char *what,
                    int64_t deadline)
{
    struct netwait w = {.task = (*m)->current, .sides = side};
    int r = wait_open_until(*m, what, deadline);

    if (r < 0)
        return r;
    list_push_back(&d->queue, &w.link);
    r = wait_park(m, &d->spin, deadline);
    spin_acquire(&d->spin);
    list_del(&w.link);
    return r;
}

int netop_begin(struct netop *op, int fd, uint8_t side, const char *what, int64_t deadline)
{
    struct machine *m = sched_enter();
    struct netdesc *d;
    int r;

    if (!m)
        return -EPERM;
    r = netdesc_get(fd, &d);
    if (r < 0) {
        sched_leave(m);
        return r;
    }
    spin_acquire(&d->spin);
    if (__builtin_expect(d->closing == NETDESC_CLOSE_NOW, 0)) {
        spin_release(&d->spin);
        sched_leave(m);
        netdesc_settle(d);
        m = sched_enter();
        spin_acquire(&d->spin);
    }
    if (d->closing)
        r = -EBADF;
    else if (d->busy & side)
        r = queue_up(&m, d, side, what, deadline);
    if (r == 0) {
        d->busy |= side;
        *op = (struct netop){.desc = d, .what = what, .fd = fd, .side = side, .kind = d->kind};
        /* One whose deadline has passed gets what there is, whether or not the poller told of it. */
        op->wait_first = !(d->edge & side) && deadline > 0;
        if (!op->wait_first)
            d->edge &= (uint8_t)~side;
    }
    spin_release(&d->spin);
    sched_leave(m);
    if (r == 0 && __builtin_expect(op->kind == NETDESC_NEW, 0)) {
        r = netdesc_look(fd);
        if (r < 0) {
            netop_end(op, false);
            return r;
        }
        op->kind = (uint8_t)r;
        netdesc_known(d, (enum netdesc_kind)r);
        r = 0;
    }
    return r;
}

/* The spin is held, and released. Nothing came since the last try. */
static int park(struct machine **m, struct netop *op, int64_t deadline)
{
    struct netdesc *d = op->desc;
    struct netwait w = {.task = (*m)->current, .sides = op->side, .holds = op->side};
    int r = wait_open_until(*m, op->what, deadline);

    if (r < 0) {
        spin_release(&d->spin);
        return r;
    }
    list_push_back(&d->parked, &w.link);
    poller_wait_begins();
    r = wait_park(m, &d->spin, deadline);
    if (r == 0)
        return 0;
    poller_wait_ended();
    spin_acquire(&d->spin);
    list_del(&w.link);
    op->over = w.closed;
    spin_release(&d->spin);
    return op->over ? -EBADF : r;
}

int netop_wait(struct netop *op, int64_t deadline)
{
    struct netdesc *d = op->desc;
    struct machine *m = sched_enter();
    int r;

    spin_acquire(&d->spin);
    if (__builtin_expect(!(d->interest & op->side), 0)) {
        spin_release(&d->spin);
        sched_leave(m);
        r = netdesc_register(d, op->fd, op->side, false);
        if (r < 0)
            return r;
        m = sched_enter();
        spin_acquire(&d->spin);
    }
    if (d->closing || d->edge & op->side) {
        r = d->closing ? -EBADF : 0;
        d->edge &= (uint8_t)~op->side;
        spin_release(&d->spin);
    } else {
        r = park(&m, op, deadline);
    }
    sched_leave(m);
    return r;
}

ssize_t netop_call(struct netop *op, netop_fn *fn, void *arg, int64_t deadline)
{
    bool wait = op->wait_first;

    for (;;) {
        int r = wait ? netop_wait(op, deadline) : 0;
        ssize_t n;

        /* a wait that came before any try knows only what the poller told */
        if (r < 0 && (r != -ETIMEDOUT || !op->wait_first))
            return r;
        op->wait_first = false;
        n = fn(op, arg);
        if (n != -EAGAIN)
            return n;
        if (r < 0)
            return r;
        wait = true;
    }
}

/* The spin is held. The next operation in the queue gets the side, or nobody. */
static struct task *pass_on(struct netdesc *d, uint8_t side)
{
    list_for_each(link, &d->queue)
    {
        struct netwait *w = list_entry(link, struct netwait, link);

        if (w->sides != side)
            continue;
        list_del(link);
        if (wait_claim(w->task, 0))
            return w->task;
    }
    d->busy &= (uint8_t)~side;
    return NULL;
}

/* When a stream gave (or took) less than was asked for, nothing is left in it (no room), and the next
 * change makes an edge: epoll(7). So the next operation waits for that without a try that would fail,
 * which saves a request its second recv(2). If the poller does not know of the side yet, the wait makes
 * it known, and epoll_ctl(2) reports what is there then as an edge. It holds until the poller was told of
 *   - the other end's shutdown (RDHUP, HUP) or an error: their edge may have come before the call, which
 *     returned the bytes before them; the end is there to be read, and no other edge comes;
 *   - urgent data (PRI): a read stops short before it.
 * Datagrams, pipes in packet mode, terminals and others stop short where it pleases them. */
static bool says_nothing(const struct netop *op, bool drained)
{
    const struct netdesc *d = op->desc;

    return !drained || (op->kind != NETDESC_TCP && op->kind != NETDESC_UNIX) ||
           (d->sticky & op->side);
}

void netop_next(struct netop *op, bool drained)
{
    struct netdesc *d = op->desc;

    spin_acquire(&d->spin);
    op->wait_first = !says_nothing(op, drained) && !(d->edge & op->side);
    if (!op->wait_first)
        d->edge &= (uint8_t)~op->side;
    spin_release(&d->spin);
}

void netop_end(struct netop *op, bool drained)
{
    struct netdesc *d = op->desc;
    struct machine *m;
    struct task *next;
    bool release;

    if (op->over)
        return;
    m = sched_enter();
    spin_acquire(&d->spin);
    if (says_nothing(op, drained))
        d->edge |= op->side;
    next = pass_on(d, op->side);
    release = netdesc_released(d);
    spin_release(&d->spin);
    if (next)
        task_ready(m, next);
    sched_leave(m);
    if (__builtin_expect(release, 0))
        netdesc_close_now(d, op->fd);
}
