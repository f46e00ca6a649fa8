/* start.c - rouse_start(): greets the agent and serves; what a handler asks of its context. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "sdk/context.h"
#include "sdk/crash.h"
#include "sdk/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 64 << 10 };

/* HELLO both ways, then the credit that makes the instance ready. 1, or 0: the agent hung up. */
static int greet(struct channel *ch, struct hello *ret)
{
    struct frame f;
    char text[96];
    uint8_t credit[4];
    int n, r;

    n = snprintf(text, sizeof(text), "{\"protocol\":%d,\"runtime\":\"c\",\"pid\":%d}",
                 FRAME_PROTOCOL, (int)getpid());
    r = channel_send(ch, FRAME_HELLO, 0, 0, text, (size_t)n);
    if (r < 0)
        return r;
    r = channel_receive(ch, &f);
    if (r <= 0)
        return r;
    if (f.type != FRAME_HELLO)
        return -EPROTO;
    r = hello_parse((const char *)f.payload, f.length, ret);
    if (r < 0)
        return r;
    crash_set_id(CRASH_NOBODY);
    for (int i = 0; i < 4; i++)
        credit[i] = (uint8_t)(ret->concurrency >> (8 * i));
    r = channel_send(ch, FRAME_CREDIT, 0, 0, credit, sizeof(credit));
    return r < 0 ? r : 1;
}

int rouse_start(rouse_handler *handler)
{
    const char *path = getenv("ROUSE_RUNTIME_SOCKET");
    struct channel *channel;
    struct hello hello;
    int r;

    if (!path)
        return -ENOTCONN;
    setvbuf(stdout, NULL, _IOLBF, 0);
    r = channel_connect(path, &channel);
    if (r < 0)
        return r;
    r = crash_init(channel);
    if (r == 0)
        r = greet(channel, &hello);
    if (r > 0)
        r = server_run(channel, &hello, handler);
    crash_done();
    channel_free(channel);
    return r == -EPIPE ? 0 : r;
}

const char *rouse_request_id(const struct rouse_context *ctx)
{
    return ctx->request_id;
}

const char *rouse_trace_id(const struct rouse_context *ctx)
{
    return ctx->trace;
}

const char *rouse_function_name(const struct rouse_context *ctx)
{
    return ctx->hello->function;
}

const char *rouse_function_namespace(const struct rouse_context *ctx)
{
    return ctx->hello->name_space;
}

const char *rouse_function_revision(const struct rouse_context *ctx)
{
    return ctx->hello->revision;
}

uint64_t rouse_memory_limit(const struct rouse_context *ctx)
{
    return ctx->hello->memory;
}

uint64_t rouse_deadline_ms(const struct rouse_context *ctx)
{
    return ctx->deadline_ms;
}

uint64_t rouse_remaining_ms(const struct rouse_context *ctx)
{
    uint64_t now = clock_wall_ms();

    return now < ctx->deadline_ms ? ctx->deadline_ms - now : 0;
}

void rouse_log(struct rouse_context *ctx, const char *fmt, ...)
{
    cleanup_buffer struct buffer line = {0};
    size_t n;
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = buffer_vprintf(&line, fmt, ap);
    va_end(ap);
    n = buffer_size(&line);
    if (r < 0 || !n)
        return;
    if (buffer_bytes(&line)[n - 1] == '\n')
        n--;
    if (n > LOG_LINE_MAX)
        n = LOG_LINE_MAX;
    (void)channel_send(ctx->channel, FRAME_LOG, 0, ctx->id, buffer_bytes(&line), n);
}
