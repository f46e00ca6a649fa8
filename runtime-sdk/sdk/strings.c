/* strings.c - handlers that take and return a string. */
#include "sdk/event.h"

static int answer(struct invocation *i, char *text)
{
    int r = text ? rouse_respond_text(&i->response, text) : 0;

    event_free_result(i, text);
    return r;
}

static int call(struct invocation *i, any_fn *fn)
{
    return answer(i, ((rouse_string_handler *)fn)(event_of(i).data));
}

static int call_with_context(struct invocation *i, any_fn *fn)
{
    return answer(i, ((rouse_string_context_handler *)fn)(event_of(i).data, &i->context));
}

int rouse_start_string(rouse_string_handler *handler)
{
    return start(&(struct handler){&event_ops, call, (any_fn *)handler});
}

int rouse_start_string_context(rouse_string_context_handler *handler)
{
    return start(&(struct handler){&event_ops, call_with_context, (any_fn *)handler});
}
