/* uring_watch.c - bare descriptors on io_uring, level triggered as on epoll.
 *
 * On the loop's thread. One poll request a watch, asked again after its handler
 * has run; asking looks at the descriptor as it is then. A request is named by a
 * slot and its generation, so that the owner may free the watch at once.
 *
 * The kernel always reports a peer's half-close as well. Where that is all there
 * is and nobody asked, asking again would spin: such a watch is then asked for
 * changes alone. */
#include "reactor/uring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static uint64_t name_of(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | slot << 4 | TAG_WATCH;
}

static void mark(struct uring *u, uint32_t slot)
{
    if (u->polls[slot].dirty)
        return;
    u->polls[slot].dirty = true;
    vector_push(&u->polls_dirty, slot);
}

static uint32_t take_slot(struct uring *u)
{
    if (u->polls_free.count)
        return (uint32_t)u->polls_free.at[--u->polls_free.count];
    u->polls = realloc(u->polls, (u->poll_count + 1) * sizeof(*u->polls));
    if (!u->polls)
        abort(); /* a few words for a descriptor that is open already */
    u->polls[u->poll_count] = (struct uring_poll){0};
    return (uint32_t)u->poll_count++;
}

/* As epoll(7) has it: a second watch on a descriptor would go on alone when the first is cancelled. */
static int claim(struct uring *u, int fd)
{
    size_t word = (size_t)fd / 64, n = u->watched_words;
    uint64_t bit = 1ull << fd % 64, *grown;

    if (fcntl(fd, F_GETFD) < 0)
        return -errno;
    if (word >= n) {
        grown = realloc(u->watched, 2 * (word + 1) * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        u->watched = grown;
        u->watched_words = 2 * (word + 1);
        memset(grown + n, 0, (u->watched_words - n) * sizeof(*grown));
    }
    if (u->watched[word] & bit)
        return -EEXIST;
    u->watched[word] |= bit;
    return 0;
}

int uring_watch_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct uring *u = uring_of(l);

    if (!w->events) {
        int r = claim(u, w->fd);

        if (r < 0)
            return r;
        w->slot = take_slot(u);
        u->polls[w->slot].watch = w;
    }
    w->events = events;
    mark(u, w->slot);
    return 0;
}

void uring_watch_cancel(struct loop *l, struct loop_watch *w)
{
    struct uring *u = uring_of(l);

    u->polls[w->slot].watch = NULL;
    u->watched[w->fd / 64] &= ~(1ull << w->fd % 64);
    mark(u, w->slot);
    w->events = 0;
    w->slot = 0;
    if (!l->running)
        uring_settle(u);
}

static void prepare(struct uring *u, uint32_t slot)
{
    struct uring_poll *p = &u->polls[slot];
    uint32_t want = p->watch ? p->watch->events | LOOP_HANGUP : 0;
    struct io_uring_sqe *e;

    p->dirty = false;
    if (p->armed && p->armed != want) {
        uring_cancel(u, name_of(slot, p->generation));
        p->armed = 0;
    }
    if (!want) {
        p->generation++;
        p->multishot = false;
        vector_push(&u->polls_free, slot);
    } else if (!p->armed) {
        p->generation++;
        e = uring_sqe(u);
        e->opcode = IORING_OP_POLL_ADD;
        e->fd = p->watch->fd;
        e->len = p->multishot ? IORING_POLL_ADD_MULTI : 0;
        e->poll32_events = want;
        e->user_data = name_of(slot, p->generation);
        p->armed = want;
    }
}

void uring_watches_prepare(struct uring *u)
{
    for (size_t i = 0; i < u->polls_dirty.count; i++)
        prepare(u, (uint32_t)u->polls_dirty.at[i]);
    u->polls_dirty.count = 0;
}

void uring_watches_forget(struct uring *u)
{
    for (uint32_t i = 0; i < u->poll_count; i++) {
        u->polls[i].armed = 0;
        u->polls[i].generation++;
        if (u->polls[i].watch)
            mark(u, i);
    }
}

void uring_watch_completed(struct uring *u, const struct uring_completion *cqe)
{
    uint32_t slot = (uint32_t)cqe->user_data >> 4, told, asked;
    struct uring_poll *p = &u->polls[slot];
    bool more = cqe->flags & IORING_CQE_F_MORE;

    if (p->generation != (uint32_t)(cqe->user_data >> 32) || !p->watch || !p->armed)
        return;
    asked = p->armed;
    told = cqe->res < 0 ? LOOP_HANGUP : (uint32_t)cqe->res & (POLLIN | POLLOUT | POLLRDHUP);
    told &= asked;
    if (cqe->res >= 0 && cqe->res & (POLLHUP | POLLERR))
        told |= LOOP_HANGUP;
    if (!more || told) {
        if (more) /* its handler's time has come: the state counts again */
            uring_cancel(u, name_of(slot, p->generation));
        p->armed = 0;
        mark(u, slot);
    }
    p->multishot = !told;
    if (told) {
        u->loop->stats.events++;
        p->watch->fn(p->watch, told);
    }
}
