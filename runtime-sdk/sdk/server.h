/* server.h - the instance's side of the connection: one task reads, each invocation is a task.
 *
 * rouse_run()'s first task waits for the reader's end; then all invocations are
 * cancelled and waited for. With a concurrency of 1 the reader becomes the task
 * of the invocation that it has read, and leaves the reading to a new task: when
 * the handler does not wait, that one goes on where it ends, on its stack, and
 * nothing was switched. */
#pragma once
#include "sched/lock.h"
#include "sdk/channel.h"
#include "sdk/handler.h"
#include "sdk/hello.h"
#include "sdk/outbox.h"

enum { SERVER_TABLE = 256 };

struct server {
    struct channel channel; /* the reader's */
    struct outbox outbox;
    bool occupied; /* a thread is in it for ever: it is not freed, nor is its connection */
    struct hello hello;
    const struct handler *handler;
    size_t stack; /* of an invocation; 0: the default */
    _Atomic int result;
    struct rouse_wait_group reading;
    _Atomic uint64_t reader;          /* which one it is: earlier ones have become invocations */
    struct rouse_scope *reader_scope; /* of its task, which may become an invocation's */
    struct spin lock;                 /* over what follows */
    _Atomic unsigned active, hooks;   /* read without the lock as hints */
    struct invocation *table[SERVER_TABLE], *free;
};

/* The first task: greets and serves until the agent ends the connection. The end is in s->result. */
void server_task(void *server);
/* The reader: another one goes on, as a task of s->reader_scope. -ENOMEM, -ECANCELED */
int server_next_reader(struct server *s);
/* Any task: the connection ends, with this result unless there was one before. */
void server_end(struct server *s, int result);
