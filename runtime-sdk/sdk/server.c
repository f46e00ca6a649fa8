/* server.c - see server.h. */
#include "sdk/server.h"

#include "sched/quiet.h"
#include "sdk/crash.h"
#include "sdk/hooks.h"
#include "sdk/invocation.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- frames of an invocation */

/* The frame shows the receiver's buffer, which goes on being used: its texts are copied. */
static int take_texts(struct rouse_context *ctx, const char *id, size_t id_size, const char *trace,
                      size_t trace_size)
{
    char *to = (char *)buffer_reserve(&ctx->texts, id_size + trace_size + 2);

    if (!to)
        return -ENOMEM;
    ctx->request_id = to;
    memcpy(to, id, id_size);
    to[id_size] = '\0';
    ctx->trace = to + id_size + 1;
    memcpy(ctx->trace, trace, trace_size);
    ctx->trace[trace_size] = '\0';
    return 0;
}

static int on_invoke(struct server *s, const struct frame *f)
{
    const struct handler_ops *ops = s->handler->ops;
    struct frame_invoke inv;
    struct invocation *i;
    int r;

    r = frame_invoke_parse(f, &inv);
    if (r < 0)
        return r;
    if (!f->id || !(f->flags & FRAME_HTTP) != !ops->http)
        return -EPROTO;
    r = invocation_new(s, f->id, false, &i);
    if (r < 0)
        return r;
    i->context.deadline_ms = inv.deadline_ms;
    r = take_texts(&i->context, inv.request_id, inv.request_id_size, inv.trace, inv.trace_size);
    if (r == 0)
        r = ops->on_invoke(i, inv.event, inv.event_size, f->flags & FRAME_FIN);
    invocation_drop(i);
    return r;
}

static int on_hook(struct server *s, const struct frame *f)
{
    struct frame_hook hook;
    struct invocation *i;
    int r;

    r = frame_hook_parse(f, &hook);
    if (r < 0)
        return r;
    if (!f->id)
        return -EPROTO;
    r = invocation_new(s, f->id, true, &i);
    if (r < 0)
        return r;
    i->context.deadline_ms = hook.deadline_ms;
    r = take_texts(&i->context, "", 0, "", 0);
    if (r == 0) {
        i->hook = hooks_find(hook.name, hook.name_size);
        if (!i->hook)
            i->hook = hooks_missing;
        invocation_start(i);
    }
    invocation_drop(i);
    return r;
}

/* Of an invocation that runs, or runs no more: then it crossed its end. */
static int on_more(struct server *s, const struct frame *f)
{
    const struct handler_ops *ops = s->handler->ops;
    struct invocation *i = invocation_find(s, f->id);
    int r = 0;

    if (!i)
        return 0;
    if (f->type == FRAME_CANCEL) {
        if (!i->hook && ops->on_cancel)
            ops->on_cancel(i);
        invocation_cancel(i);
    } else if (i->hook) {
        r = 0;
    } else if (f->type == FRAME_CREDIT) {
        r = f->length != 4   ? -EBADMSG
            : ops->on_credit ? ops->on_credit(i, load_u32(f->payload))
                             : 0;
    } else {
        r = ops->on_body(i, f->payload, f->length, f->type == FRAME_END || (f->flags & FRAME_FIN));
    }
    invocation_drop(i);
    return r;
}

static int on_frame(struct server *s, const struct frame *f)
{
    switch (f->type) {
    case FRAME_INVOKE:
        return on_invoke(s, f);
    case FRAME_HOOK:
        return on_hook(s, f);
    case FRAME_BODY:
    case FRAME_END:
    case FRAME_CREDIT:
    case FRAME_CANCEL:
        return on_more(s, f);
    default:
        return 0;
    }
}

/* ---- life */

/* HELLO back, then the credit that makes the instance ready. 1, or 0: the agent hung up. */
static int greet(struct server *s)
{
    uint8_t credit[4];
    struct frame f;
    int r;

    r = channel_receive(&s->channel, &f);
    if (r <= 0)
        return r;
    if (f.type != FRAME_HELLO)
        return -EPROTO;
    r = hello_parse((const char *)f.payload, f.length, &s->hello);
    if (r < 0)
        return r;
    crash_ended(0);
    if (s->hello.concurrency == 1)
        sched_unwatched(3); /* the reader has nothing to do while the one invocation computes */
    for (int i = 0; i < 4; i++)
        credit[i] = (uint8_t)(s->hello.concurrency >> (8 * i));
    r = outbox_queue(&s->outbox, FRAME_CREDIT, 0, 0, credit, sizeof(credit));
    if (r < 0)
        return r;
    outbox_flush(&s->outbox);
    return 1;
}

static void reader_task(void *server)
{
    struct server *s = server;
    uint64_t mine = atomic_load(&s->reader);
    int r = 1;

    while (r > 0) {
        struct frame f;

        r = channel_receive(&s->channel, &f);
        if (r > 0) {
            int e = on_frame(s, &f);

            r = e < 0 ? e : 1;
        }
        if (atomic_load(&s->reader) != mine)
            return;
    }
    server_end(s, r);
    rouse_wait_group_done(&s->reading);
}

int server_next_reader(struct server *s)
{
    const struct rouse_task_options options = {
        .name = "reader", .stack = s->stack, .scope = s->reader_scope};
    int r;

    atomic_fetch_add(&s->reader, 1);
    r = rouse_spawn_with(&options, reader_task, s);
    if (r < 0)
        atomic_fetch_sub(&s->reader, 1);
    return r;
}

void server_task(void *server)
{
    struct server *s = server;
    int r = greet(s);

    if (r > 0) {
        rouse_wait_group_add(&s->reading, 1);
        r = server_next_reader(s);
        if (r == 0)
            r = rouse_wait_group_wait(&s->reading, ROUSE_NEVER);
    }
    server_end(s, r);
}

void server_end(struct server *s, int result)
{
    int none = 0;

    atomic_compare_exchange_strong(&s->result, &none, result);
    if (result < 0)
        (void)shutdown(s->channel.fd, SHUT_RDWR);
}
