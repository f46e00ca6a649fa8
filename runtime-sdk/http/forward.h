/* forward.h - which fields of a message go on to the next hop (RFC 9110 7.6.1). Pure.
 *
 * All append to `b`; what http_forward_request() and _answer() leave there ends in a NUL that counts.
 * 0 or -ENOMEM. */
#pragma once
#include "base/buffer.h"
#include "http/message.h"

struct http_forward {
    const char *set; /* "Name: value\r\n"...: added, and wins over the message's own; or NULL */
    /* Of a request: the trace it is part of, by http_trace_of(). A caller's own that is valid goes on as it
     * is, anything else is replaced, and its tracestate dropped. NULL: both fields are passed on unread. */
    const char *trace;
    bool own;      /* fields that begin with "Rouse-" are the platform's: not passed on */
    bool upgrade;  /* Upgrade is passed on, and Connection says so */
    bool trailers; /* the body goes on chunked: what is said of its trailers holds */
};
int http_forward_request(struct buffer *b, const struct http_head *h, const struct http_forward *f);
int http_forward_answer(struct buffer *b, const struct http_head *h, const struct http_forward *f);
/* The trailers of `h` as lines, and a NUL. */
int http_forward_trailers(struct buffer *b, const struct http_head *h);
