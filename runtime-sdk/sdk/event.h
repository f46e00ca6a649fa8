/* event.h - handlers of events: the body is put together, the handler runs, its answer is one RESPONSE. */
#pragma once
#include "sdk/handler.h"
#include "sdk/invocation.h"

extern const struct handler_ops event_ops;

static inline struct rouse_bytes event_of(struct invocation *i)
{
    return (struct rouse_bytes){i->event.data + i->event.start, buffer_size(&i->event) - 1};
}
/* Frees what a handler returned, unless it is part of its event. */
void event_free_result(struct invocation *i, void *result);
