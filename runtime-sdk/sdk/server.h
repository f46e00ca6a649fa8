/* server.h - runs an instance's invocations on threads of their own where that pays.
 *
 * One thread *leads*: it reads frames and runs each handler itself, so that many
 * short invocations cost one read and one write between them. With a
 * concurrency above 1 a handler that takes longer than a millisecond keeps its
 * thread and another one leads on: a monitor moves the lead, never the handler.
 * After that, for a while, the lead is passed on before the handler is called. */
#pragma once
#include "sdk/channel.h"
#include "sdk/hello.h"
#include "rouse/rouse.h"

/* On the calling thread and up to `hello->concurrency` - 1 others, until the agent ends the
 * connection (0) or -errno. All handlers have returned then. */
int server_run(struct channel *ch, const struct hello *hello, rouse_handler *handler);
