/* result.h - what a function returned, and the HTTP answer that it means. Pure. */
#pragma once
#include "base/buffer.h"

enum result_kind {
    RESULT_JSON, /* any JSON: an object with statusCode is an answer, a string is text, the rest is
                    JSON */
    RESULT_TEXT,
    RESULT_BYTES,
    RESULT_ANSWER,  /* a JSON object {statusCode, headers, cookies, body, isBase64Encoded} */
    RESULT_UNTYPED, /* from a runtime that does not say: JSON if it is that, else text, else bytes
                     */
    RESULT_PRELUDE, /* JSON {statusCode, headers, cookies}, eight NULs, the body */
};
struct result {
    enum result_kind kind;
    const uint8_t *data;
    size_t n;
};
/* `headers` are complete lines; `body` is a view into the result or into `owned`. */
struct answer {
    int status;
    struct buffer headers, owned;
    const uint8_t *body;
    size_t body_size;
};
enum { RESULT_MESSAGE_MAX = 160 };
/* -EBADMSG: not an answer that may be sent; `message` (for people) says why. -ENOMEM. The answer's
 * buffers may be reused from call to call; answer_done() frees them. */
int result_answer(const struct result *r, struct answer *ret, char message[RESULT_MESSAGE_MAX]);
void answer_done(struct answer *a);
/* For a direct call: the bytes as they are, and their content type. */
const char *result_raw_type(const struct result *r);
