/* outbox.c - see outbox.h. */
#include "sdk/outbox.h"

#include "rouse/net.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

enum { KEEP_MAX = 1 << 20, PART = 256 << 10, LAST_WORD_TRIES = 100, LOOK_NS = 10 * 1000 * 1000 };

/* IDLE -> OWNED, by whoever flushes -> SENDING, around each send(2) -> OWNED -> IDLE.
 * IDLE or OWNED -> LAST, by a crash: nobody sends any more, and `flight` is at the end of a send. */
enum outbox_state { OUTBOX_IDLE, OUTBOX_OWNED, OUTBOX_SENDING, OUTBOX_LAST };

void outbox_init(struct outbox *o, int fd)
{
    *o = (struct outbox){.fd = fd};
}

void outbox_done(struct outbox *o)
{
    buffer_done(&o->flight);
    buffer_done(&o->pending);
}

/* ---- queueing */

int outbox_queue(struct outbox *o, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n)
{
    int r;

    spin_acquire(&o->lock);
    r = frame_append(&o->pending, type, flags, id, payload, n);
    if (r == 0)
        atomic_fetch_add(&o->waiting, FRAME_HEADER + n);
    spin_release(&o->lock);
    return r;
}

int outbox_queue_body(struct outbox *o, enum frame_type type, uint8_t flags, uint64_t id,
                      const uint8_t *body, size_t n)
{
    for (;;) {
        size_t part = n < PART ? n : PART;
        uint8_t fin = part == n ? FRAME_FIN : 0;
        int r = outbox_queue(o, type, (uint8_t)(flags | fin), id, body, part);

        if (r < 0 || fin)
            return r;
        body += part;
        n -= part;
        type = FRAME_BODY;
        flags = 0;
        (void)outbox_wait_room(o, ROUSE_NEVER);
    }
}

int outbox_wait_room(struct outbox *o, int64_t deadline)
{
    int r = 0;

    if (atomic_load(&o->waiting) < OUTBOX_ROOM)
        return 0;
    outbox_flush(o);
    if (atomic_load(&o->waiting) < OUTBOX_ROOM)
        return 0;
    r = rouse_mutex_lock(&o->room_lock, deadline);
    if (r < 0)
        return r;
    atomic_fetch_add(&o->crowd, 1);
    while (r == 0 && atomic_load(&o->waiting) >= OUTBOX_ROOM) {
        int64_t look = rouse_after(LOOK_NS);

        r = rouse_cond_wait(&o->room, &o->room_lock, look < deadline ? look : deadline);
        if (r == -ETIMEDOUT && rouse_now() < deadline)
            r = 0;
    }
    atomic_fetch_sub(&o->crowd, 1);
    rouse_mutex_unlock(&o->room_lock);
    return r;
}

/* A waiter counts itself and then looks at `waiting`; here it is the other way round. A thread that is no
 * task, or a task that is cancelled, may not get the mutex: waiters look again by themselves. */
static void make_room(struct outbox *o, size_t n)
{
    atomic_fetch_sub(&o->waiting, n);
    if (!atomic_load(&o->crowd) || atomic_load(&o->waiting) >= OUTBOX_ROOM ||
        rouse_mutex_lock(&o->room_lock, ROUSE_NEVER) < 0)
        return;
    rouse_cond_broadcast(&o->room);
    rouse_mutex_unlock(&o->room_lock);
}

/* ---- sending */

/* What is pending is in flight then. False: nothing was, and the state is IDLE. Both under one lock, so
 * that whoever queued and found the state taken is not forgotten. */
static bool take_pending(struct outbox *o)
{
    struct buffer empty = o->flight;
    bool some;

    if (empty.capacity > KEEP_MAX)
        buffer_done(&empty);
    buffer_clear(&empty);
    spin_acquire(&o->lock);
    some = buffer_size(&o->pending);
    if (some) {
        o->flight = o->pending;
        o->pending = empty;
    } else {
        uint32_t owned = OUTBOX_OWNED;

        o->flight = empty;
        atomic_compare_exchange_strong(&o->state, &owned, OUTBOX_IDLE);
    }
    spin_release(&o->lock);
    return some;
}

__attribute__((noinline)) static ssize_t send_some(int fd, const void *data, size_t n)
{
    ssize_t sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

    return sent < 0 ? -errno : sent;
}

void outbox_give_up(struct outbox *o)
{
    atomic_store(&o->failed, true);
    (void)shutdown(o->fd, SHUT_RDWR);
}

static bool change(struct outbox *o, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&o->state, &from, to);
}

/* 0: all is out, or whoever has the state sees to it. -EAGAIN: the socket is full. */
static int try_flush(struct outbox *o)
{
    if (!change(o, OUTBOX_IDLE, OUTBOX_OWNED))
        return 0;
    for (;;) {
        size_t size;
        ssize_t n;

        if (!buffer_size(&o->flight) && !take_pending(o))
            return 0;
        size = buffer_size(&o->flight);
        if (!change(o, OUTBOX_OWNED, OUTBOX_SENDING))
            return 0;
        n = atomic_load(&o->failed) ? (ssize_t)size
                                    : send_some(o->fd, buffer_bytes(&o->flight), size);
        if (n > 0)
            buffer_consume(&o->flight, (size_t)n);
        atomic_store(&o->state, OUTBOX_OWNED);
        if (n > 0)
            make_room(o, (size_t)n);
        else if (n == -EAGAIN)
            return change(o, OUTBOX_OWNED, OUTBOX_IDLE) ? -EAGAIN : 0;
        else if (n != -EINTR)
            outbox_give_up(o);
    }
}

static void wait_without_a_task(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    (void)poll(&p, 1, -1);
}

static void flush_all(struct outbox *o)
{
    while (try_flush(o) == -EAGAIN) {
        if (rouse_wait_fd(o->fd, POLLOUT, ROUSE_NEVER) < 0)
            wait_without_a_task(o->fd); /* also for the task that is cancelled by the end of the run */
    }
}

static void flush_later(void *arg)
{
    struct outbox *o = arg;

    rouse_yield();
    atomic_store(&o->soon, false);
    flush_all(o);
}

/* What was queued before `attended` was found set is flushed after it is cleared. */
void outbox_attend(struct outbox *o)
{
    atomic_store(&o->attended, true);
    rouse_yield();
    atomic_store(&o->attended, false);
    if (atomic_load(&o->waiting))
        outbox_flush(o);
}

void outbox_flush_soon(struct outbox *o)
{
    if (atomic_load(&o->attended))
        return;
    if (!atomic_exchange(&o->soon, true) && rouse_spawn(flush_later, o) < 0) {
        atomic_store(&o->soon, false);
        flush_all(o);
    }
}

void outbox_flush(struct outbox *o)
{
    if (try_flush(o) == -EAGAIN)
        outbox_flush_soon(o); /* the caller may be cancelled, and could not wait */
}

/* ---- from a signal handler */

static void send_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t sent = send_some(fd, p, n);

        if (sent == -EAGAIN)
            wait_without_a_task(fd);
        else if (sent < 0 && sent != -EINTR)
            return;
        else if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
    }
}

static bool take_for_ever(struct outbox *o)
{
    for (int i = 0; i < LAST_WORD_TRIES; i++) {
        if (change(o, OUTBOX_IDLE, OUTBOX_LAST) || change(o, OUTBOX_OWNED, OUTBOX_LAST))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static bool lock_for_ever(struct outbox *o)
{
    for (int i = 0; i < LAST_WORD_TRIES; i++) {
        if (spin_try(&o->lock))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

void outbox_last_word(struct outbox *o, const void *data, size_t n)
{
    bool locked;

    if (!take_for_ever(o))
        return;
    locked = lock_for_ever(o);
    send_all(o->fd, buffer_bytes(&o->flight), buffer_size(&o->flight));
    if (locked)
        send_all(o->fd, buffer_bytes(&o->pending), buffer_size(&o->pending));
    send_all(o->fd, data, n);
}
