/* hub.h - a libwebsockets context on a thread of its own, and the way in and out of it.
 *
 * In: other threads change a link under the hub's lock, put it on the dirty
 * list and wake the thread (lws_cancel_service, the one call of libwebsockets
 * that any thread may make; with many links a bell, many.h). Out: events
 * (event.h), posted to the owner's loop. */
#pragma once
#include "base/list.h"
#include "reactor/loop.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

struct event;
struct hub {
    atomic_uint refs;
    pthread_mutex_t lock; /* guards `dirty` and the fields of links that say so */
    struct list dirty;    /* links that the thread must look at */
    bool woken;           /* guarded: the thread is about to look */
    bool many;            /* guarded, the thread's: it waits in many_turn() */
    struct lws_context *context;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    struct loop *loop;
    /* many.c, the thread's */
    int poller, bell; /* -1: never */
    unsigned links, many_from;
    uint64_t next_pass;
    bool left; /* loop's thread: the owner is gone, its events are dropped */
    void *owner;
    void (*on_event)(void *owner, const struct event *e);
};

int hub_new(struct loop *loop, void *owner, void (*on_event)(void *owner, const struct event *e),
            struct hub **ret);
struct hub *hub_unref(struct hub *h);
/* Makes the context (explicit vhosts; user: the owner). Callbacks run on the calling thread until
 * hub_start(). */
int hub_context(struct hub *h, struct lws_context_creation_info *info);
int hub_start(struct hub *h); /* the thread, with every signal blocked */
/* Stops and joins the thread, destroys the context (closing callbacks run here). On the loop's
 * thread. */
void hub_stop(struct hub *h);
/* Any thread, while the hub is not stopped; the lock is not held. Once for all until it looks. */
void hub_wake(struct hub *h);

/* Ping after 3 s of silence, gone after 8 s. */
extern const lws_retry_bo_t hub_idle_policy;
