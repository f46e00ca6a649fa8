/* internal.h - what the files of reactor/ share and nobody else includes. */
#pragma once
#include "reactor/conn.h"
#include "reactor/loop.h"

#include <stdatomic.h>
#include <sys/epoll.h>

enum {
    LOOP_EVENTS = 256,             /* descriptors handled in one turn */
    LOOP_READ_BUFFER = 65536,      /* shared by all connections of the loop */
    LOOP_PEER_CLOSED = EPOLLRDHUP, /* reported only where asked for */
};

struct timer_slot {
    uint64_t at, sequence; /* equal times run in the order they were set */
    struct loop_timer *timer;
};
struct timer_heap {
    struct timer_slot *slots;
    size_t count, capacity;
    uint64_t sequence;
};

struct loop {
    int epoll;
    struct loop_watch wake; /* an eventfd */
    bool running;
    uint64_t now;
    atomic_bool stopping;
    _Atomic(struct mail *) mails; /* newest first; the only thing other threads write */
    struct timer_heap timers;
    struct list soon;     /* work asked for in this turn: input to hand over again */
    struct list flushing; /* connections with bytes to write at the end of the turn */
    struct list deferred;
    struct epoll_event events[LOOP_EVENTS];
    int event, event_count;     /* the batch being handled; a cancelled watch is blanked in it */
    struct listener *accepting; /* the listener whose on_accept() runs now */
    struct loop_stats stats;
    uint8_t read_buffer[LOOP_READ_BUFFER];
};

/* `d` runs once in that phase of this turn or, if it has passed, of the next. */
void loop_queue(struct list *phase, struct loop_deferred *d);

void timers_done(struct timer_heap *h);
/* Runs what is due at `now`; timers set meanwhile wait for the next turn. Returns how many ran. */
unsigned timers_run(struct timer_heap *h, uint64_t now);
/* UINT64_MAX when there is none. */
uint64_t timers_next(const struct timer_heap *h);

/* A connection that was opened in a listener's on_accept() counts there until it closes. */
struct listener_member {
    struct list link;
    struct listener *listener; /* NULL: none, or closed since */
};
void listener_join(struct loop *l, struct listener_member *m);
void listener_leave(struct listener_member *m);
