/* bytes.c - handlers that take and return bytes. */
#include "sdk/event.h"

static int answer(struct invocation *i, struct rouse_bytes result)
{
    int r = rouse_respond_bytes(&i->response, result.data, result.size);

    event_free_result(i, result.data);
    return r;
}

static int call(struct invocation *i, any_fn *fn)
{
    return answer(i, ((rouse_bytes_handler *)fn)(event_of(i)));
}

static int call_with_context(struct invocation *i, any_fn *fn)
{
    return answer(i, ((rouse_bytes_context_handler *)fn)(event_of(i), &i->context));
}

int rouse_start_bytes(rouse_bytes_handler *handler)
{
    return start(&(struct handler){&event_ops, call, (any_fn *)handler});
}

int rouse_start_bytes_context(rouse_bytes_context_handler *handler)
{
    return start(&(struct handler){&event_ops, call_with_context, (any_fn *)handler});
}
