#include "sdk/worker.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "sdk/crash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_MAX = 64 << 20, KEEP_MAX = 1 << 20 };
#define SLOW_NS NS_PER_MS

/* ---- one invocation */

static int send_answer(struct worker *w, int result)
{
    struct rouse_response *resp = &w->response;
    struct rouse_context *ctx = &w->context;
    cleanup_buffer struct buffer error = {0};
    int r;

    if (result || resp->failed) {
        r = response_error(resp, result, &error);
        if (r < 0)
            return r;
        return channel_queue(ctx->channel, FRAME_ERROR, 0, ctx->id, buffer_bytes(&error),
                             buffer_size(&error));
    }
    if (!resp->answered)
        (void)rouse_respond_json(resp, "null");
    return channel_queue_body(ctx->channel, FRAME_RESPONSE, resp->flags, ctx->id,
                              buffer_bytes(&resp->body), buffer_size(&resp->body));
}

static int call_handler(struct worker *w)
{
    struct rouse_event event;
    int result;

    event.data = (const char *)buffer_bytes(&w->event);
    event.size = buffer_size(&w->event) - 1;
    response_reset(&w->response);
    crash_set_id(w->context.id);
    result = w->server->handler(&event, &w->response, &w->context);
    fflush(stdout);
    crash_set_id(CRASH_NOBODY);
    return result;
}

static void invocation_clear(struct worker *w)
{
    w->context.id = 0;
    buffer_clear(&w->context.texts);
    if (w->event.capacity > KEEP_MAX)
        buffer_done(&w->event);
    buffer_clear(&w->event);
}

/* The handler on this thread while another one leads. */
static int run_detached(struct worker *w)
{
    struct server *s = w->server;
    uint64_t since = clock_monotonic_ns();
    int result = call_handler(w);
    int r = send_answer(w, result);

    if (clock_monotonic_ns() - since < SLOW_NS) {
        unsigned left = atomic_load(&s->slow);

        if (left)
            atomic_compare_exchange_strong(&s->slow, &left, left - 1);
    }
    return r < 0 ? r : channel_flush(s->channel);
}

/* The handler on the leading thread; the monitor may take the lead away meanwhile. */
static int run_leading(struct worker *w)
{
    struct server *s = w->server;
    enum worker_state running = WORKER_RUNNING;
    int result, r;

    atomic_fetch_add(&s->started, 1);
    atomic_store(&w->state, WORKER_RUNNING);
    if (atomic_load(&s->monitor_sleeps))
        server_wake_monitor(s);
    result = call_handler(w);
    r = send_answer(w, result);
    if (atomic_compare_exchange_strong(&w->state, &running, WORKER_LEADING))
        return r;
    return r < 0 ? r : channel_flush(s->channel);
}

static int run(struct worker *w)
{
    struct server *s = w->server;
    int r = buffer_append(&w->event, "", 1);

    if (r < 0)
        return r;
    if (s->hello->concurrency == 1)
        r = send_answer(w, call_handler(w));
    else if (atomic_load(&s->slow) && server_pass_lead(w))
        r = run_detached(w);
    else
        r = run_leading(w);
    invocation_clear(w);
    return r;
}

/* ---- frames */

/* More of the event; the last piece runs the handler. */
static int on_body(struct worker *w, const struct frame *f, const uint8_t *data, size_t n)
{
    int r;

    if (!w->context.id || f->id != w->context.id)
        return 0;
    r = buffer_append(&w->event, data, n);
    if (r < 0)
        return r == -ENOBUFS ? -EMSGSIZE : r;
    return f->type == FRAME_END || (f->flags & FRAME_FIN) ? run(w) : 0;
}

/* The frame shows the receiver's buffer, which goes on being used: its texts are copied. */
static int on_invoke(struct worker *w, const struct frame *f)
{
    struct rouse_context *ctx = &w->context;
    struct frame_invoke inv;
    size_t id_size, trace_size;
    char *to;
    int r;

    r = frame_invoke_parse(f, &inv);
    if (r < 0)
        return r;
    if (ctx->id || !f->id)
        return -EPROTO;
    id_size = inv.request_id_size;
    trace_size = inv.trace_size;
    to = (char *)buffer_reserve(&ctx->texts, id_size + trace_size + 2);
    if (!to)
        return -ENOMEM;
    ctx->request_id = to;
    memcpy(to, inv.request_id, id_size);
    to[id_size] = '\0';
    ctx->trace = to + id_size + 1;
    memcpy(ctx->trace, inv.trace, trace_size);
    ctx->trace[trace_size] = '\0';
    ctx->id = f->id;
    ctx->deadline_ms = inv.deadline_ms;
    return on_body(w, f, inv.event, inv.event_size);
}

static int on_frame(struct worker *w, const struct frame *f)
{
    switch (f->type) {
    case FRAME_INVOKE:
        return on_invoke(w, f);
    case FRAME_BODY:
    case FRAME_END:
        return on_body(w, f, f->payload, f->length);
    case FRAME_HOOK: /* no hooks are declared in this version: each succeeds */
        return channel_send(w->server->channel, FRAME_END, 0, f->id, NULL, 0);
    default:
        return 0;
    }
}

/* Until the lead is another's; false: the end. */
static bool lead(struct worker *w)
{
    struct frame f;
    int r;

    do {
        r = channel_receive(w->server->channel, &f);
        if (r > 0) {
            int e = on_frame(w, &f);

            r = e < 0 ? e : 1;
        }
    } while (r > 0 && atomic_load(&w->state) == WORKER_LEADING);
    if (r > 0)
        return true;
    server_end(w->server, r);
    return false;
}

void worker_run(struct worker *w)
{
    while (lead(w) && server_await_lead(w, true))
        ;
}

/* ---- life */

struct worker *worker_new(struct server *s)
{
    struct worker *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->server = s;
    w->event.limit = EVENT_MAX;
    w->context.channel = s->channel;
    w->context.hello = s->hello;
    pthread_cond_init(&w->called, NULL);
    w->next = s->all;
    s->all = w;
    s->count++;
    return w;
}

static void *worker_thread(void *user)
{
    struct worker *w = user;
    void *stack = crash_stack_new();

    if (server_await_lead(w, false))
        worker_run(w);
    crash_stack_free(stack);
    return NULL;
}

struct worker *worker_start(struct server *s)
{
    struct worker *w = worker_new(s);

    if (!w)
        return NULL;
    w->has_thread = pthread_create(&w->thread, NULL, worker_thread, w) == 0;
    if (w->has_thread)
        return w;
    worker_free(w);
    return NULL;
}

void worker_free(struct worker *w)
{
    struct server *s = w->server;

    if (w->has_thread)
        pthread_join(w->thread, NULL);
    s->all = w->next; /* the newest goes first */
    s->count--;
    buffer_done(&w->context.texts);
    response_done(&w->response);
    buffer_done(&w->event);
    pthread_cond_destroy(&w->called);
    free(w);
}
