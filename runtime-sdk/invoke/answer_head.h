/* answer_head.h - the head of a streamed answer, as a runtime sends it with FRAME_HTTP. Pure. */
#pragma once
#include "invoke/result.h"

struct answer_head {
    int status;            /* 103 and the like: more heads follow */
    struct buffer headers; /* complete lines; none of framing, of the connection, of the platform */
    int64_t content_length; /* -1: none declared */
    bool whole;             /* no body follows; it is not in the text, the caller knows */
};
/* {"status":200,"headers":[["name","value"],...]}. -EBADMSG: not one that may be sent; `message` (for
 * people) says why. -ENOMEM. The buffer may be reused; its owner frees it. */
int answer_head_parse(const uint8_t *data, size_t n, struct answer_head *ret,
                      char message[RESULT_MESSAGE_MAX]);
