/* worker.h - one thread of server.c: leads, runs a handler, or waits to be called. */
#pragma once
#include "sdk/context.h"
#include "sdk/response.h"

#include <pthread.h>
#include <stdatomic.h>

/* IDLE -> LEADING (called) -> RUNNING (in a handler) -> LEADING, or DETACHED: another thread leads
 * -> IDLE. RUNNING -> LEADING and RUNNING -> DETACHED are compare-and-swaps, by the worker and by
 * the monitor; what else changes the state happens under the server's lock. */
enum worker_state { WORKER_IDLE, WORKER_LEADING, WORKER_RUNNING, WORKER_DETACHED };

struct worker {
    struct server *server;
    _Atomic enum worker_state state;
    struct worker *next_idle, *next;
    pthread_cond_t called;
    bool has_thread; /* else it is the thread of rouse_start() */
    pthread_t thread;
    struct rouse_context context;
    struct rouse_response response;
    struct buffer event;
};

struct server {
    struct channel *channel;
    const struct hello *hello;
    rouse_handler *handler;
    pthread_mutex_t lock; /* over what follows */
    struct worker *leader, *idle, *all;
    unsigned count;
    bool ended;
    int result;
    pthread_cond_t busy; /* the monitor waits for it */
    atomic_bool monitor_sleeps;
    _Atomic uint64_t started; /* handlers called by leaders */
    _Atomic unsigned slow;    /* so many more times the lead is passed on first */
};

/* ---- worker.c */
struct worker *worker_new(struct server *s); /* counted and in `all`; NULL: no memory */
struct worker *worker_start(struct server *s); /* with a thread of its own, waiting; NULL: not possible */
void worker_free(struct worker *w);            /* the newest of `all`; joins its thread */
void worker_run(struct worker *w);             /* leads and serves until the end */

/* ---- server.c */
bool server_pass_lead(struct worker *w); /* false: there is nobody else, go on leading */
bool server_await_lead(struct worker *w,
                       bool idle); /* `idle`: it may be called from now on; false: the end */
void server_end(struct server *s, int result);
void server_wake_monitor(struct server *s);
