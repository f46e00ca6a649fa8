/* internal.h - what the files of reactor/ share and nobody else includes. */
#pragma once
#include "reactor/backend.h"
#include "reactor/chunk.h"
#include "reactor/conn.h"
#include "reactor/loop.h"

#include <stdatomic.h>

enum {
    LOOP_READ_BUFFER = 65536,  /* shared by all connections of the loop */
    LOOP_PEER_CLOSED = 0x2000, /* EPOLLRDHUP; reported only where asked for */
};

struct timer_slot {
    uint64_t at, sequence; /* equal times run in the order they were set */
    struct loop_timer *timer;
};
struct timer_heap {
    struct timer_slot *slots;
    size_t count, capacity;
    uint64_t sequence, steps;
};

/* A test's hook on what the kernel answered; returns what the loop shall believe. */
enum fault_point { FAULT_ACCEPT, FAULT_WAIT };
typedef int fault_fn(struct loop *l, enum fault_point at, int result);

struct loop {
    const struct backend *backend;
    void *kernel; /* the backend's */
    int wake_fd;  /* an eventfd */
    bool running;
    bool early_told;     /* of this turn */
    struct early *early; /* NULL until there is an early watch */
    uint64_t now;
    atomic_bool stopping;
    /* What other threads write, and no more. */
    _Atomic(struct mail *) mails; /* newest first */
    atomic_uint senders;          /* threads within loop_post() or loop_stop() */
    struct timer_heap timers;
    struct list soon;     /* work asked for in this turn: input to hand over again */
    struct list flushing; /* connections with bytes to write at the end of the turn */
    struct list deferred;
    int pipes[CONN_PIPES_KEPT][2];
    unsigned pipe_count;
    struct chunk *chunks; /* kept for the next connection */
    unsigned chunk_count;
    struct conn *delivering; /* its on_data() is on the stack with these bytes */
    const uint8_t *current;
    size_t current_n;
    struct listener *accepting; /* the listener whose on_accept() runs now */
    fault_fn *fault;            /* NULL but in tests */
    struct loop_stats stats;
};

/* A counter of `stats` that other threads read: rouse_server_stats(). */
static inline void loop_count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

static inline int loop_fault(struct loop *l, enum fault_point at, int result)
{
    return __builtin_expect(l->fault != NULL, 0) ? l->fault(l, at, result) : result;
}
/* `d` runs once in that phase of this turn or, if it has passed, of the next. */
void loop_queue(struct list *phase, struct loop_deferred *d);

/* ---- early.c */
int early_set(struct loop *l, struct loop_watch *w, uint32_t events);
void early_cancel(struct loop *l, struct loop_watch *w);
void early_tell(struct loop *l); /* the backend: between its wait and what that brought */
void early_done(struct loop *l);

void timers_done(struct timer_heap *h);
/* Runs what is due at `now`; timers set meanwhile wait for the next turn. Returns how many ran. */
unsigned timers_run(struct timer_heap *h, uint64_t now);
/* UINT64_MAX when there is none. */
uint64_t timers_next(const struct timer_heap *h);

void chunks_done(struct loop *l);
void pipes_done(struct loop *l);

struct listener {
    struct loop_watch watch;
    struct loop *loop;
    void (*on_accept)(void *user, int fd);
    void *user;
    bool paused;
    bool closed; /* its memory lives until its connections and its on_accept() are done */
    bool on;     /* the backend accepts */
    struct loop_timer rest;
    unsigned open, max;
    unsigned held_count, held_at; /* io_uring: accepted beyond what may be handed on */
    int *held;
    char *unix_path; /* ours to unlink; NULL: not */
};
/* One accept's outcome, a descriptor or -errno, from the backend. False: no more for now. */
bool listener_accepted(struct listener *ls, int fd);
/* A connection that was opened in a listener's on_accept() counts there until it closes. */
struct listener *listener_join(struct loop *l);
void listener_leave(struct listener *ls); /* NULL is a no-op */
