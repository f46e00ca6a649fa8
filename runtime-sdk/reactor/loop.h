/* loop.h - one event loop on one thread: descriptors, timers, mail from other threads.
 *
 * A loop and all that hangs on it belong to the thread that runs it; only
 * loop_post(), loop_stop() may be called from another. Until the first
 * loop_run() it may be prepared on any one thread; when the running thread has
 * ended, another may run it or take it apart. One turn is: wait, descriptors,
 * mail, timers, deferred closes. `now` is read once a turn.
 *
 * The kernel is asked through epoll or through io_uring: the same API and the
 * same behaviour. A process that forks without exec keeps its loops on epoll. */
#pragma once
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct daemon_flag;
struct err;

enum loop_backend { LOOP_AUTO, LOOP_EPOLL, LOOP_IO_URING };
struct loop_options {
    enum loop_backend backend; /* LOOP_AUTO: the process's default */
};
/* LOOP_IO_URING where the kernel cannot: -errno (loop_backend_reason() says why). */
int loop_open(const struct loop_options *o, struct loop **ret);
int loop_new(struct loop **ret); /* on the process's default; -errno */
/* The process's default, before its first loop; over the environment's ROUSE_REACTOR=auto|epoll|io_uring. */
void loop_backend_default(enum loop_backend backend);
/* "auto", "epoll", "io_uring"; -EINVAL */
int loop_backend_parse(const char *text, enum loop_backend *ret);
/* `take` of a daemon's --reactor: an int, an enum loop_backend. */
int loop_backend_flag(const struct daemon_flag *f, const char *said, char *value, void *options,
                      struct err *e);
const char *loop_backend_name(const struct loop *l); /* "epoll" or "io_uring" */
/* Why LOOP_AUTO is epoll here, as a short text; "" where it is io_uring. Any thread. */
const char *loop_backend_reason(void);
struct loop *loop_free(struct loop *l); /* NULL is a no-op; what still hangs on it is forgotten, not closed */
int loop_run(struct loop *l);           /* until loop_stop(); 0 */
void loop_stop(struct loop *l);          /* any thread, and signal safe */
uint64_t loop_now(const struct loop *l); /* monotonic ns at the start of this turn */

/* ---- timers: exact order, O(log n); embed and zero-initialise */
struct loop_timer {
    uint64_t at;                      /* monotonic ns; 0 while unset */
    size_t slot;                      /* the loop's */
    void (*fn)(struct loop_timer *t); /* runs once; may set itself again or free itself */
};
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at); /* moves it if set */
void loop_timer_cancel(struct loop *l, struct loop_timer *t);           /* no-op if unset */
static inline bool loop_timer_armed(const struct loop_timer *t)
{
    return t->at != 0;
}

/* ---- bare descriptors (listeners, pidfds, pipes); level triggered */
enum { LOOP_READ = 1, LOOP_WRITE = 4, LOOP_HANGUP = 16 }; /* EPOLLIN, EPOLLOUT, EPOLLHUP|ERR */
struct loop_watch {
    int fd;
    uint32_t events; /* asked for; 0 while unset */
    void (*fn)(struct loop_watch *w, uint32_t events);
    uint32_t slot; /* the loop's */
    bool early;    /* told before all else of its turn; set it before the first loop_watch_set() */
};
/* True: of what one writer did in this order, a write to an early watch's descriptor and one to
 * another of this loop's, the first has been told when the second is. Within an event's call. */
bool loop_early_told(const struct loop *l);
/* Adds or changes; -errno. -EEXIST: the descriptor has another watch. */
int loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events);
/* Before the fd is closed, which then really ends it: within a run, when the run ends at the latest. */
void loop_watch_cancel(struct loop *l, struct loop_watch *w);
/* Cancels and closes; fd is -1 then. One whose fd is -1 already: nothing. */
void loop_watch_close(struct loop *l, struct loop_watch *w);

/* ---- mail: work from any thread, first in, first out per sender */
struct mail {
    struct mail *next;
    void (*fn)(struct mail *m); /* on the loop's thread; owns m (usually embedded: frees it) */
};
void loop_post(struct loop *l, struct mail *m); /* any thread; wakes the loop at most once a turn */

/* ---- after this turn's events; for frees that must not happen under a caller */
struct loop_deferred {
    struct list link;
    void (*fn)(struct loop_deferred *d);
};
void loop_defer(struct loop *l, struct loop_deferred *d);

struct loop_stats {
    uint64_t turns, events, mails, timers;
    uint64_t wakeups;                   /* by another thread */
    uint64_t timer_steps;               /* places a timer moved through in the heap */
    uint64_t system_calls;              /* the loop's own; an owner's are not known */
    uint64_t accepted, dialled, closed; /* connections; closed ones in every way but detached */
    uint64_t bytes_in, bytes_out;
    uint64_t bytes_spliced;     /* of both, those that conn_splice() moved by the kernel */
    uint64_t partial_writes;    /* the kernel took less than was offered */
    uint64_t high_water;        /* times a connection became congested */
    uint64_t buffers_exhausted; /* io_uring: times the ring of receive buffers ran empty */
};
const struct loop_stats *loop_stats(const struct loop *l);
