/* loop.h - one event loop on one thread: descriptors, timers, mail from other threads.
 *
 * A loop and all that hangs on it belong to the thread that runs it; only
 * loop_post(), loop_stop() may be called from another. One turn is: wait,
 * descriptors, mail, timers, deferred closes. `now` is read once a turn. */
#pragma once
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

int loop_new(struct loop **ret); /* -errno */
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
};
int loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events); /* adds or changes; -errno */
void loop_watch_cancel(struct loop *l, struct loop_watch *w); /* before the fd is closed */

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
    uint64_t turns, events, mails, timers, wakeups;
};
const struct loop_stats *loop_stats(const struct loop *l);
