/* start.c - rouse_start(): the loop of an instance, one invocation at a time, on the caller's
 * thread. */
#include "base/clock.h"
#include "sdk/channel.h"
#include "sdk/crash.h"
#include "sdk/hello.h"
#include "sdk/response.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_MAX = 64 << 20, LOG_LINE_MAX = 64 << 10 };

struct rouse_context {
    struct channel *channel;
    struct hello hello;
    uint64_t id; /* 0: no invocation */
    uint64_t deadline_ms;
    char *request_id, *trace;
};

struct instance {
    rouse_handler *handler;
    struct rouse_context context;
    struct rouse_response response;
    struct buffer event;
};

static void context_clear(struct rouse_context *ctx)
{
    free(ctx->request_id);
    free(ctx->trace);
    ctx->request_id = ctx->trace = NULL;
    ctx->id = 0;
}

static int send_answer(struct instance *in, int result)
{
    struct rouse_response *resp = &in->response;
    struct rouse_context *ctx = &in->context;
    cleanup_buffer struct buffer error = {0};
    int r;

    if (result || resp->failed) {
        r = response_error(resp, result, &error);
        if (r < 0)
            return r;
        return channel_send(ctx->channel, FRAME_ERROR, 0, ctx->id, buffer_bytes(&error),
                            buffer_size(&error));
    }
    if (!resp->answered)
        (void)rouse_respond_json(resp, "null");
    return channel_send_body(ctx->channel, FRAME_RESPONSE, resp->flags, ctx->id,
                             buffer_bytes(&resp->body), buffer_size(&resp->body));
}

static int run(struct instance *in)
{
    struct rouse_event event;
    int result, r;

    r = buffer_append(&in->event, "", 1);
    if (r < 0)
        return r;
    event.data = (const char *)buffer_bytes(&in->event);
    event.size = buffer_size(&in->event) - 1;
    response_reset(&in->response);
    crash_set_id(in->context.id);
    result = in->handler(&event, &in->response, &in->context);
    fflush(stdout);
    crash_set_id(CRASH_NOBODY);
    r = send_answer(in, result);
    context_clear(&in->context);
    buffer_clear(&in->event);
    return r;
}

/* More of the event; the last piece runs the handler. */
static int on_body(struct instance *in, const struct frame *f, const uint8_t *data, size_t n)
{
    int r;

    if (!in->context.id || f->id != in->context.id)
        return 0;
    r = buffer_append(&in->event, data, n);
    if (r < 0)
        return r == -ENOBUFS ? -EMSGSIZE : r;
    return f->type == FRAME_END || (f->flags & FRAME_FIN) ? run(in) : 0;
}

static int on_invoke(struct instance *in, const struct frame *f)
{
    struct rouse_context *ctx = &in->context;
    struct frame_invoke inv;
    int r;

    r = frame_invoke_parse(f, &inv);
    if (r < 0)
        return r;
    if (ctx->id || !f->id)
        return -EPROTO;
    ctx->request_id = strndup(inv.request_id, inv.request_id_size);
    ctx->trace = strndup(inv.trace, inv.trace_size);
    if (!ctx->request_id || !ctx->trace)
        return -ENOMEM;
    ctx->id = f->id;
    ctx->deadline_ms = inv.deadline_ms;
    return on_body(in, f, inv.event, inv.event_size);
}

static int on_frame(struct instance *in, const struct frame *f)
{
    switch (f->type) {
    case FRAME_INVOKE:
        return on_invoke(in, f);
    case FRAME_BODY:
    case FRAME_END:
        return on_body(in, f, f->payload, f->length);
    case FRAME_HOOK: /* no hooks are declared in this version: each succeeds */
        return channel_send(in->context.channel, FRAME_END, 0, f->id, NULL, 0);
    default:
        return 0;
    }
}

/* HELLO both ways, then the credit that makes the instance ready. */
static int greet(struct instance *in)
{
    static const uint8_t one[4] = {1};
    struct channel *ch = in->context.channel;
    struct frame f;
    char text[96];
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
    r = hello_parse((const char *)f.payload, f.length, &in->context.hello);
    if (r < 0)
        return r;
    crash_set_id(CRASH_NOBODY);
    r = channel_send(ch, FRAME_CREDIT, 0, 0, one, sizeof(one));
    return r < 0 ? r : 1;
}

static int serve(struct instance *in)
{
    struct frame f;
    int r;

    r = crash_init(in->context.channel);
    if (r < 0)
        return r;
    r = greet(in);
    while (r > 0) {
        r = channel_receive(in->context.channel, &f);
        if (r > 0) {
            int e = on_frame(in, &f);

            if (e < 0)
                r = e;
        }
    }
    crash_done();
    return r == -EPIPE ? 0 : r;
}

int rouse_start(rouse_handler *handler)
{
    struct instance in = {.handler = handler, .event = {.limit = EVENT_MAX}};
    const char *path = getenv("ROUSE_RUNTIME_SOCKET");
    int r;

    if (!path)
        return -ENOTCONN;
    setvbuf(stdout, NULL, _IOLBF, 0);
    r = channel_connect(path, &in.context.channel);
    if (r < 0)
        return r;
    r = serve(&in);
    context_clear(&in.context);
    response_done(&in.response);
    buffer_done(&in.event);
    channel_free(in.context.channel);
    return r;
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
    return ctx->hello.function;
}

const char *rouse_function_namespace(const struct rouse_context *ctx)
{
    return ctx->hello.name_space;
}

const char *rouse_function_revision(const struct rouse_context *ctx)
{
    return ctx->hello.revision;
}

uint64_t rouse_memory_limit(const struct rouse_context *ctx)
{
    return ctx->hello.memory;
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
