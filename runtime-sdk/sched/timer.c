/* timer.c - the heap of timers of a processor.
 *
 * Four children to a node (after Go's timers): half as deep as a binary heap,
 * and the children that are compared lie in one or two cache lines. A timer
 * knows its place, so that it is taken out at once when its wait ends early,
 * as most do. */
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHILDREN = 4, FIRST_SIZE = 64 };

static void put(struct timer_heap *h, uint32_t i, struct timer_entry e)
{
    h->all[i] = e;
    e.task->timer.index = i;
}

static void sift_up(struct timer_heap *h, uint32_t i, struct timer_entry e)
{
    while (i) {
        uint32_t parent = (i - 1) / CHILDREN;

        if (h->all[parent].when <= e.when)
            break;
        put(h, i, h->all[parent]);
        i = parent;
    }
    put(h, i, e);
}

static void sift_down(struct timer_heap *h, uint32_t i, struct timer_entry e)
{
    for (;;) {
        uint32_t child = i * CHILDREN + 1, least = child, end;

        if (child >= h->count)
            break;
        end = h->count - child < CHILDREN ? h->count : child + CHILDREN;
        while (++child < end) {
            if (h->all[child].when < h->all[least].when)
                least = child;
        }
        if (h->all[least].when >= e.when)
            break;
        put(h, i, h->all[least]);
        i = least;
    }
    put(h, i, e);
}

/* True: it is sooner than it was. Sequentially consistent: see timer_start(). */
static bool tell_first(struct timer_heap *h)
{
    int64_t first = h->count ? h->all[0].when : INT64_MAX;
    int64_t was = atomic_load_explicit(&h->first, memory_order_relaxed);

    if (first != was)
        atomic_store_explicit(&h->first, first, memory_order_seq_cst);
    return first < was;
}

static void take_out(struct timer_heap *h, uint32_t i)
{
    struct task *t = h->all[i].task;
    struct timer_entry last = h->all[--h->count];

    if (last.task != t) {
        if (i && h->all[(i - 1) / CHILDREN].when > last.when)
            sift_up(h, i, last);
        else
            sift_down(h, i, last);
    }
    /* the last touch: the task may start its timer again once it reads this */
    atomic_store_explicit(&t->timer.heap, NULL, memory_order_release);
}

/* Room for `n` more; comes and goes with the lock held, but allocates without it: nobody else makes the
 * heap grow. */
static int reserve(struct timer_heap *h, uint32_t n)
{
    uint32_t size = h->size ? h->size : FIRST_SIZE;
    struct timer_entry *more, *was;

    if (h->size - h->count >= n)
        return 0;
    while (size - h->count < n)
        size *= 2;
    spin_release(&h->lock);
    more = malloc(size * sizeof(*more));
    spin_acquire(&h->lock);
    if (!more)
        return -ENOMEM;
    was = h->all;
    if (h->count)
        memcpy(more, was, h->count * sizeof(*more));
    h->all = more;
    h->size = size;
    spin_release(&h->lock);
    free(was);
    spin_acquire(&h->lock);
    return 0;
}

int timer_start(struct machine *m, struct task *t, int64_t when)
{
    struct timer_heap *h = &m->p->timers;
    bool sooner;

    spin_acquire(&h->lock);
    if (reserve(h, 1) < 0) {
        spin_release(&h->lock);
        return -ENOMEM;
    }
    t->timer.generation = wait_generation(t);
    atomic_store_explicit(&t->timer.heap, h, memory_order_relaxed);
    sift_up(h, h->count++, (struct timer_entry){when, t});
    sooner = tell_first(h);
    spin_release(&h->lock);
    /* A thread that goes to wait in the poller stores polled_at and poll_until and then reads every
     * `first`; here `first` is stored and then the two are read. All in one total order, so one of the
     * two sees the other. So it is with a thread that makes its processor idle, and then reads them. */
    if (sooner && (!atomic_load(&sched.polled_at) || atomic_load(&sched.idle_count)))
        timers_need_look(when);
    return 0;
}

void timer_stop(struct task *t)
{
    struct timer_heap *h;

    /* acquire: whoever took it out is behind with it. It may be moved between the look and the lock. */
    while ((h = atomic_load_explicit(&t->timer.heap, memory_order_acquire))) {
        spin_acquire(&h->lock);
        if (atomic_load_explicit(&t->timer.heap, memory_order_relaxed) == h) {
            take_out(h, t->timer.index);
            tell_first(h);
        }
        spin_release(&h->lock);
    }
}

int64_t timers_due(struct timer_heap *h, int64_t now, struct task_list *ret)
{
    int64_t first = atomic_load_explicit(&h->first, memory_order_acquire);

    if (first > now)
        return first;
    spin_acquire(&h->lock);
    for (unsigned n = 0; n < TIMERS_BATCH && h->count && h->all[0].when <= now; n++) {
        struct task *t = h->all[0].task;
        uint32_t generation = t->timer.generation;

        take_out(h, 0);
        if (wait_claim_generation(t, generation, -ETIMEDOUT))
            task_list_push(ret, t);
    }
    tell_first(h);
    first = atomic_load_explicit(&h->first, memory_order_relaxed);
    spin_release(&h->lock);
    return first;
}

int timers_move(struct timer_heap *to, struct timer_heap *from)
{
    struct timer_heap *low = to < from ? to : from, *high = to < from ? from : to;
    uint32_t count;
    int r;

    spin_acquire(&from->lock);
    count = from->count; /* it only shrinks meanwhile */
    spin_release(&from->lock);
    spin_acquire(&to->lock);
    r = reserve(to, count);
    spin_release(&to->lock);
    if (r < 0)
        return r;
    spin_acquire(&low->lock);
    spin_acquire(&high->lock);
    for (uint32_t i = 0; i < from->count; i++) {
        atomic_store_explicit(&from->all[i].task->timer.heap, to, memory_order_release);
        sift_up(to, to->count++, from->all[i]);
    }
    from->count = 0;
    tell_first(from);
    tell_first(to);
    spin_release(&high->lock);
    spin_release(&low->lock);
    return 0;
}

void timers_done(struct timer_heap *h)
{
    free(h->all);
    *h = (struct timer_heap){.first = INT64_MAX};
}
