/* front_target.h - what a request of the front asks for. Pure.
 *
 * "/function/NAMESPACE/NAME/..." and Lambda's
 * "/2015-03-31/functions/[NAMESPACE:]NAME/invocations" name a function; any
 * other path is left to the activator. */
#pragma once
#include "http/message.h"

enum { FRONT_KEY_MAX = 320 };
struct front_target {
    char key[FRONT_KEY_MAX]; /* "namespace/name", or "" */
    bool raw;                /* Lambda's Invoke: the body is the event */
    struct str path;         /* what the function sees; a view into the request's path, or static */
};
void front_target_parse(struct str path, struct front_target *ret);

/* ---- what the platform itself answers: {"reason","message","requestId"} and headers */
struct front_answer {
    int status;
    const char *reason, *message;
    uint32_t retry_after_s; /* 0: no header */
    const char *allow;      /* NULL or "": no header */
};
struct http_exchange;
void front_answer_send(struct http_exchange *x, const char *request_id, const struct front_answer *a);
