/* start.c - rouse_start(): the connection, the first word, and the tasks until the agent ends it. */
#include "base/quantity.h"
#include "sched/scope.h"
#include "sdk/crash.h"
#include "sdk/invocation.h"
#include "sdk/metric.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct server server; /* what a signal finds is never on a stack that is gone */

static int stack_size(size_t *ret)
{
    const char *text = getenv("ROUSE_STACK");
    uint64_t n = 0;

    if (text && (quantity_memory(text, &n) < 0 || n < 16 << 10 || n > 1 << 30))
        return -EINVAL;
    *ret = (size_t)n;
    return 0;
}

/* Before the scheduler is there: the agent sees the runtime as early as it can. */
static int say_hello(struct server *s)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "{\"protocol\":%d,\"runtime\":\"c\",\"pid\":%d%s}",
                     FRAME_PROTOCOL, (int)getpid(), s->handler->ops->http ? ",\"http\":true" : "");
    int r = outbox_queue(&s->outbox, FRAME_HELLO, 0, 0, text, (size_t)n);

    if (r == 0)
        outbox_flush(&s->outbox);
    return r;
}

static int run(struct server *s)
{
    int r = crash_init(&s->outbox);

    s->reader_scope = scope_new(NULL);
    if (r == 0 && !s->reader_scope)
        r = -ENOMEM;
    if (r == 0)
        r = say_hello(s);
    if (r == 0) {
        metric_open(&s->outbox);
        r = rouse_run(server_task, s);
        s->occupied = !metric_close();
    }
    crash_done();
    invocations_done(s);
    scope_free(s->reader_scope);
    return r < 0 ? r : s->result;
}

int start(const struct handler *h)
{
    const char *path = getenv("ROUSE_RUNTIME_SOCKET");
    struct server *s = &server;
    int r;

    if (!path)
        return -ENOTCONN;
    s->handler = h;
    r = stack_size(&s->stack);
    if (r == 0)
        r = channel_connect(path, &s->channel);
    if (r < 0)
        return r;
    setvbuf(stdout, NULL, _IOLBF, 0);
    outbox_init(&s->outbox, s->channel.fd);
    s->channel.outbox = &s->outbox;
    r = run(s);
    if (!s->occupied) {
        outbox_done(&s->outbox);
        channel_done(&s->channel);
    }
    return r == -EPIPE ? 0 : r;
}
