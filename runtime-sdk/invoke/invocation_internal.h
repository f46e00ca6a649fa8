/* invocation_internal.h - an invocation as its three kinds share it: one that is an event (invocation.c),
 * one whose request and answer are streamed over frames (streamed.c), one whose exchange is passed on to an
 * HTTP server (proxied.c). */
#pragma once
#include "base/buffer.h"
#include "invoke/event.h"
#include "invoke/invocation.h"

struct conn;
struct http_proxy;

enum invocation_state { INVOCATION_READING, INVOCATION_RUNNING, INVOCATION_ABANDONED };
struct invocation {
    struct runtime_call call;
    struct list link; /* the owner's */
    struct invocations *all;
    enum invocation_state state;
    struct http_exchange *x; /* NULL once answered or gone */
    struct invocation_start s;
    struct invoke_params params; /* its texts lie in `texts` */
    struct buffer texts, body;
    struct loop_timer timer; /* body time-out, then the function's */
    uint64_t started_ns;
    struct failure refusal; /* told by the timer, when the request cannot even start */
    uint64_t overdue_ns;    /* when its time-out passed */
    bool gone;
    /* of an HTTP server's (proxied.c) */
    struct list of_server;    /* in http_link.running while it is in the function's hands */
    struct http_proxy *proxy; /* NULL: its exchange is ours. With x NULL: an upgraded stream */
    int status;               /* of the answer's head, once it came */
    /* of a streamed one (streamed.c); `body` has what of the request's body waits for room */
    bool body_whole;         /* with that it ends */
    bool bare;               /* its answer has no body, whatever comes */
    int64_t declared, given; /* bytes of the answer's body; declared -1: not */
    size_t unread;           /* of those given, what the client's connection has not taken */
    struct conn *probe;      /* asks whether the server is still there */
};

void invocation_set_state(struct invocation *i, enum invocation_state to);
/* The exchange is answered: it is the server's alone from here on, and the entry is told. */
void invocation_client_done(struct invocation *i, int status, bool lost);
/* The same for one whose answer somebody else has written. */
void invocation_leave_exchange(struct invocation *i, int status, bool lost);
/* What becomes of the exchange is told to the invocation. */
void invocation_own_exchange(struct invocation *i);
/* Answers with the failure, unless the client is gone or answered. */
void invocation_client_fail(struct invocation *i, struct failure *f, bool lost);
/* The slot is free, the invocation gone. */
void invocation_release(struct invocation *i);
/* Fails soon, not under the caller. */
void invocation_refuse(struct invocation *i, int status, const char *reason, const char *message);
void invocation_on_timeout(struct loop_timer *t);
/* It has begun: state, clock, time-out, the owner's on_started(). */
void invocation_started(struct invocation *i);

/* A line of its log. */
void invocation_tell_log(struct invocation *i, const char *message);
/* What has come of the request's body and waits. Of all requests of this loop it has a limit: NULL, or why
 * it cannot be kept. */
const char *invocation_keep_body(struct invocation *i, const uint8_t *data, size_t n);
void invocation_take_body(struct invocation *i, size_t n); /* its first bytes */
void invocation_drop_body(struct invocation *i);
/* What an event, or a request's head, is made of; valid until the next call. */
struct event_request invocation_event(struct invocation *i, const uint8_t *body, size_t n);
struct buffer *invocation_scratch(struct invocation *i); /* empty */
void invocation_exchange_done(struct http_exchange *x);

/* ---- streamed.c */
/* -errno: nothing was begun, the exchange is whole. */
int streamed_begin(struct invocation *i);

/* ---- proxied.c */
/* Passes the exchange on. -errno: nothing was begun, the exchange is whole. */
int proxied_begin(struct invocation *i);
/* Takes it back from the function: the connection to that is cut, the client's too if the answer had
 * begun: then it counts as `status`. Only while `proxy` is there. */
void proxied_cut(struct invocation *i, int status);
/* Its time-out has passed. */
void proxied_overdue(struct invocation *i);
/* Nothing of it may call any more. */
void proxied_done(struct invocation *i);
