/* context.c - what a handler asks of its context. */
#include "sdk/context.h"

#include "base/cleanup.h"
#include "base/clock.h"

enum { LOG_LINE_MAX = 64 << 10 };

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

int64_t rouse_deadline(const struct rouse_context *ctx)
{
    uint64_t ms = rouse_remaining_ms(ctx);

    return ms > INT64_MAX / NS_PER_MS ? ROUSE_NEVER : rouse_after((int64_t)(ms * NS_PER_MS));
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
    if (outbox_queue(ctx->outbox, FRAME_LOG, 0, ctx->id, buffer_bytes(&line), n) == 0)
        outbox_flush_soon(ctx->outbox);
    (void)outbox_wait_room(ctx->outbox, rouse_deadline(ctx));
}
