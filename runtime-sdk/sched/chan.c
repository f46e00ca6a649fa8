/* chan.c - channels: a ring of items, and the tasks that wait to send or to receive.
 *
 * While tasks wait to receive the ring is empty, while tasks wait to send it is
 * full. So an item goes straight from stack to stack when somebody waits for
 * it, and a receiver that makes room moves the first sender's item into it. */
#include "sched/chan.h"

#include <errno.h>
#include <stdlib.h>

int rouse_chan_new(size_t item, size_t capacity, struct rouse_chan **ret)
{
    struct rouse_chan *ch;

    if (item > CHAN_ITEM_MAX || capacity > SIZE_MAX / 2)
        return -EINVAL;
    if (item && capacity > (PTRDIFF_MAX - sizeof(*ch)) / item)
        return -ENOMEM;
    ch = malloc(sizeof(*ch) + item * capacity);
    if (!ch)
        return -ENOMEM;
    memset(ch, 0, sizeof(*ch));
    ch->item = (uint32_t)item;
    ch->capacity = capacity;
    *ret = ch;
    return 0;
}

struct rouse_chan *rouse_chan_free(struct rouse_chan *ch)
{
    free(ch);
    return NULL;
}

size_t rouse_chan_size(const struct rouse_chan *ch)
{
    return atomic_load_explicit(&ch->count, memory_order_relaxed);
}

static size_t ring_count(const struct rouse_chan *ch)
{
    return atomic_load_explicit(&ch->count, memory_order_relaxed);
}

/* Behind the last item, into which there is room for one. */
static void ring_put(struct rouse_chan *ch, size_t count, const void *item)
{
    size_t at = ch->head + count;

    if (at >= ch->capacity)
        at -= ch->capacity;
    chan_copy(ch, ch->ring + at * ch->item, item);
    atomic_store_explicit(&ch->count, count + 1, memory_order_relaxed);
}

static void ring_take(struct rouse_chan *ch, size_t count, void *ret)
{
    chan_copy(ch, ret, ch->ring + ch->head * ch->item);
    if (++ch->head == ch->capacity)
        ch->head = 0;
    atomic_store_explicit(&ch->count, count - 1, memory_order_relaxed);
}

int chan_send_now(struct rouse_chan *ch, const void *item, struct waiter **ret_other)
{
    size_t count;

    *ret_other = NULL;
    if (ch->closed)
        return -EPIPE;
    if (ch->receivers.first && (*ret_other = waiters_claim(&ch->receivers)))
        return 0;
    count = ring_count(ch);
    if (count == ch->capacity)
        return -EAGAIN;
    ring_put(ch, count, item);
    return 0;
}

int chan_receive_now(struct rouse_chan *ch, void *ret, struct waiter **ret_other)
{
    size_t count = ring_count(ch);

    *ret_other = NULL;
    if (count)
        ring_take(ch, count, ret);
    if (ch->senders.first && (*ret_other = waiters_claim(&ch->senders))) {
        if (count)
            ring_put(ch, count - 1, (*ret_other)->item);
        return 0;
    }
    if (count)
        return 0;
    return ch->closed ? -EPIPE : -EAGAIN;
}

/* The spin is held, and released. */
static int chan_wait(struct machine *m, struct rouse_chan *ch, struct waiters *l, void *item,
                     int64_t deadline, const char *what)
{
    struct waiter w = {.item = item};
    int r;

    r = wait_open_until(m, what, deadline);
    if (r < 0) {
        chan_release(ch);
        sched_leave(m);
        return r;
    }
    w.task = m->current;
    waiters_push(l, &w);
    r = wait_park(&m, &ch->lock, deadline);
    if (r < 0) {
        chan_acquire(ch);
        waiters_remove(l, &w);
        chan_release(ch);
    } else {
        r = w.result;
    }
    sched_leave(m);
    return r;
}

int rouse_chan_send(struct rouse_chan *ch, const void *item, int64_t deadline)
{
    struct machine *m = sched_enter();
    struct waiter *other;
    int r;

    if (!m)
        return -EPERM;
    chan_acquire(ch);
    r = chan_send_now(ch, item, &other);
    if (r == -EAGAIN)
        return chan_wait(m, ch, &ch->senders, (void *)(uintptr_t)item, deadline, "channel send");
    chan_release(ch);
    if (other)
        chan_send_to(m, ch, other, item);
    sched_leave(m);
    return r;
}

int rouse_chan_receive(struct rouse_chan *ch, void *ret, int64_t deadline)
{
    struct machine *m = sched_enter();
    struct waiter *other;
    int r;

    if (!m)
        return -EPERM;
    chan_acquire(ch);
    r = chan_receive_now(ch, ret, &other);
    if (r == -EAGAIN)
        return chan_wait(m, ch, &ch->receivers, ret, deadline, "channel receive");
    chan_release(ch);
    if (other)
        chan_receive_from(m, ch, other, ret);
    sched_leave(m);
    return r;
}

int rouse_chan_close(struct rouse_chan *ch)
{
    struct machine *m = sched_enter();
    struct task_list woken = {0};
    int r = -EPIPE;

    if (!m)
        return -EPERM;
    chan_acquire(ch);
    if (!ch->closed) {
        ch->closed = true;
        waiters_claim_all(&ch->receivers, -EPIPE, &woken);
        waiters_claim_all(&ch->senders, -EPIPE, &woken);
        r = 0;
    }
    chan_release(ch);
    task_ready_list(m, &woken);
    sched_leave(m);
    return r;
}
