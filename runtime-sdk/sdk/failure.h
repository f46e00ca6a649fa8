/* failure.h - why an invocation failed: type and message, and the JSON of an ERROR frame. One task. */
#pragma once
#include "base/buffer.h"

enum { FAILURE_TYPE_MAX = 128, FAILURE_MESSAGE_MAX = 64 << 10 };

struct failure {
    bool failed;
    char type[FAILURE_TYPE_MAX];
    struct buffer message;
};

void failure_reset(struct failure *f);
void failure_done(struct failure *f);
/* ERROR's JSON into `to`. `result` is what the handler returned, for a failure that has no name. */
int failure_json(const struct failure *f, int result, struct buffer *to);
/* The general form: {"errorType","errorMessage","stackTrace":[]}. */
int failure_text_json(const char *type, const char *message, size_t message_size, struct buffer *to);
