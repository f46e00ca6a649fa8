/* once.h - one event through the gateway's own front door, and what came of it. On one loop. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

struct once_outcome {
    bool failed;
    const uint8_t *data; /* what the function returned, as it is; or "Type: message", how it failed */
    size_t n;
};
struct once;

/* POSTs `event` to the function's invocations at the gateway's address; both live until on_done(), which
 * comes once and not before the return. */
int once_start(struct loop *loop, const char *address, const char *namespace, const char *name,
               const void *event, size_t n, void (*on_done)(void *user, const struct once_outcome *o),
               void *user, struct once **ret);
struct once *once_free(struct once *o); /* not inside on_done() */
