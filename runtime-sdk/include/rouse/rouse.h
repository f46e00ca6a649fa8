/* rouse.h - write a Rouse function in C.
 *
 *     #include <rouse/rouse.h>
 *
 *     static int hello(const struct rouse_event *event, struct rouse_response *resp,
 *                      struct rouse_context *ctx)
 *     {
 *         return rouse_respond_text(resp, "Hello Serverless");
 *     }
 *     int main(void)
 *     {
 *         return rouse_start(hello) < 0;
 *     }
 *
 * Build it into one static executable named `bootstrap`:
 *
 *     cc -O2 -o bootstrap bootstrap.c $(pkg-config --cflags --libs rouse) -static
 *
 * and apply it as a function of the runtime `provided`. Each invocation is a task
 * of <rouse/sched.h>, up to `concurrency` of them at once: a handler may wait
 * (rouse_sleep(), rouse_read(), a channel) and costs no thread while it does. One
 * that computes or blocks in a library loses its processor to the others, see
 * there; what handlers share is theirs to protect. The stack of an invocation is
 * 256 KiB, or what the environment variable ROUSE_STACK says ("1Mi").
 *
 * Functions return 0 or -errno. Pointers that are handed out belong to the SDK
 * and are valid until the handler returns; what is handed in is copied. Unless it
 * says otherwise, a function is called from the handler's task.
 *
 * stdout and stderr go to the function's log. stdout is line-buffered and flushed
 * before the answer is sent, so that with `concurrency: 1` lines stand under the
 * request id of their invocation. With more nobody can tell whose line it is:
 * there, and from any thread, rouse_log() can.
 *
 * A crash (SIGSEGV, SIGABRT, a stack overflow, ...) or exit() inside a handler is
 * reported as the invocation's error; the instance ends with it, and with what
 * else runs there. */
#pragma once
#include "sched.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the function was called with: a JSON text, for an HTTP trigger the
 * version 2.0 HTTP event. A NUL that `size` does not count follows it. At most 64 MiB. */
struct rouse_event {
    const char *data;
    size_t size;
};
struct rouse_bytes {
    void *data;
    size_t size;
};
struct rouse_response;
struct rouse_context;
struct json_object; /* of json-c */

/* ---- handlers: any of these is an argument of rouse_start() */

/* 0: the response is sent; with no rouse_respond_*() call that is JSON's null.
 * Anything else: the invocation failed, as rouse_fail() said, or as strerror(-result). */
typedef int rouse_handler(const struct rouse_event *event, struct rouse_response *resp,
                          struct rouse_context *ctx);
/* Text in, text (text/plain) out. The result is malloc()ed and the SDK's then; NULL answers with JSON's
 * null. For the failure of this one and those below call rouse_fail(); what they return is freed then. */
typedef char *rouse_string_handler(const char *event);
typedef char *rouse_string_context_handler(const char *event, struct rouse_context *ctx);
/* Bytes in, octets out. `data` of the event is the SDK's and may be written to, one NUL follows it;
 * `data` of the result is malloc()ed, or part of the event. */
typedef struct rouse_bytes rouse_bytes_handler(struct rouse_bytes event);
typedef struct rouse_bytes rouse_bytes_context_handler(struct rouse_bytes event,
                                                       struct rouse_context *ctx);
/* JSON in and out; link -ljson-c. An event that is no JSON fails without a call. The event is the SDK's;
 * the result becomes its too, so what is part of the event goes through json_object_get() first (the
 * event as a whole may be returned as it is). An object with `statusCode` is a whole HTTP answer, a
 * string is text, NULL is null. <rouse/json.h> reads fields. */
typedef struct json_object *rouse_json_handler(struct json_object *event);
typedef struct json_object *rouse_json_context_handler(struct json_object *event,
                                                       struct rouse_context *ctx);

/* Connects to the agent by $ROUSE_RUNTIME_SOCKET and runs `handler` for every
 * invocation until the agent ends the connection: then 0. What main() does
 * before it is the cold start's initialisation.
 * -ENOTCONN: the variable is not set, this is no instance. -EPROTO, -EBADMSG,
 * -EMSGSIZE: the agent broke the protocol. -EINVAL: ROUSE_STACK is no size that
 * rouse_spawn_with() takes. Otherwise -errno of the socket or of rouse_run().
 * Handlers that still run when the connection ends are cancelled and waited for.
 * It takes over the handlers of the crash signals and may be called once. */
#ifndef __cplusplus
#define rouse_start(handler)                                                                       \
    (_Generic((handler), rouse_handler *                                                           \
              : rouse_start_event, rouse_string_handler *                                          \
              : rouse_start_string, rouse_string_context_handler *                                 \
              : rouse_start_string_context, rouse_bytes_handler *                                  \
              : rouse_start_bytes, rouse_bytes_context_handler *                                   \
              : rouse_start_bytes_context, rouse_json_handler *                                    \
              : rouse_start_json, rouse_json_context_handler *                                     \
              : rouse_start_json_context)(handler))
#endif
int rouse_start_event(rouse_handler *handler);
int rouse_start_string(rouse_string_handler *handler);
int rouse_start_string_context(rouse_string_context_handler *handler);
int rouse_start_bytes(rouse_bytes_handler *handler);
int rouse_start_bytes_context(rouse_bytes_context_handler *handler);
int rouse_start_json(rouse_json_handler *handler);
int rouse_start_json_context(rouse_json_context_handler *handler);

/* ---- answers of a rouse_handler */

/* The last call wins. The text is UTF-8 up to its NUL. -ENOMEM leaves the answer empty. */
int rouse_respond_text(struct rouse_response *resp, const char *text); /* text/plain */
int rouse_respond_json(struct rouse_response *resp,
                       const char *json); /* application/json, sent as it is */
int rouse_respond_bytes(struct rouse_response *resp, const void *data,
                        size_t size); /* application/octet-stream */
/* A whole HTTP answer: `status` 100 to 599 (-EINVAL otherwise), `content_type`
 * may be NULL. A body that is not UTF-8 travels as base64 and arrives as it was. */
int rouse_respond_status(struct rouse_response *resp, int status, const char *content_type,
                         const void *body, size_t size);
/* A whole HTTP answer in JSON: {"statusCode":302,"headers":{"location":"/"},"body":""}. */
int rouse_respond_answer(struct rouse_response *resp, const char *json);

/* ---- the invocation */

/* Of the task that calls: what its handler got, or would have. It is that of the tasks in the handler's
 * scopes too; NULL in any other task or thread. */
struct rouse_context *rouse_context_current(void);

/* Makes the invocation fail with an error type ("NotFound", at most 127 bytes)
 * and a message for the function's log (at most 64 KiB), whatever the handler returns. Returns
 * -ECANCELED, so that a handler may `return rouse_fail(...)`. The last call wins. */
int rouse_fail(struct rouse_context *ctx, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line of this invocation's log, cut at 64 KiB; a newline at its end is dropped. It leaves with the
 * next thing that is sent, at the latest when the handler waits. Any thread, until the handler returns. */
void rouse_log(struct rouse_context *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets a metric of this instance, a gauge: the last value wins, and stays until the next one. The platform
 * reads it each second; `spec.scaling.metrics` of type Pods scales by its mean over the instances, and agents
 * show it as rouse_function_metric. The unit is yours. `name` is [a-z_][a-z0-9_]{0,62} and copied; `value` is
 * from 0 to 1e18. Any thread, once rouse_start() has been called; one that runs no task may wait for the agent to read
 * what lies before it, a task does not. -EINVAL: the name or the value is not so, or the name is concurrency or
 * requests_per_second, which the platform measures itself; -ENOSPC: the instance has 16 others; -EAGAIN: the agent
 * is slow to read, the value was not set; -ENOTCONN: rouse_start() was not called or has returned; -ENOMEM. */
int rouse_metric_set(const char *name, double value);

const char *rouse_request_id(const struct rouse_context *ctx); /* "": a hook */
const char *rouse_trace_id(const struct rouse_context *ctx);   /* "" if there is none */
const char *rouse_function_name(const struct rouse_context *ctx);
const char *rouse_function_namespace(const struct rouse_context *ctx);
const char *rouse_function_revision(const struct rouse_context *ctx);
uint64_t rouse_memory_limit(const struct rouse_context *ctx); /* bytes */
/* When the invocation's time is over. It is cancelled then, as it is when its client leaves: every wait
 * of its task, and of the scopes that it opened, returns -ECANCELED. It is answered all the same. */
int64_t rouse_deadline(const struct rouse_context *ctx); /* for any call of sched.h that waits */
uint64_t rouse_deadline_ms(const struct rouse_context *ctx);  /* epoch milliseconds */
uint64_t rouse_remaining_ms(const struct rouse_context *ctx); /* 0 when it has passed */

/* ---- hooks */

/* 0: done. Anything else, or rouse_fail(): it failed. The context has no request id, and the hook's own
 * deadline. */
typedef int rouse_hook_fn(struct rouse_context *ctx);
/* Before rouse_start(): what runs when `spec.lifecycle` names `name` as its initializer, preFreeze or
 * preStop. The initializer runs before the first invocation, the others while none runs. The name stays
 * the caller's. A name that is not registered fails as Runtime.NoSuchHook. -ENOBUFS: 16 are there. */
int rouse_hook(const char *name, rouse_hook_fn *fn);

/* ---- HTTP: the request as it was made, bodies as streams */

struct rouse_http_field {
    const char *name, *value;
};
struct rouse_http_request {
    const char *method, *path, *query; /* percent-encoded as they came; query "" if there is none */
    const char *scheme, *protocol, *source_ip;
    const char *route;                      /* "ANY /users/{id}"; "$default" */
    const struct rouse_http_field *headers; /* in order, repeats too; names in lower case */
    size_t header_count;
    const struct rouse_http_field *parameters; /* of the path: "id" */
    size_t parameter_count;
};
struct rouse_http_response;
/* 0: the answer is complete; nothing written: an empty one. Anything else, or rouse_fail(): before the
 * first rouse_http_write() the client gets a 502, after it the connection is cut. */
typedef int rouse_http_handler(struct rouse_http_request *req, struct rouse_http_response *resp,
                               struct rouse_context *ctx);
int rouse_start_http(rouse_http_handler *handler); /* otherwise as rouse_start() */

const char *rouse_http_header(const struct rouse_http_request *req,
                              const char *name); /* any case, the first one; NULL: none */
const char *rouse_http_parameter(const struct rouse_http_request *req, const char *name);
/* The next 1 to `n` bytes of the body as they come; 0: its end. -ETIMEDOUT, -ECANCELED */
ssize_t rouse_http_read(struct rouse_http_request *req, void *to, size_t n, int64_t deadline);

/* Before the first write: 200 to 599, else -EINVAL; 200 if it is not called. */
int rouse_http_status(struct rouse_http_response *resp, int status);
/* One more header; `content-length` declares the body. -EINVAL: no name, or a value with control
 * characters or octets that are not UTF-8; -EMSGSIZE: over 100 of them or 64 KiB; -EALREADY: the head is out. */
int rouse_http_add(struct rouse_http_response *resp, const char *name, const char *value);
/* More of the body, all of it; with 0 bytes the head alone. It waits while the client is slow to take what
 * was written before (256 KiB). -ETIMEDOUT: it may be written in part; -ECANCELED: nobody wants it. */
int rouse_http_write(struct rouse_http_response *resp, const void *data, size_t n, int64_t deadline);

#ifdef __cplusplus
}
inline int rouse_start(rouse_handler *handler)
{
    return rouse_start_event(handler);
}
inline int rouse_start(rouse_string_handler *handler)
{
    return rouse_start_string(handler);
}
inline int rouse_start(rouse_string_context_handler *handler)
{
    return rouse_start_string_context(handler);
}
inline int rouse_start(rouse_bytes_handler *handler)
{
    return rouse_start_bytes(handler);
}
inline int rouse_start(rouse_bytes_context_handler *handler)
{
    return rouse_start_bytes_context(handler);
}
inline int rouse_start(rouse_json_handler *handler)
{
    return rouse_start_json(handler);
}
inline int rouse_start(rouse_json_context_handler *handler)
{
    return rouse_start_json_context(handler);
}
#endif
