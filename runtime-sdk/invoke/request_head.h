/* request_head.h - the head of a request whose body is streamed: INVOKE's payload with FRAME_HTTP. Pure. */
#pragma once
#include "invoke/event.h"

/* Appends the JSON object of proto/frames.md; body and time of `r` are not in it. -ENOMEM. */
int request_head_append(struct buffer *to, const struct event_request *r);
/* The one of a direct call, which is no HTTP request: POST / with the caller's body as JSON. */
int request_head_append_direct(struct buffer *to, const struct event_request *r);
