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
 *     cc -O2 -o bootstrap bootstrap.c -lrouse -static
 *
 * and apply it as a function of the runtime `provided`. With `concurrency: 1`
 * one invocation runs at a time, on the thread that called rouse_start(). With
 * more, up to that many handlers run at once, on threads of the SDK's own where
 * they take long: what they share is theirs to protect. Functions return 0 or
 * -errno. Pointers that are handed out belong
 * to the SDK and are valid until the handler returns; what is handed in is
 * copied. Unless it says otherwise, a function is called on the handler's thread.
 *
 * stdout and stderr go to the function's log under the request id of the
 * invocation; stdout is line-buffered and flushed before the answer is sent.
 * A crash (SIGSEGV, SIGABRT, ...) or exit() inside a handler is reported as the
 * invocation's error; the instance ends with it, and with what else ran there. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the function was called with: a JSON text, for an HTTP trigger the
 * version 2.0 HTTP event. A NUL that `size` does not count follows it. At most 64 MiB. */
struct rouse_event {
    const char *data;
    size_t size;
};
struct rouse_response;
struct rouse_context;

/* 0: the response is sent; with no rouse_respond_*() call that is JSON's null.
 * Anything else: the invocation failed, as rouse_fail() said, or as strerror(-result). */
typedef int rouse_handler(const struct rouse_event *event, struct rouse_response *resp,
                          struct rouse_context *ctx);

/* Connects to the agent by $ROUSE_RUNTIME_SOCKET and runs `handler` for every
 * invocation until the agent ends the connection: then 0. What main() does
 * before it is the cold start's initialisation.
 * -ENOTCONN: the variable is not set, this is no instance. -EPROTO, -EBADMSG,
 * -EMSGSIZE: the agent broke the protocol. Otherwise -errno of the socket.
 * Handlers that still run when the connection ends are waited for.
 * It takes over the handlers of the crash signals and may be called once. */
int rouse_start(rouse_handler *handler);

/* The answer: the last call wins. The text is UTF-8 up to its NUL.
 * -ENOMEM leaves the answer empty. */
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

/* Makes the invocation fail with an error type ("NotFound", at most 127 bytes)
 * and a message for the function's log. Returns -ECANCELED, so that a handler
 * may `return rouse_fail(...)`. */
int rouse_fail(struct rouse_response *resp, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const char *rouse_request_id(const struct rouse_context *ctx);
const char *rouse_trace_id(const struct rouse_context *ctx); /* "" if there is none */
const char *rouse_function_name(const struct rouse_context *ctx);
const char *rouse_function_namespace(const struct rouse_context *ctx);
const char *rouse_function_revision(const struct rouse_context *ctx);
uint64_t rouse_memory_limit(const struct rouse_context *ctx); /* bytes */
uint64_t rouse_deadline_ms(const struct rouse_context *ctx);  /* epoch milliseconds */
uint64_t rouse_remaining_ms(const struct rouse_context *ctx); /* 0 when it has passed */

/* A line of this invocation's log, cut at 64 KiB; a newline at its end is
 * dropped. Any thread, until the handler returns. */
void rouse_log(struct rouse_context *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
