/* uring_accept.c - a listener on io_uring: one multishot accept while it may take connections.
 *
 * On the loop's thread. Multishot takes whatever the backlog holds, so close to
 * its limit a listener accepts one at a time, and what came after it had enough
 * is held until it may go on. The listening descriptor is never registered: the
 * kernel releases a registered one some time after the process has gone, and its
 * port with it. */
#include "reactor/uring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTING = 1, CANCELLED = 2, LISTED = 4, KNOWN = 8, MULTISHOT_ROOM = 64 };

static void mark(struct listener *ls)
{
    if (ls->watch.events & LISTED)
        return;
    ls->watch.events |= LISTED;
    vector_push(&uring_of(ls->loop)->listeners, (uintptr_t)ls);
}

int uring_accept_set(struct listener *ls, bool on)
{
    if (!(ls->watch.events & KNOWN)) {
        vector_push(&uring_of(ls->loop)->accepting, (uintptr_t)ls);
        ls->watch.events |= KNOWN;
    }
    ls->on = on;
    mark(ls);
    if (on && ls->held_at < ls->held_count)
        uring_of(ls->loop)->held = true;
    return 0;
}

static void prepare(struct uring *u, struct listener *ls)
{
    unsigned held = ls->held_count - ls->held_at, room = ls->max - ls->open;
    struct io_uring_sqe *e;

    ls->watch.events &= ~(unsigned)LISTED;
    if (ls->on && !held && !(ls->watch.events & ACCEPTING)) {
        e = uring_sqe(u);
        e->opcode = IORING_OP_ACCEPT;
        e->fd = ls->watch.fd;
        e->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
        e->ioprio = room >= MULTISHOT_ROOM ? IORING_ACCEPT_MULTISHOT : 0;
        e->user_data = uring_name(ls, TAG_ACCEPT);
        ls->watch.events |= ACCEPTING;
    } else if (!ls->on && (ls->watch.events & (ACCEPTING | CANCELLED)) == ACCEPTING) {
        uring_cancel(u, uring_name(ls, TAG_ACCEPT));
        ls->watch.events |= CANCELLED;
    }
}

void uring_accepts_prepare(struct uring *u)
{
    size_t kept = 0;

    for (size_t i = 0; i < u->listeners.count; i++) {
        struct listener *ls = (struct listener *)u->listeners.at[i];

        prepare(u, ls);
        if (ls->on && ls->held_at < ls->held_count) { /* uring_accepts_held() of this turn looks for it */
            ls->watch.events |= LISTED;
            u->listeners.at[kept++] = (uintptr_t)ls;
        }
    }
    u->listeners.count = kept;
}

static void hold(struct listener *ls, int fd)
{
    int *grown = realloc(ls->held, (ls->held_count + 1) * sizeof(*grown));

    if (!grown) {
        close(fd);
        return;
    }
    ls->held = grown;
    ls->held[ls->held_count++] = fd;
}

void uring_accept_completed(struct uring *u, struct listener *ls, const struct uring_completion *cqe)
{
    int fd = cqe->res;

    (void)u;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        ls->watch.events &= ~(unsigned)(ACCEPTING | CANCELLED);
        mark(ls);
    }
    if (fd == -ECANCELED || fd == -EAGAIN)
        return;
    ls->loop->stats.events++;
    fd = loop_fault(ls->loop, FAULT_ACCEPT, fd);
    if (fd >= 0 && (!ls->on || ls->held_at < ls->held_count || ls->open >= ls->max))
        hold(ls, fd);
    else
        listener_accepted(ls, fd); /* may free it */
}

static void hand_on(struct listener *ls)
{
    while (ls->held_at < ls->held_count && ls->on) {
        if (!listener_accepted(ls, ls->held[ls->held_at++]))
            return;
    }
    if (ls->held_at == ls->held_count) {
        free(ls->held);
        ls->held = NULL;
        ls->held_at = ls->held_count = 0;
    }
}

void uring_accepts_held(struct uring *u)
{
    size_t n = u->listeners.count;

    u->held = false;
    for (size_t i = 0; i < n && i < u->listeners.count; i++)
        hand_on((struct listener *)u->listeners.at[i]);
}

static bool ended(void *object, const struct uring_completion *cqe)
{
    struct listener *ls = object;

    if (cqe->res >= 0)
        close(cqe->res);
    if (cqe->flags & IORING_CQE_F_MORE)
        return false;
    ls->watch.events = 0;
    return true;
}

void uring_accepts_forget(struct uring *u)
{
    for (size_t i = 0; i < u->accepting.count; i++) {
        struct listener *ls = (struct listener *)u->accepting.at[i];

        ls->watch.events &= ~(unsigned)(ACCEPTING | CANCELLED);
        mark(ls);
    }
}

void uring_accept_done(struct listener *ls)
{
    struct uring *u = uring_of(ls->loop);

    while (ls->held_at < ls->held_count)
        close(ls->held[ls->held_at++]);
    free(ls->held);
    ls->held = NULL;
    if (ls->watch.events & LISTED)
        vector_remove(&u->listeners, (uintptr_t)ls);
    vector_remove(&u->accepting, (uintptr_t)ls);
    if (ls->watch.events & ACCEPTING && uring_mine(u))
        uring_end_now(u, uring_name(ls, TAG_ACCEPT), ended, ls);
}
