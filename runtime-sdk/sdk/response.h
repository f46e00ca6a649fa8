/* response.h - the answer to one invocation while its handler makes it. The handler's thread. */
#pragma once
#include "base/buffer.h"
#include "rouse/rouse.h"

enum { RESPONSE_TYPE_MAX = 128, RESPONSE_MESSAGE_MAX = 64 << 10 };

struct rouse_response {
    struct buffer body;
    uint8_t flags; /* enum frame_flag: the kind of the body */
    bool answered, failed;
    char error_type[RESPONSE_TYPE_MAX];
    struct buffer error_message;
};

void response_reset(struct rouse_response *resp);
void response_done(struct rouse_response *resp);
/* ERROR's JSON into `to`. `result` is what the handler returned, for a failure that rouse_fail() did not name. */
int response_error(const struct rouse_response *resp, int result, struct buffer *to);
/* The general form: {"errorType","errorMessage","stackTrace":[]}. */
int response_error_json(const char *type, const char *message, size_t message_size,
                        struct buffer *to);
