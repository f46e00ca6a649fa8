/* context.h - what rouse_context is inside. The handler's thread, but for rouse_log(). */
#pragma once
#include "rouse/rouse.h"
#include "sdk/channel.h"
#include "sdk/hello.h"

struct rouse_context {
    struct channel *channel;
    const struct hello *hello;
    uint64_t id; /* 0: no invocation */
    uint64_t deadline_ms;
    char *request_id, *trace; /* in `texts` */
    struct buffer texts;
};
