/* failure.h - what went wrong with an invocation, and how it is told: to the public a reason, to
 * authenticated callers type, message and trace as well. */
#pragma once
#include "base/buffer.h"
#include "http/server.h"
#include "invoke/invoke.h"

/* What a runtime says of a handler's error. Owned strings; `trace` is a JSON array as text. */
struct function_error {
    char *type, *message, *trace;
    bool fatal;
};
/* From {"errorType","errorMessage","stackTrace"}, or from any bytes: then they are the message.
 * `type` may be NULL: used where the bytes name none. Limited to 128 B, 32 KiB, 64 KiB. -ENOMEM. */
int function_error_parse(const uint8_t *data, size_t n, const char *type, struct function_error *ret);
void function_error_done(struct function_error *e);
/* "Type: message" and the trace's entries, a line each, as people read them. */
int function_error_text(const struct function_error *e, struct buffer *out);

struct failure {
    int status;
    const char *reason;  /* CamelCase: FunctionError InstanceLost OOMKilled Timeout ... */
    const char *message; /* for the public */
    const char *request_id;
    const char *error_type; /* for direct calls, where it is not the function's own error; may be NULL */
    const struct function_error *error; /* told to trusted callers; may be NULL */
    enum invoke_shape shape;
    bool trusted;
    bool refused; /* the request is at fault, not the function: no 200 for direct calls */
};
/* Answers x and returns the status that was sent. */
int failure_respond(struct http_exchange *x, const struct failure *f);
