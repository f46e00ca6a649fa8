/* response.h - the answer to one event while its handler makes it. The handler's task. */
#pragma once
#include "base/buffer.h"
#include "rouse/rouse.h"

struct rouse_response {
    struct buffer body;
    uint8_t flags; /* enum frame_flag: the kind of the body */
    bool answered;
};

void response_reset(struct rouse_response *resp);
void response_done(struct rouse_response *resp);
int response_set(struct rouse_response *resp, uint8_t flags, const void *data, size_t n);
