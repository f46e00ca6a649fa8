/* handler.h - what the server asks of a kind of handlers: events (event.c) or HTTP (http.c). */
#pragma once
#include "wire/frame.h"

struct invocation;
struct stream;

typedef void any_fn(void);

struct handler_ops {
    bool http; /* what HELLO says */
    /* The reader, for each frame of an id; those that could come late are skipped.
     * Negative: the agent broke the protocol, or there is no memory. */
    int (*on_invoke)(struct invocation *i, const uint8_t *data, size_t n, bool fin);
    int (*on_body)(struct invocation *i, const uint8_t *data, size_t n, bool fin);
    int (*on_credit)(struct invocation *i, uint32_t bytes);
    void (*on_cancel)(struct invocation *i);
    /* Its task, once the handler has returned 0: queues what is left of the answer. -errno */
    int (*answer)(struct invocation *i);
    void (*stream_free)(struct stream *s);
};
struct handler {
    const struct handler_ops *ops;
    int (*call)(struct invocation *i, any_fn *fn);
    any_fn *fn; /* the function's */
};

/* rouse_start() of a kind. */
int start(const struct handler *h);
