/* select.c - waiting for one of several channels.
 *
 * All channels are locked together, in the order of their addresses (each once):
 * what is found is of one instant, as with Go, and two selects that look for each
 * other cannot both go to sleep, nor wait for each other's locks. The wait is
 * opened once and put on every channel's list; the locks are released before the
 * task has left its stack, which a claim may overtake (task.h). Whoever claims
 * the wait does it with the index of the case; the others find it claimed. The
 * task then takes its waiters off the other lists itself. */
#include "sched/chan.h"

#include <errno.h>
#include <stdlib.h>

enum { SELECT_SMALL = 8 }; /* cases for which the stack has room */

struct selection {
    struct rouse_case *cases;
    uint32_t n;
    uint32_t live;    /* those with a channel */
    uint32_t *order;  /* the indexes of them, by address */
    struct waiter *w; /* one to a case */
};

static uintptr_t address_of(const struct selection *s, uint32_t i)
{
    return (uintptr_t)s->cases[s->order[i]].chan;
}

static void sift_down(const struct selection *s, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        uint32_t swap = s->order[at];

        if (child + 1 < n && address_of(s, child + 1) > address_of(s, child))
            child++;
        if (address_of(s, at) >= address_of(s, child))
            return;
        s->order[at] = s->order[child];
        s->order[child] = swap;
    }
}

/* A heap sort: n log n whatever the addresses, and no memory. */
static void sort(const struct selection *s)
{
    for (uint32_t i = s->live / 2; i--;)
        sift_down(s, i, s->live);
    for (uint32_t i = s->live; i-- > 1;) {
        uint32_t last = s->order[i];

        s->order[i] = s->order[0];
        s->order[0] = last;
        sift_down(s, 0, i);
    }
}

static bool same_as_before(const struct selection *s, uint32_t i)
{
    return i && address_of(s, i) == address_of(s, i - 1);
}

static void acquire_all(const struct selection *s)
{
    if (sched_alone())
        return;
    for (uint32_t i = 0; i < s->live; i++) {
        if (!same_as_before(s, i))
            chan_acquire(s->cases[s->order[i]].chan);
    }
}

static void release_all(const struct selection *s)
{
    for (uint32_t i = 0; i < s->live; i++) {
        if (!same_as_before(s, i))
            chan_release(s->cases[s->order[i]].chan);
    }
}

/* It may be that all who wait were ended by others: then it is not ready after all. */
static bool seems_ready(const struct rouse_case *c)
{
    const struct rouse_chan *ch = c->chan;
    size_t count = atomic_load_explicit(&ch->count, memory_order_relaxed);

    if (ch->closed)
        return true;
    if (c->direction == ROUSE_SEND)
        return ch->receivers.first || count < ch->capacity;
    return count || ch->senders.first;
}

/* One of those that seem ready, each with the same chance: the k-th found replaces the choice with 1/k. */
static uint32_t choose(struct machine *m, const struct selection *s)
{
    uint32_t chosen = s->n, found = 0;

    for (uint32_t i = 0; i < s->live; i++) {
        if (seems_ready(&s->cases[s->order[i]]) &&
            (!found++ || ((processor_random(m->p) >> 32) * found) >> 32 == 0))
            chosen = s->order[i];
    }
    return chosen;
}

/* With all locks held, which it releases if it returns the index of the case that it did; -EAGAIN: none. */
static int do_one(struct machine *m, const struct selection *s)
{
    for (;;) {
        uint32_t i = choose(m, s);
        struct rouse_case *c = &s->cases[i];
        struct waiter *other;
        int r;

        if (i == s->n)
            return -EAGAIN;
        r = c->direction == ROUSE_SEND ? chan_send_now(c->chan, c->item, &other)
                                       : chan_receive_now(c->chan, c->item, &other);
        if (r == -EAGAIN)
            continue; /* those who waited are off the list now */
        release_all(s);
        if (other && c->direction == ROUSE_SEND)
            chan_send_to(m, c->chan, other, c->item);
        else if (other)
            chan_receive_from(m, c->chan, other, c->item);
        c->result = r;
        return (int)i;
    }
}

static struct waiters *list_of(const struct rouse_case *c)
{
    return c->direction == ROUSE_SEND ? &c->chan->senders : &c->chan->receivers;
}

static void wait_in_all(struct machine *m, const struct selection *s)
{
    for (uint32_t k = 0; k < s->live; k++) {
        uint32_t i = s->order[k];
        struct waiter *w = &s->w[i];

        *w = (struct waiter){.task = m->current, .item = s->cases[i].item, .index = i};
        waiters_push(list_of(&s->cases[i]), w);
    }
}

/* `but` was taken off by the one who claimed it; -1: nobody did. Its channel may be gone. */
static void leave_all(const struct selection *s, int but)
{
    for (uint32_t k = 0; k < s->live; k++) {
        uint32_t i = s->order[k];
        const struct rouse_case *c = &s->cases[i];

        if ((int)i == but)
            continue;
        chan_acquire(c->chan);
        waiters_remove(list_of(c), &s->w[i]);
        chan_release(c->chan);
    }
}

static int select_in(struct machine *m, struct selection *s, int64_t deadline)
{
    int r;

    sort(s);
    acquire_all(s);
    r = do_one(m, s);
    if (r != -EAGAIN)
        goto out;
    r = wait_open_until(m, "select", deadline);
    if (r < 0) {
        release_all(s);
        goto out;
    }
    wait_in_all(m, s);
    release_all(s);
    r = wait_park(&m, NULL, deadline);
    leave_all(s, r);
    if (r >= 0)
        s->cases[r].result = s->w[r].result;
out:
    sched_leave(m);
    return r;
}

int rouse_select(struct rouse_case *cases, size_t n, int64_t deadline)
{
    uint32_t small_order[SELECT_SMALL], *big_order = NULL;
    struct waiter small[SELECT_SMALL], *big = NULL;
    struct selection s = {.cases = cases, .order = small_order, .w = small};
    struct machine *m;
    int r = -ENOMEM;

    if (n > SELECT_MAX)
        return -EINVAL;
    if (n > SELECT_SMALL) {
        s.w = big = malloc(n * sizeof(*big));
        s.order = big_order = malloc(n * sizeof(*big_order));
        if (!big || !big_order)
            goto out;
    }
    s.n = (uint32_t)n;
    for (uint32_t i = 0; i < s.n; i++) {
        if (cases[i].chan)
            s.order[s.live++] = i;
    }
    m = sched_enter();
    r = m ? select_in(m, &s, deadline) : -EPERM;
out:
    free(big);
    free(big_order);
    return r;
}
