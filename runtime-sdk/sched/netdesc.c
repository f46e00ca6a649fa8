/* netdesc.c - the table of descriptors: what they are, their registration, their edges, their end. */
#include "sched/netdesc.h"

#include "sched/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHUNK = 256,
    CHUNKS = 65536, /* 16 million: more than any RLIMIT_NOFILE there is */
    IDLE_EDGES = 8,
};

static _Atomic(struct netdesc *) chunks[CHUNKS];
static struct lock registering;

static struct netdesc *chunk_new(_Atomic(struct netdesc *) *at)
{
    struct netdesc *was = NULL, *c = aligned_alloc(_Alignof(struct netdesc), CHUNK * sizeof(*c));

    if (!c)
        return NULL;
    for (unsigned i = 0; i < CHUNK; i++) {
        c[i] = (struct netdesc){.edge = SIDE_READ | SIDE_WRITE};
        list_init(&c[i].parked);
        list_init(&c[i].queue);
    }
    if (atomic_compare_exchange_strong(at, &was, c))
        return c;
    free(c);
    return was;
}

int netdesc_get(int fd, struct netdesc **ret)
{
    struct netdesc *c;

    if (fd < 0)
        return -EBADF;
    if (fd >= CHUNK * CHUNKS)
        return -EMFILE;
    c = atomic_load_explicit(&chunks[fd / CHUNK], memory_order_acquire);
    if (__builtin_expect(!c, 0) && !(c = chunk_new(&chunks[fd / CHUNK])))
        return -ENOMEM;
    *ret = &c[fd % CHUNK];
    return 0;
}

/* The spin is held. Edges of before are of another generation. */
static void forget(struct netdesc *d, enum netdesc_kind kind)
{
    d->generation++;
    d->kind = (uint8_t)kind;
    d->interest = d->sticky = d->idle_edges = 0;
    d->edge = SIDE_READ | SIDE_WRITE; /* nothing is known: the first call is tried */
    d->closing = NETDESC_OPEN;
}

/* Not freed: other threads may make sockets at this moment, and the next rouse_run() has it all again. */
void netdescs_done(void)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct netdesc *c = atomic_load_explicit(&chunks[i], memory_order_acquire);

        for (unsigned k = 0; c && k < CHUNK; k++) {
            spin_acquire(&c[k].spin);
            forget(&c[k], NETDESC_NEW);
            spin_release(&c[k].spin);
        }
    }
}

void netdesc_fresh(int fd, enum netdesc_kind kind)
{
    struct netdesc *d;

    if (netdesc_get(fd, &d) < 0)
        return;
    spin_acquire(&d->spin);
    forget(d, kind);
    spin_release(&d->spin);
}

/* ---- what it is */

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -errno : value;
}

static int kind_of_socket(int fd)
{
    if (option(fd, SO_TYPE) != SOCK_STREAM)
        return NETDESC_SOCKET;
    if (option(fd, SO_PROTOCOL) == IPPROTO_TCP)
        return NETDESC_TCP;
    return option(fd, SO_DOMAIN) == AF_UNIX ? NETDESC_UNIX : NETDESC_SOCKET;
}

__attribute__((noinline)) int netdesc_look(int fd)
{
    int flags = fcntl(fd, F_GETFL), kind = NETDESC_FILE;
    struct stat st;

    if (flags < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISSOCK(st.st_mode))
        kind = kind_of_socket(fd);
    else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ||
             (fd <= STDERR_FILENO && !(flags & O_NONBLOCK)))
        return NETDESC_BLOCKING;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return kind;
}

void netdesc_known(struct netdesc *d, enum netdesc_kind kind)
{
    spin_acquire(&d->spin);
    d->kind = (uint8_t)kind;
    spin_release(&d->spin);
}

/* The spin is held, and the lock: from here to tell_end() the number is not closed, and so not another's. */
static void tell_begin(struct netdesc *d)
{
    d->telling++;
    spin_release(&d->spin);
}

static void tell_end(struct netdesc *d, int fd)
{
    bool release;

    d->telling--;
    release = netdesc_released(d);
    spin_release(&d->spin);
    lock_release(&registering);
    if (__builtin_expect(release, 0))
        netdesc_close_now(d, fd);
}

/* It was closed behind our back, as libraries close theirs, and is another file now. */
static uint32_t start_over(struct netdesc *d)
{
    uint32_t generation;

    spin_acquire(&d->spin);
    if (!d->closing)
        forget(d, NETDESC_NEW);
    generation = d->generation;
    spin_release(&d->spin);
    return generation;
}

static uint32_t events_of(uint8_t sides)
{
    return EPOLLET | (sides & SIDE_READ ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : 0u) |
           (sides & SIDE_WRITE ? EPOLLOUT : 0u);
}

int netdesc_register(struct netdesc *d, int fd, uint8_t sides, bool again)
{
    uint32_t generation, events;
    uint8_t was;
    int r = 0;

    lock_acquire(&registering); /* two sides at a time would undo each other's */
    spin_acquire(&d->spin);
    was = d->interest;
    generation = d->generation;
    tell_begin(d);
    sides |= was;
    events = events_of(sides);
    if (sides != was || again)
        r = poller_watch(fd, events, netdesc_key(fd, generation), was);
    if (r == -ENOENT) {
        generation = start_over(d);
        r = poller_watch(fd, events, netdesc_key(fd, generation), false);
    } else if (r == -EEXIST) {
        r = poller_watch(fd, events, netdesc_key(fd, generation), true);
    }
    spin_acquire(&d->spin);
    if (d->generation != generation || d->closing)
        r = -EBADF;
    else if (r == 0)
        d->interest = sides;
    tell_end(d, fd);
    return r;
}

/* Nobody waits to write, and yet edges come: a Unix socket makes one whenever its peer reads. The next write
 * that finds no room asks for them again. */
static void unregister_write(struct netdesc *d, int fd, uint32_t generation)
{
    uint8_t sides;

    if (!lock_try(&registering))
        return; /* another time */
    spin_acquire(&d->spin);
    if (d->generation != generation || d->closing || (d->busy & SIDE_WRITE)) {
        spin_release(&d->spin);
        lock_release(&registering);
        return;
    }
    d->idle_edges = 0;
    d->interest &= (uint8_t)~SIDE_WRITE;
    sides = d->interest;
    tell_begin(d);
    poller_watch(fd, events_of(sides), netdesc_key(fd, generation), true);
    spin_acquire(&d->spin);
    tell_end(d, fd);
}

/* ---- what happens to it */

void netdesc_event(uint64_t key, uint32_t events, struct task_list *ret)
{
    int fd = (int)(uint32_t)key;
    uint8_t sides = 0;
    struct netdesc *d;
    bool for_nothing;

    if (netdesc_get(fd, &d) < 0)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        sides |= SIDE_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        sides |= SIDE_WRITE;
    spin_acquire(&d->spin);
    if (d->generation != (uint32_t)(key >> 32)) {
        spin_release(&d->spin);
        return;
    }
    d->edge |= sides;
    if (events & (EPOLLRDHUP | EPOLLPRI))
        d->sticky |= SIDE_READ;
    if (events & (EPOLLHUP | EPOLLERR))
        d->sticky |= SIDE_READ | SIDE_WRITE;
    d->idle_edges = sides == SIDE_WRITE ? (uint8_t)(d->idle_edges + 1) : 0;
    list_for_each(link, &d->parked)
    {
        struct netwait *w = list_entry(link, struct netwait, link);

        if (!(w->sides & sides))
            continue;
        list_del(link);
        d->idle_edges = 0;
        /* else it timed out or was cancelled: the edge stays for the next operation */
        if (wait_claim(w->task, 0)) {
            d->edge &= (uint8_t)~w->holds;
            task_list_push(ret, w->task);
        }
    }
    for_nothing = d->idle_edges >= IDLE_EDGES && !(d->busy & SIDE_WRITE) &&
                  d->interest == (SIDE_READ | SIDE_WRITE);
    spin_release(&d->spin);
    if (for_nothing)
        unregister_write(d, fd, (uint32_t)(key >> 32));
}

static void end_waits(struct netdesc *d, struct list *waits, struct task_list *ret)
{
    struct list *link;

    while ((link = list_pop_front(waits))) {
        struct netwait *w = list_entry(link, struct netwait, link);

        w->closed = true;
        d->busy &= (uint8_t)~w->holds;
        if (wait_claim(w->task, -EBADF))
            task_list_push(ret, w->task);
    }
}

bool netdesc_released(struct netdesc *d)
{
    if (d->closing != NETDESC_CLOSE_LATER || d->busy || d->telling)
        return false;
    d->closing = NETDESC_CLOSE_NOW;
    d->generation++;
    return true;
}

/* Linux has closed it also when this says EINTR. */
__attribute__((noinline)) static int close_fd(int fd)
{
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

int netdesc_close_now(struct netdesc *d, int fd)
{
    uint32_t generation;
    int r;

    spin_acquire(&d->spin);
    generation = d->generation;
    spin_release(&d->spin);
    r = close_fd(fd);
    spin_acquire(&d->spin);
    if (d->generation == generation) /* else netdesc_fresh() was called for the number's next owner */
        forget(d, NETDESC_NEW);
    spin_release(&d->spin);
    return r;
}

void netdesc_settle(struct netdesc *d)
{
    for (;;) {
        bool closing;

        spin_acquire(&d->spin);
        closing = d->closing == NETDESC_CLOSE_NOW;
        spin_release(&d->spin);
        if (!closing)
            return;
        rouse_yield();
    }
}

int netdesc_close(int fd)
{
    struct task_list woken = {0};
    struct machine *m;
    struct netdesc *d;
    bool now = false;
    int r = netdesc_get(fd, &d);

    if (!rouse_task_id())
        return -EPERM;
    if (r < 0)
        return r == -EBADF ? r : close_fd(fd); /* no memory: nothing ever waited for it */
    netdesc_settle(d);
    m = sched_enter();
    spin_acquire(&d->spin);
    if (d->closing) {
        r = -EBADF;
    } else {
        end_waits(d, &d->parked, &woken);
        end_waits(d, &d->queue, &woken);
        d->closing = NETDESC_CLOSE_LATER;
        now = netdesc_released(d);
    }
    spin_release(&d->spin);
    task_ready_list(m, &woken);
    sched_leave(m);
    return now ? netdesc_close_now(d, fd) : r;
}
