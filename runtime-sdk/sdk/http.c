/* http.c - handlers of HTTP: what the reader does with their frames, and their tasks. */
#include "base/cleanup.h"
#include "sdk/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRANT = FRAME_WINDOW / 4, WINDOW_MAX = INT32_MAX, KEEP_MAX = 64 << 10 };

static void stream_free(struct stream *s)
{
    buffer_done(&s->response.headers);
    buffer_done(&s->fields);
    buffer_done(&s->body);
    free(s);
}

/* A pooled one keeps its buffers. */
static int stream_reset(struct invocation *i, bool complete)
{
    struct stream *s = i->stream;

    if (!s) {
        s = i->stream = calloc(1, sizeof(*s));
        if (!s)
            return -ENOMEM;
        s->invocation = i;
    }
    if (s->body.capacity > KEEP_MAX)
        buffer_done(&s->body);
    buffer_clear(&s->body);
    buffer_clear(&s->response.headers);
    s->response.status = 200;
    s->response.count = 0;
    s->response.sent = s->canceled = false;
    s->complete = complete;
    s->may_come = s->may_go = FRAME_WINDOW;
    s->taken = 0;
    return 0;
}

/* ---- the reader */

static int on_invoke(struct invocation *i, const uint8_t *data, size_t n, bool fin)
{
    int r = stream_reset(i, fin);

    if (r == 0)
        r = buffer_append(&i->event, data, n);
    if (r == 0)
        r = http_head_parse((char *)i->event.data + i->event.start, n, &i->stream->fields,
                            &i->stream->request);
    if (r == 0)
        invocation_start(i);
    return r;
}

/* The handler holds it for a copy at most. */
static void lock(struct stream *s)
{
    (void)rouse_mutex_lock(&s->lock, ROUSE_NEVER);
}

static void changed(struct stream *s)
{
    rouse_cond_broadcast(&s->changed);
    rouse_mutex_unlock(&s->lock);
}

static int on_body(struct invocation *i, const uint8_t *data, size_t n, bool fin)
{
    struct stream *s = i->stream;
    int r = 0;

    lock(s);
    if (!s->complete && !s->canceled) {
        if (n > s->may_come)
            r = -EPROTO;
        else
            r = buffer_append(&s->body, data, n);
        if (r == 0) {
            s->may_come -= (uint32_t)n;
            s->complete = fin;
        }
    }
    changed(s);
    return r;
}

static int on_credit(struct invocation *i, uint32_t bytes)
{
    struct stream *s = i->stream;
    int r = 0;

    lock(s);
    if (!bytes || bytes > WINDOW_MAX - s->may_go)
        r = -EPROTO;
    else
        s->may_go += bytes;
    changed(s);
    return r;
}

static void on_cancel(struct invocation *i)
{
    lock(i->stream);
    i->stream->canceled = true;
    changed(i->stream);
}

/* ---- the handler's task */

static int end_response(struct invocation *i)
{
    return http_response_end(i->stream);
}

/* What was read may come again, once it is worth a frame. */
static void grant(struct stream *s, uint32_t bytes)
{
    struct outbox *o = &s->invocation->server->outbox;
    uint8_t credit[4];

    for (int i = 0; i < 4; i++)
        credit[i] = (uint8_t)(bytes >> (8 * i));
    if (outbox_queue(o, FRAME_CREDIT, 0, s->invocation->context.id, credit, sizeof(credit)) < 0)
        server_end(s->invocation->server, -ENOMEM);
    else
        outbox_flush_soon(o);
}

ssize_t rouse_http_read(struct rouse_http_request *req, void *to, size_t n, int64_t deadline)
{
    struct stream *s = container_of(req, struct stream, request);
    uint32_t again = 0;
    ssize_t got = 0;
    int r = rouse_mutex_lock(&s->lock, ROUSE_NEVER);

    if (r < 0)
        return r;
    while (r == 0 && !s->canceled && !s->complete && !buffer_size(&s->body))
        r = rouse_cond_wait(&s->changed, &s->lock, deadline);
    if (r == 0 && s->canceled)
        r = -ECANCELED;
    if (r == 0 && buffer_size(&s->body)) {
        got = (ssize_t)(n < buffer_size(&s->body) ? n : buffer_size(&s->body));
        memcpy(to, buffer_bytes(&s->body), (size_t)got);
        buffer_consume(&s->body, (size_t)got);
        s->taken += (uint32_t)got;
        if (s->taken >= GRANT && !s->complete) {
            again = s->taken;
            s->taken = 0;
            s->may_come += again;
        }
    }
    rouse_mutex_unlock(&s->lock);
    if (again)
        grant(s, again);
    return r < 0 ? r : got;
}

static const struct handler_ops http_ops = {.http = true,
                                            .on_invoke = on_invoke,
                                            .on_body = on_body,
                                            .on_credit = on_credit,
                                            .on_cancel = on_cancel,
                                            .answer = end_response,
                                            .stream_free = stream_free};

static int call(struct invocation *i, any_fn *fn)
{
    return ((rouse_http_handler *)fn)(&i->stream->request, &i->stream->response, &i->context);
}

int rouse_start_http(rouse_http_handler *handler)
{
    return start(&(struct handler){&http_ops, call, (any_fn *)handler});
}
