/* http.h - one HTTP request by libcurl, whole or as a stream. Blocking. */
#pragma once
#include "base/buffer.h"
#include "cli/cli.h"

enum { REQUEST_HEADERS_MAX = 8 };
struct http_request {
    const char *method, *url;
    const char *headers[REQUEST_HEADERS_MAX]; /* "Name: value", the rest NULL */
    const void *body;
    size_t body_size;
    const char *token; /* bearer; NULL: none */
    long timeout_ms;   /* of all; 0: none */
    /* A stream: each piece as it comes; returns false to end it. NULL: the body is collected. */
    bool (*on_data)(void *user, const char *data, size_t n);
    void *user;
};
struct http_response { /* zero-initialise; http_response_done() */
    long status;
    struct buffer headers; /* as they came */
    struct buffer body;    /* at most 64 MiB; with on_data: only where status >= 300 */
    char error[600];
};

/* 0, or -errno with `error` said: no connection, time-out, ... Whatever status the server answers
 * is 0. */
int http_do(const struct http_request *q, struct http_response *a);
void http_response_done(struct http_response *a);
static inline void cleanup_http_response(struct http_response *a)
{
    http_response_done(a);
}
#define cleanup_response __attribute__((cleanup(cleanup_http_response)))
/* The value of the last header of that name, trimmed, in `out`; false if there is none. */
bool http_header(const struct http_response *a, const char *name, char *out, size_t size);
/* Percent-encodes all but unreserved characters (and '/' if kept). */
int http_escape(struct buffer *to, const char *text, bool keep_slash);
