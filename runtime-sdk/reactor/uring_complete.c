/* uring_complete.c - what the kernel has done: its completions, in their order.
 *
 * On the loop's thread. They are told straight out of the ring. An operation
 * that has to end in the middle of that has its last completions behind others,
 * or behind the ring's end: all are taken out then, and told from memory. */
#include "reactor/uring_internal.h"

#include <stdlib.h>

bool uring_overflowed(const struct uring *u)
{
    return __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW;
}

static void complete(struct uring *u, const struct uring_completion *cqe)
{
    unsigned tag = cqe->user_data & TAG_MASK;
    void *object = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);

    switch (tag) {
    case TAG_RECV:
    case TAG_POLL:
        uring_conn_completed(object, tag, cqe);
        break;
    case TAG_SEND:
        ((struct conn *)object)->sending = cqe->res;
        break;
    case TAG_ACCEPT:
        uring_accept_completed(u, object, cqe);
        break;
    case TAG_WATCH:
        uring_watch_completed(u, cqe);
        break;
    case TAG_WAKE:
        u->wake_armed = false;
        loop_count(&u->loop->stats.wakeups, cqe->res == sizeof(u->wake_count));
        break;
    default:
        break;
    }
}

/* What takes the place of its name once it has been noted. */
static uint64_t note_send(uint64_t name, int result)
{
    if ((name & TAG_MASK) != TAG_SEND)
        return name;
    ((struct conn *)(uintptr_t)(name & ~(uint64_t)TAG_MASK))->sending = result;
    return TAG_NONE;
}

void uring_note_sends(struct uring *u)
{
    unsigned head = *u->ring.cq.khead, tail = io_uring_smp_load_acquire(u->ring.cq.ktail);

    for (size_t i = u->taken_at; i < u->taken_count; i++)
        u->taken[i].user_data = note_send(u->taken[i].user_data, u->taken[i].res);
    for (; head != tail; head++) {
        struct io_uring_cqe *cqe = &u->ring.cq.cqes[head & u->ring.cq.ring_mask];

        cqe->user_data = note_send(cqe->user_data, cqe->res);
    }
}

/* The oldest one in the ring, before `end`; false: none. */
static bool take(struct uring *u, unsigned end, struct uring_completion *ret)
{
    unsigned head = *u->ring.cq.khead;
    const struct io_uring_cqe *cqe = &u->ring.cq.cqes[head & u->ring.cq.ring_mask];

    if ((int)(end - head) <= 0)
        return false;
    *ret = (struct uring_completion){cqe->user_data, cqe->res, cqe->flags,
                                     uring_buffer_take(u, cqe->flags, cqe->res)};
    io_uring_cq_advance(&u->ring, 1);
    return true;
}

void uring_take_all(struct uring *u)
{
    struct uring_completion c;

    do {
        unsigned end = io_uring_smp_load_acquire(u->ring.cq.ktail);

        while (take(u, end, &c)) {
            if (u->taken_count == u->taken_capacity) {
                u->taken_capacity = u->taken_capacity ? u->taken_capacity * 2 : 64;
                u->taken = realloc(u->taken, u->taken_capacity * sizeof(*u->taken));
                if (!u->taken)
                    abort(); /* a few words for an operation that was allocated already */
            }
            u->taken[u->taken_count++] = c;
        }
        u->loop->stats.system_calls += uring_overflowed(u);
    } while (uring_overflowed(u) && io_uring_get_events(&u->ring) >= 0); /* < 0: not this thread's */
}

void uring_run_completions(struct uring *u)
{
    unsigned end = io_uring_smp_load_acquire(u->ring.cq.ktail);
    struct uring_completion c;

    /* Taken out first: a handler may look through what is left (uring_end_now). */
    for (;;) {
        if (u->taken_at < u->taken_count) {
            c = u->taken[u->taken_at++];
        } else {
            u->taken_at = u->taken_count = 0;
            if (!take(u, end, &c))
                return;
        }
        complete(u, &c);
    }
}

/* A call does some twenty pieces of it, and the end of a cancelled request, which is what lets go of its
 * descriptor, is one. Peers may add to it meanwhile, so there is a bound: what was there before is a piece
 * a request at most. */
void uring_run_work(struct uring *u)
{
    size_t calls = u->poll_count + 2 * u->conns.count + u->accepting.count + 1;

    while (calls-- && __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) {
        u->loop->stats.system_calls++;
        io_uring_get_events(&u->ring);
    }
}

void uring_end_now(struct uring *u, uint64_t name,
                   bool (*each)(void *object, const struct uring_completion *cqe), void *object)
{
    struct io_uring_sync_cancel_reg reg = {
        .addr = name, .fd = -1, .timeout = {.tv_sec = -1, .tv_nsec = -1}};
    bool ended = false;

    /* What is submitted and polled for is cancelled at once; its last completion is work that this
     * thread runs when it asks for events. */
    for (int tries = 0; !ended && tries < 100; tries++) {
        u->loop->stats.system_calls += 2;
        io_uring_register_sync_cancel(&u->ring, &reg);
        io_uring_submit_and_get_events(&u->ring);
        uring_run_work(u);
        uring_take_all(u);
        for (size_t i = u->taken_at; i < u->taken_count && !ended; i++) {
            if (u->taken[i].user_data == name) {
                ended = each(object, &u->taken[i]);
                u->taken[i].user_data = TAG_NONE;
            }
        }
    }
}
