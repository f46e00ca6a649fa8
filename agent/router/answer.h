/* answer.h - what the platform itself answers: one shape for every status.
 *
 *   HTTP/1.1 503 Service Unavailable
 *   Rouse-Request-Id: ID
 *   Retry-After: 1
 *   {"reason":"NoCapacity","message":"...","requestId":"ID"}
 *
 * On the agent's loop. The message is for people and tells nothing of the
 * function's inside. */
#pragma once
#include "http/server.h"

struct answer {
    int status;
    const char *reason; /* CamelCase, few values */
    const char *message;
    uint32_t retry_after_s; /* 0: no header */
    const char *allow;      /* NULL or "": no header */
};

enum answer_kind {
    ANSWER_BODY_TOO_LARGE,    /* 413 */
    ANSWER_INSTANCE_LOST,     /* 502: after INVOKE; it may have run */
    ANSWER_TIMEOUT,           /* 504 */
    ANSWER_DEADLINE_EXCEEDED, /* 503: no slot within the queue deadline */
    ANSWER_QUEUE_FULL,        /* 503: this entry keeps no more waiting requests */
    ANSWER_HELD_BYTES,        /* 503: ... or no more bytes of them */
    ANSWER_SHUTTING_DOWN,     /* 503 */
    ANSWER_NO_MEMORY,         /* 503 */
    ANSWER_INVOKE_METHOD,     /* 405 on /2015-03-31/functions/NAME/invocations */
    ANSWER_INVOCATION_TYPE,   /* 400 */
    ANSWER_KIND_COUNT
};
extern const struct answer answers[ANSWER_KIND_COUNT];

void answer_send(struct http_exchange *x, const char *request_id, const struct answer *a);
/* The header lines and the body that answer_send() sends. -ENOMEM. */
int answer_text(const struct answer *a, const char *request_id, struct buffer *headers,
                struct buffer *body);
