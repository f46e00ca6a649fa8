/* chan.h - a channel's inside, which select looks at too.
 *
 * Everything but `item` and `capacity` is under the spin. Only tasks that hold
 * a processor take it, and none of them waits or loses its processor while it
 * has it: with a single processor, of which a change stops the world, nobody
 * else can have it, and it is not taken at all. */
#pragma once
#include "sched/waiters.h"

#include <string.h>

enum { CHAN_ITEM_MAX = 64 << 10, SELECT_MAX = 1024 };

struct rouse_chan {
    struct spin lock;
    uint32_t item;
    size_t capacity;
    _Atomic size_t count; /* of items in the ring; read by rouse_chan_size() without the lock */
    size_t head;          /* the oldest of them */
    struct waiters receivers, senders;
    bool closed;
    _Alignas(16) char ring[];
};

static inline void chan_acquire(struct rouse_chan *ch)
{
    if (!sched_alone())
        spin_acquire(&ch->lock);
}
static inline void chan_release(struct rouse_chan *ch)
{
    spin_release(&ch->lock);
}
static inline void chan_copy(const struct rouse_chan *ch, void *to, const void *from)
{
    if (ch->item == sizeof(uint64_t)) {
        if (to)
            memcpy(to, from, sizeof(uint64_t));
    } else if (to && ch->item) {
        memcpy(to, from, ch->item);
    }
}
/* What can be done without waiting, with the spin held: 0, -EPIPE, or -EAGAIN. *ret_other is the waiter it was
 * done with, or NULL: the caller gives it to chan_send_to() or chan_receive_from() after the release. */
int chan_send_now(struct rouse_chan *ch, const void *item, struct waiter **ret_other);
int chan_receive_now(struct rouse_chan *ch, void *ret, struct waiter **ret_other);
/* The other one's wait is ours since it was claimed: no lock is needed to copy, and it goes on afterwards. */
static inline void chan_send_to(struct machine *m, const struct rouse_chan *ch,
                                struct waiter *other, const void *item)
{
    chan_copy(ch, other->item, item);
    task_ready(m, other->task);
}
static inline void chan_receive_from(struct machine *m, const struct rouse_chan *ch,
                                     struct waiter *other, void *ret)
{
    /* Of a channel with a buffer: its item went to the buffer under the lock. */
    if (!ch->capacity)
        chan_copy(ch, ret, other->item);
    task_ready(m, other->task);
}
