/* netdesc.h - what is known of a descriptor, and who waits for it.
 *
 * A table by descriptor, as long as the process runs the scheduler. An operation
 * (a read, a write) holds one side of a descriptor from begin to end, so that
 * bytes of two writers do not mix; others queue. Between the two it tries its
 * system call outside the scheduler, and waits for an edge of the poller when
 * that would block. */
#pragma once
#include "sched/lock.h"

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct task;
struct task_list;

enum { SIDE_READ = 1, SIDE_WRITE = 2 };

enum netdesc_kind {
    NETDESC_NEW,    /* not looked at yet */
    NETDESC_TCP,    /* a count that is short says that nothing is left: see netop_end() */
    NETDESC_UNIX,   /* a stream of the Unix domain: the same, but for messages with control data */
    NETDESC_SOCKET, /* any other */
    NETDESC_FILE, /* a pipe, a terminal, an eventfd: read(2) and write(2), and the poller takes it */
    NETDESC_BLOCKING, /* a file on a disk; standard input and output: their mode is others' too */
};

enum netdesc_closing {
    NETDESC_OPEN,
    NETDESC_CLOSE_LATER, /* when the last call on it ends */
    NETDESC_CLOSE_NOW, /* close(2) is under way: the number is that one's still, or already another's */
};

struct netdesc {
    struct spin spin;    /* over all of it */
    uint32_t generation; /* changes when it is closed */
    uint8_t kind;        /* enum netdesc_kind */
    uint8_t interest;    /* sides that the poller was told of */
    uint8_t edge; /* sides where a call may find something: an edge came since the last one began */
    uint8_t sticky; /* sides where a short count says nothing any more: after an end or an error */
    uint8_t busy;   /* sides that an operation holds */
    uint8_t idle_edges; /* of writing, in a row, that nobody waited for */
    uint8_t telling;    /* calls of epoll_ctl(2) under way: it is not closed before they are over */
    uint8_t closing;    /* enum netdesc_closing */
    struct list parked; /* struct netwait: for an edge */
    struct list queue;  /* struct netwait: for a side */
} __attribute__((aligned(64)));

/* On the stack of a task that waits. */
struct netwait {
    struct list link; /* on no list: it was woken, or the descriptor was closed */
    struct task *task;
    uint8_t sides; /* any of them */
    uint8_t holds; /* of `sides`: an operation's, which is over when the descriptor is closed */
    bool closed;
};

struct netop {
    struct netdesc *desc;
    const char *what;
    int fd;
    uint8_t side;
    uint8_t kind;
    bool wait_first; /* nothing came since a short count: wait before the next try */
    bool over;       /* the descriptor was closed meanwhile: the operation holds nothing */
};

/* Holds `side` of fd. -EPERM: not a task. -EBADF, -ENOMEM, -ETIMEDOUT, -ECANCELED: nothing is held. */
int netop_begin(struct netop *op, int fd, uint8_t side, const char *what, int64_t deadline);
/* Waits until there was an edge since the last netop_begin() or netop_wait() of the side. The operation
 * still has to be ended, whatever it returns. -EBADF: the descriptor was closed. */
int netop_wait(struct netop *op, int64_t deadline);
/* Calls fn(op, arg), outside the scheduler, until it returns something else than -EAGAIN, and waits between. */
typedef ssize_t netop_fn(const struct netop *op, void *arg);
ssize_t netop_call(struct netop *op, netop_fn *fn, void *arg, int64_t deadline);
/* Between two calls of one operation. `drained`: the last one moved something, but less than it was asked for. */
void netop_next(struct netop *op, bool drained);
void netop_end(struct netop *op, bool drained);

/* fd was just made, and is non-blocking: what the table has of it is of another descriptor. */
void netdesc_fresh(int fd, enum netdesc_kind kind);
/* For netop.c. What fd is, which becomes non-blocking if it can; -EBADF. Then it is known. */
int netdesc_look(int fd);
void netdesc_known(struct netdesc *d, enum netdesc_kind kind);
/* The spin is held: true if it was to be closed when its last call ended, and that is now: call
 * netdesc_close_now() without the spin. */
bool netdesc_released(struct netdesc *d);
int netdesc_close_now(struct netdesc *d, int fd);
/* Waits until no close(2) is under way: only then it is known whose the number is. Without the spin. */
void netdesc_settle(struct netdesc *d);
/* Closes fd; whoever waits for it gets -EBADF. When a call on it is under way it is closed at its end. */
int netdesc_close(int fd);

/* ---- for tasks that wait for several: rouse_poll() */
int netdesc_get(int fd, struct netdesc **ret);
/* Tells the poller of `sides` as well; `again`: whether or not it was told before, since a library may have
 * closed that one and opened another. -EPERM: epoll refuses this kind of file. */
int netdesc_register(struct netdesc *d, int fd, uint8_t sides, bool again);

/* ---- for the poller */
static inline uint64_t netdesc_key(int fd, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint32_t)fd;
}
void netdesc_event(uint64_t key, uint32_t events, struct task_list *ret);
void netdescs_done(void); /* no task is left */
