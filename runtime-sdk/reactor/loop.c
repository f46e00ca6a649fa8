/* loop.c - the turn of an event loop: the kernel's events, mail from other threads, timers, deferred work.
 *
 * Everything here runs on the loop's thread except loop_post() and loop_stop(),
 * which touch `mails`, `stopping` and the eventfd and nothing else. */
#include "reactor/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int loop_open(const struct loop_options *o, struct loop **ret)
{
    struct loop *l;
    int r = -ENOMEM;

    l = calloc(1, sizeof(*l));
    if (!l)
        return r;
    list_init(&l->soon);
    list_init(&l->flushing);
    list_init(&l->deferred);
    l->backend = backend_choose(o ? o->backend : LOOP_AUTO);
    /* Blocking: io_uring reads it in the kernel, and its counter never fills. */
    l->wake_fd = eventfd(0, EFD_CLOEXEC);
    r = l->wake_fd < 0 ? -errno : l->backend->open(l);
    if (r < 0) {
        loop_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

int loop_new(struct loop **ret)
{
    return loop_open(NULL, ret);
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
    /* Whose mail has been run may not have returned yet. */
    while (atomic_load_explicit(&l->senders, memory_order_acquire))
        sched_yield();
    l->backend->close(l);
    early_done(l);
    timers_done(&l->timers);
    chunks_done(l);
    pipes_done(l);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    free(l);
    return NULL;
}

const char *loop_backend_name(const struct loop *l)
{
    return l->backend->name;
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
    if (events == w->events)
        return 0;
    if (events)
        return w->early ? early_set(l, w, events) : l->backend->watch_set(l, w, events);
    loop_watch_cancel(l, w);
    return 0;
}

void loop_watch_cancel(struct loop *l, struct loop_watch *w)
{
    if (!w->events)
        return;
    if (w->early)
        early_cancel(l, w);
    else
        l->backend->watch_cancel(l, w);
}

void loop_watch_close(struct loop *l, struct loop_watch *w)
{
    loop_watch_cancel(l, w);
    close_fd(&w->fd);
}

bool loop_early_told(const struct loop *l)
{
    return l->early_told;
}

/* ---- mail */

static void wake(struct loop *l)
{
    uint64_t one = 1;
    int saved = errno; /* loop_stop() may run in a signal handler */

    while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void loop_post(struct loop *l, struct mail *m)
{
    struct mail *newest;

    atomic_fetch_add_explicit(&l->senders, 1, memory_order_relaxed);
    newest = atomic_load_explicit(&l->mails, memory_order_relaxed);
    do {
        m->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&l->mails, &newest, m, memory_order_release,
                                                    memory_order_relaxed));
    /* Whoever finds the box empty wakes the loop; the others' mail goes with his. `m` may be gone
     * already; the loop's end waits for its senders. */
    if (!newest)
        wake(l);
    atomic_fetch_sub_explicit(&l->senders, 1, memory_order_release);
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

static int turn(struct loop *l)
{
    bool work = !list_empty(&l->soon) || !list_empty(&l->flushing) || !list_empty(&l->deferred);
    int r = l->backend->turn(l, work ? 0 : timers_next(&l->timers));

    if (r < 0)
        return r;
    loop_count(&l->stats.turns, 1);
    run_mail(l);
    l->stats.timers += timers_run(&l->timers, l->now);
    l->stats.timer_steps = l->timers.steps;
    run_queue(&l->soon);
    run_queue(&l->flushing);
    run_queue(&l->deferred);
    return 0;
}

int loop_run(struct loop *l)
{
    int r;

    l->running = true;
    l->now = clock_monotonic_ns();
    r = l->backend->start(l);
    while (r == 0 && !atomic_exchange_explicit(&l->stopping, false, memory_order_acquire))
        r = turn(l);
    l->backend->rest(l);
    l->running = false;
    return r;
}

void loop_stop(struct loop *l)
{
    atomic_fetch_add_explicit(&l->senders, 1, memory_order_relaxed);
    atomic_store_explicit(&l->stopping, true, memory_order_release);
    wake(l);
    atomic_fetch_sub_explicit(&l->senders, 1, memory_order_release);
}
