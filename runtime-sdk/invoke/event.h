/* event.h - the HTTP event, version 2.0, written straight from a request's head into a buffer.
 * Pure. */
#pragma once
#include "base/buffer.h"
#include "http/message.h"

/* The time of day as text, kept for a second. Zero-initialise. */
struct event_clock {
    uint64_t second;
    char text[32];
};
struct event_request {
    const struct http_head *head;
    struct str raw_path;
    struct str route; /* the trigger's pattern, for routeKey and pathParameters; empty: "$default" */
    bool route_any;   /* it takes all methods */
    const char *function; /* its name: requestContext.apiId */
    const char *request_id;
    const char *trace; /* the traceparent in force, shown where the client's is not it; NULL: none */
    const char *client_ip;
    const uint8_t *body;
    size_t body_size;
    uint64_t now_ms; /* epoch */
    struct event_clock *clock;
};
/* Appends the JSON object. The body is text when it is valid UTF-8 without Content-Encoding, else
 * base64; an empty one is left out, as are cookies and query parameters where there are none. */
int event_append(struct buffer *to, const struct event_request *r);
