/* trace.h - a request's place in a distributed trace: W3C Trace Context, and as Lambda runtimes know it.
 * Pure. */
#pragma once
#include "http/message.h"

enum {
    HTTP_TRACE_SIZE = 56, /* version 00's "00-32 hex-16 hex-2 hex" and a NUL */
    HTTP_XRAY_SIZE = 80,
};

bool http_trace_parent_ok(struct str traceparent);
bool http_trace_state_ok(struct str tracestate);
/* The request's one valid traceparent, or a fresh trace of those random numbers: who cannot read the
 * caller's restarts it (Trace Context 3.2.2.2). Returns whether it is the caller's; only then its tracestate
 * still says something. */
bool http_trace_of(const struct http_head *h, const uint64_t random[3], char out[HTTP_TRACE_SIZE]);
/* "Root=1-...;Parent=...;Sampled=1" of a valid traceparent; "" of anything else. */
void http_trace_xray(const char *traceparent, char out[HTTP_XRAY_SIZE]);
