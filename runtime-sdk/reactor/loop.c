/* loop.c - the turn of an event loop: epoll, mail from other threads, timers, deferred work.
 *
 * Everything here runs on the loop's thread except loop_post() and loop_stop(),
 * which touch `mails`, `stopping` and the eventfd and nothing else. */
#include "reactor/internal.h"
#include "base/clock.h"
#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_wake(struct loop_watch *w, uint32_t events)
{
    struct loop *l = container_of(w, struct loop, wake);
    uint64_t count;

    (void)events;
    /* Read before the mail is taken: a post that comes later writes again. */
    if (read(w->fd, &count, sizeof(count)) == sizeof(count))
        l->stats.wakeups++;
}

int loop_new(struct loop **ret)
{
    struct loop *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    list_init(&l->soon);
    list_init(&l->flushing);
    list_init(&l->deferred);
    l->wake = (struct loop_watch){.fd = -1, .fn = on_wake};
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        goto fail;
    l->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake.fd < 0)
        goto fail;
    r = loop_watch_set(l, &l->wake, LOOP_READ);
    if (r < 0) {
        errno = -r;
        goto fail;
    }
    *ret = l;
    return 0;
fail:
    r = -errno;
    loop_free(l);
    return r;
}

static unsigned run_queue(struct list *queue)
{
    struct list batch, *link;
    unsigned ran = 0;

    if (list_empty(queue))
        return 0;
    /* Only what is there now: what is queued meanwhile belongs to the next turn. */
    list_add_before(queue, &batch);
    list_del(queue);
    while ((link = list_pop_front(&batch))) {
        struct loop_deferred *d = list_entry(link, struct loop_deferred, link);

        ran++;
        d->fn(d);
    }
    return ran;
}

struct loop *loop_free(struct loop *l)
{
    if (!l)
        return NULL;
    while (run_queue(&l->deferred))
        ;
    timers_done(&l->timers);
    if (l->wake.fd >= 0)
        close(l->wake.fd);
    if (l->epoll >= 0)
        close(l->epoll);
    free(l);
    return NULL;
}

uint64_t loop_now(const struct loop *l)
{
    return l->running ? l->now : clock_monotonic_ns();
}

const struct loop_stats *loop_stats(const struct loop *l)
{
    return &l->stats;
}

/* ---- watches */

int loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events & ~(uint32_t)LOOP_HANGUP, .data.ptr = w};

    if (events == w->events)
        return 0;
    if (!events) {
        loop_watch_cancel(l, w);
        return 0;
    }
    if (epoll_ctl(l->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return -errno;
    w->events = events;
    return 0;
}

void loop_watch_cancel(struct loop *l, struct loop_watch *w)
{
    struct epoll_event unused = {0};

    if (!w->events)
        return;
    w->events = 0;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, &unused);
    /* Its owner may free it now, so the rest of this batch must not name it. */
    for (int i = l->event + 1; i < l->event_count; i++) {
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
    }
}

static void run_events(struct loop *l)
{
    for (l->event = 0; l->event < l->event_count; l->event++) {
        struct loop_watch *w = l->events[l->event].data.ptr;
        uint32_t got = l->events[l->event].events;
        uint32_t told = got & (EPOLLIN | EPOLLOUT | EPOLLRDHUP);

        if (!w)
            continue;
        if (got & (EPOLLHUP | EPOLLERR))
            told |= LOOP_HANGUP;
        l->stats.events++;
        w->fn(w, told);
    }
    l->event = l->event_count = 0;
}

/* ---- mail */

static void wake(struct loop *l)
{
    uint64_t one = 1;
    int saved = errno; /* loop_stop() may run in a signal handler */

    /* The counter can only be full (EAGAIN) when the loop is already woken. */
    while (write(l->wake.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void loop_post(struct loop *l, struct mail *m)
{
    struct mail *newest = atomic_load_explicit(&l->mails, memory_order_relaxed);

    do {
        m->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&l->mails, &newest, m, memory_order_release,
                                                    memory_order_relaxed));
    /* Whoever finds the box empty wakes the loop; the others' mail goes with his.
     * `m` may be gone already, `l` outlives its senders. */
    if (!newest)
        wake(l);
}

static void run_mail(struct loop *l)
{
    struct mail *m, *first = NULL;

    if (!atomic_load_explicit(&l->mails, memory_order_relaxed))
        return;
    m = atomic_exchange_explicit(&l->mails, NULL, memory_order_acquire);
    while (m) {
        struct mail *older = m->next;

        m->next = first;
        first = m;
        m = older;
    }
    while (first) {
        m = first;
        first = m->next;
        l->stats.mails++;
        m->fn(m);
    }
}

/* ---- deferred work */

void loop_queue(struct list *phase, struct loop_deferred *d)
{
    if (d->link.next && !list_empty(&d->link))
        return;
    list_push_back(phase, &d->link);
}

void loop_defer(struct loop *l, struct loop_deferred *d)
{
    loop_queue(&l->deferred, d);
}

/* ---- the turn */

static int wait_ms(struct loop *l)
{
    uint64_t next = timers_next(&l->timers), now;

    if (!list_empty(&l->soon) || !list_empty(&l->flushing) || !list_empty(&l->deferred))
        return 0;
    if (next == UINT64_MAX)
        return -1;
    now = clock_monotonic_ns();
    if (next <= now)
        return 0;
    next = (next - now + NS_PER_MS - 1) / NS_PER_MS; /* rounded up: early would spin */
    return next > INT_MAX ? INT_MAX : (int)next;
}

static int turn(struct loop *l)
{
    int n = epoll_wait(l->epoll, l->events, LOOP_EVENTS, wait_ms(l));

    if (n < 0 && errno != EINTR)
        return -errno;
    l->now = clock_monotonic_ns();
    l->stats.turns++;
    l->event_count = n > 0 ? n : 0;
    run_events(l);
    run_mail(l);
    l->stats.timers += timers_run(&l->timers, l->now);
    run_queue(&l->soon);
    run_queue(&l->flushing);
    run_queue(&l->deferred);
    return 0;
}

int loop_run(struct loop *l)
{
    int r = 0;

    l->running = true;
    l->now = clock_monotonic_ns();
    while (r == 0 && !atomic_exchange_explicit(&l->stopping, false, memory_order_acquire))
        r = turn(l);
    l->running = false;
    return r;
}

void loop_stop(struct loop *l)
{
    atomic_store_explicit(&l->stopping, true, memory_order_release);
    wake(l);
}
