/* stream.h - one HTTP invocation: its request as the handler sees it, and both bodies.
 *
 * The reader adds what comes, the handler takes it; what they share is under
 * `lock`. The rest is the reader's until the handler's task starts, then that
 * task's (or whichever task the handler lets read or write: one at a time). */
#pragma once
#include "sdk/invocation.h"

enum {
    STREAM_FIELDS_MAX = 1000, /* of a request: headers and path parameters */
    STREAM_HEADERS_MAX = 100, /* of an answer */
};

struct rouse_http_response {
    int status;
    struct buffer headers; /* JSON: ["name","value"],... */
    unsigned count;
    bool sent; /* the head */
};

struct stream {
    struct invocation *invocation;
    struct rouse_http_request request;
    struct rouse_http_response response;
    struct buffer fields; /* struct rouse_http_field: headers, then parameters */
    struct rouse_mutex lock;
    struct rouse_cond changed;
    struct buffer body; /* came, and was not read */
    bool complete;      /* no more of it comes */
    bool canceled;      /* nobody wants the answer */
    uint32_t may_come;  /* bytes that the agent may send */
    uint32_t taken;     /* read, and not granted again */
    uint32_t may_go;    /* bytes that we may send */
};

/* ---- http_head.c */
/* Reads the head of a request in `text`, which is overwritten and must stay. -EBADMSG, -EMSGSIZE, -ENOMEM */
int http_head_parse(char *text, size_t n, struct buffer *fields, struct rouse_http_request *ret);
/* ---- http_response.c */
int http_response_end(struct stream *s); /* the head if it is not out, and the end of the body */
