/* server.h - the instance's side of the connection: one task reads, each invocation is a task.
 *
 * The reader is rouse_run()'s first task: when it ends, all invocations are
 * cancelled and waited for. */
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
    struct hello hello;
    const struct handler *handler;
    size_t stack; /* of an invocation; 0: the default */
    _Atomic int result;
    struct spin lock;               /* over what follows */
    _Atomic unsigned active, hooks; /* read without the lock as hints */
    struct invocation *table[SERVER_TABLE], *free;
};

/* The first task: greets and serves until the agent ends the connection. The end is in s->result. */
void server_task(void *server);
/* Any task: the connection ends, with this result unless there was one before. */
void server_end(struct server *s, int result);
