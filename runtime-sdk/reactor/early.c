/* early.c - watches that are told before all else of their turn, in the order of who wrote.
 *
 * They hang on an epoll of their own, which is asked after each wait. What a writer put there before it
 * wrote to something that the wait has told is there by then, whatever the order in which the kernel
 * lists what is ready. The backend watches that epoll to be woken, and no more. On the loop's thread. */
#include "reactor/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EARLY_BATCH = 256 };

struct early {
    struct loop_watch watch; /* of the epoll itself */
    unsigned count;
    int told; /* of the batch being told; a cancelled watch is blanked in it */
    struct epoll_event events[EARLY_BATCH];
};

static void woken(struct loop_watch *w, uint32_t events)
{
    (void)w, (void)events;
}

static int early_open(struct loop *l)
{
    struct early *e = calloc(1, sizeof(*e));
    int r;

    if (!e)
        return -ENOMEM;
    e->watch = (struct loop_watch){.fd = epoll_create1(EPOLL_CLOEXEC), .fn = woken};
    r = e->watch.fd < 0 ? -errno : l->backend->watch_set(l, &e->watch, LOOP_READ);
    if (r < 0) {
        if (e->watch.fd >= 0)
            close(e->watch.fd);
        free(e);
        return r;
    }
    l->early = e;
    return 0;
}

void early_done(struct loop *l)
{
    if (!l->early)
        return;
    close(l->early->watch.fd);
    free(l->early);
    l->early = NULL;
}

int early_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events & ~(uint32_t)LOOP_HANGUP, .data.ptr = w};
    int r = l->early ? 0 : early_open(l);

    if (r < 0)
        return r;
    l->stats.system_calls++;
    if (epoll_ctl(l->early->watch.fd, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return -errno;
    l->early->count += !w->events;
    w->events = events;
    return 0;
}

void early_cancel(struct loop *l, struct loop_watch *w)
{
    struct epoll_event unused = {0};

    w->events = 0;
    l->early->count--;
    l->stats.system_calls++;
    epoll_ctl(l->early->watch.fd, EPOLL_CTL_DEL, w->fd, &unused);
    /* Its owner may free it now, so the rest of this batch must not name it. */
    for (int i = 0; i < l->early->told; i++) {
        if (l->early->events[i].data.ptr == w)
            l->early->events[i].data.ptr = NULL;
    }
}

void early_tell(struct loop *l)
{
    struct early *e = l->early;

    l->early_told = true;
    if (!e || !e->count)
        return;
    l->stats.system_calls++;
    e->told = epoll_wait(e->watch.fd, e->events, EARLY_BATCH, 0);
    l->early_told = e->told >= 0 && e->told < EARLY_BATCH; /* a full batch may not be all */
    for (int i = 0; i < e->told; i++) {
        struct loop_watch *w = e->events[i].data.ptr;
        uint32_t got = e->events[i].events;

        if (!w)
            continue;
        l->stats.events++;
        w->fn(w, (got & (EPOLLIN | EPOLLOUT | EPOLLRDHUP)) |
                     (got & (EPOLLHUP | EPOLLERR) ? (uint32_t)LOOP_HANGUP : 0));
    }
    e->told = 0;
}
