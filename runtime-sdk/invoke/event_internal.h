/* event_internal.h - what the event and the head of a streamed request (request_head.c) write alike. */
#pragma once
#include "invoke/event.h"

/* Framing and hops are between the client and this platform; Rouse-* is the platform's own. */
bool event_hides(struct str name);
/* Which of the client's trace fields hold: what cannot be read is no part of the trace in force. */
struct trace_fields {
    bool parent, state;
};
struct trace_fields event_trace_fields(const struct http_head *h);
bool event_hides_trace(const struct trace_fields *f, struct str name);
int event_put_lower_name(struct buffer *to, struct str name);              /* with its quotes */
int event_put_route_key(struct buffer *to, const struct event_request *r); /* ,"routeKey":"..." */
int event_put_path_parameters(struct buffer *to, const struct event_request *r); /* with its comma */
