/* backend.h - what a loop asks of the kernel: epoll.c and uring*.c answer it, nobody else sees it.
 *
 * On the loop's thread. loop.c owns the turn, conn*.c a stream's states and
 * buffers, listener.c the limits of a listener; a backend waits and moves bytes.
 * It reports through the conn_got_*(), conn_may_write() and listener_accepted()
 * of the internal headers, and never after close() of the same object. */
#pragma once
#include "reactor/loop.h"

struct conn;
struct listener;

struct backend {
    const char *name;
    int (*open)(struct loop *l); /* -errno; close() is called even so */
    void (*close)(struct loop *l);
    /* The running thread takes the loop. */
    int (*start)(struct loop *l);
    /* Hands what is asked for to the kernel, waits until `until` (monotonic ns; 0: not at all,
     * UINT64_MAX: for ever), reads l->now and runs what came. */
    int (*turn)(struct loop *l, uint64_t until);
    /* The loop stops running: what is asked for reaches the kernel even so. */
    void (*rest)(struct loop *l);

    int (*watch_set)(struct loop *l, struct loop_watch *w, uint32_t events); /* w->events is the old */
    void (*watch_cancel)(struct loop *l, struct loop_watch *w);

    /* A new connection. After a failure nothing is known of it. */
    int (*conn_start)(struct conn *c);
    /* What the connection waits for may have changed: state, paused, eof, blocked. */
    void (*conn_want)(struct conn *c);
    /* The kernel may still hand over input though it is not wanted. */
    bool (*conn_receiving)(const struct conn *c);
    /* There are pending bytes at the end of a turn: writes them now or with the next wait, and
     * calls conn_wrote_out() when that much is known. */
    void (*conn_flush)(struct conn *c);
    /* Lets go of the descriptor; closes it unless `keep`. What had been received for a kept one goes
     * to conn_keep() before the return. True: memory may be freed once the owner has been told;
     * false: the backend calls conn_release() later. */
    bool (*conn_stop)(struct conn *c, bool keep);

    /* Begins or ends to accept; -errno. */
    int (*accept_set)(struct listener *ls, bool on);
    /* The listener is about to close its descriptor: nothing of it may stay in the kernel. */
    void (*accept_done)(struct listener *ls);
};

extern const struct backend backend_epoll, backend_uring;
/* Never NULL. */
const struct backend *backend_choose(enum loop_backend b);
