/* invocation.h - one invocation, or one hook: its place in the server, and its task.
 *
 * The reader makes it when its first frame comes; its task ends it. Both may hold
 * it, so it is counted. Ended ones are pooled. */
#pragma once
#include "sdk/context.h"
#include "sdk/response.h"
#include "sdk/server.h"

struct rouse_scope;
struct stream;

struct invocation {
    struct rouse_context context; /* first: a context is its invocation */
    struct server *server;
    struct rouse_scope *scope; /* of its task alone */
    struct buffer event;       /* what came of it, a NUL behind it once it is complete */
    struct rouse_response response;
    struct stream *stream; /* of HTTP; NULL until it is needed, and kept */
    rouse_hook_fn *hook;   /* NULL: an invocation */
    bool started;          /* its task was made: the reader leaves `event` alone */
    int result;            /* what its handler returned */
    /* under the server's lock */
    struct invocation *next; /* in a chain of the table, or free */
    unsigned holders;        /* one is its life: of the table and then of its task */
};

static inline struct invocation *invocation_of(struct rouse_context *ctx)
{
    return (struct invocation *)ctx;
}

/* ---- the reader */
/* Held by the caller. -EPROTO: there are as many as were credited, or one of that id. -ENOMEM */
int invocation_new(struct server *s, uint64_t id, bool hook, struct invocation **ret);
/* Held by the caller; NULL: there is none, or it is over. */
struct invocation *invocation_find(struct server *s, uint64_t id);
void invocation_drop(struct invocation *i);
/* Its task begins. When it is cancelled already, or there is no memory for one, the invocation fails. */
void invocation_start(struct invocation *i);
void invocation_cancel(struct invocation *i); /* what it waits for, now and later, and its children */
void invocations_done(struct server *s);      /* no task is left */

/* ---- its task */
/* It takes no more frames and its credit is free; what it still queues is its end. */
void invocation_leave(struct invocation *i);
/* Behind its last frame: sends, or sees that it is sent. */
void invocation_flush(struct invocation *i);
void invocation_fail(struct invocation *i); /* queues an ERROR for its result or its failure */
/* ---- anybody */
/* Of the task, or of the scopes that it is in; NULL: none. Async-signal-safe */
struct invocation *invocation_current(void);
