/* event.c - see event.h. */
#include "sdk/event.h"

#include <errno.h>
#include <stdlib.h>

static int on_body(struct invocation *i, const uint8_t *data, size_t n, bool fin)
{
    int r;

    if (i->started)
        return 0;
    r = buffer_append(&i->event, data, n);
    if (r == 0 && fin)
        r = buffer_append(&i->event, "", 1);
    if (r < 0)
        return r == -ENOBUFS ? -EMSGSIZE : r;
    if (fin)
        invocation_start(i);
    return 0;
}

static int queue_answer(struct invocation *i)
{
    struct rouse_response *resp = &i->response;

    if (!resp->answered) {
        int r = rouse_respond_json(resp, "null");

        if (r < 0)
            return r;
    }
    return outbox_queue_body(&i->server->outbox, FRAME_RESPONSE, resp->flags, i->context.id,
                             buffer_bytes(&resp->body), buffer_size(&resp->body));
}

const struct handler_ops event_ops = {
    .on_invoke = on_body, .on_body = on_body, .answer = queue_answer};

void event_free_result(struct invocation *i, void *result)
{
    uint8_t *p = result;

    if (p && (p < i->event.data || p >= i->event.data + i->event.capacity))
        free(p);
}

/* ---- the plain handler */

static int call(struct invocation *i, any_fn *fn)
{
    struct rouse_bytes bytes = event_of(i);
    const struct rouse_event event = {bytes.data, bytes.size};

    return ((rouse_handler *)fn)(&event, &i->response, &i->context);
}

int rouse_start_event(rouse_handler *handler)
{
    return start(&(struct handler){&event_ops, call, (any_fn *)handler});
}
