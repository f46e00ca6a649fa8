/* context.h - what rouse_context is inside. The invocation's task, but for rouse_log(). */
#pragma once
#include "rouse/rouse.h"
#include "sdk/failure.h"
#include "sdk/hello.h"
#include "sdk/outbox.h"

struct rouse_context {
    struct outbox *outbox;
    const struct hello *hello;
    uint64_t id;
    uint64_t deadline_ms;     /* epoch */
    char *request_id, *trace; /* in `texts` */
    struct buffer texts;
    struct failure failure;
};
