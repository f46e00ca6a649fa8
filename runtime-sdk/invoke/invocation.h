/* invocation.h - one request on its way through an instance: its body in, the event to the runtime,
 * the answer out.
 *
 * READING the body -> RUNNING -> (released), or ABANDONED in between: the client is gone or has its
 * answer (the time-out), and the slot is taken until the runtime ends it. On one loop. */
#pragma once
#include "http/server.h"
#include "invoke/link.h"

struct invocations; /* what all of one loop share: buffers, free list */
struct invocation;

struct invocation_ops {
    /* The event goes out now. */
    void (*on_started)(void *owner, struct invocation *i);
    /* An HTTP server's answer is whole: what it wrote until now belongs to it. */
    void (*on_answered)(void *owner, struct invocation *i);
    /* The function's timeout passed: the client has its 504, the runtime a CANCEL; the slot is
     * still taken. */
    void (*on_overdue)(void *owner, struct invocation *i);
    /* The slot is free. The invocation is gone after the return. */
    void (*on_released)(void *owner, struct invocation *i, bool ran, uint64_t run_ns);
};
struct invocation_start {
    const struct invoke_params *params; /* copied */
    const char *function;               /* its name; lives as long as the invocation */
    struct runtime_link *link;
    const struct invocation_ops *ops;
    void *owner;
    bool cold;
    void (*on_done)(void *user, const struct invoke_outcome *o);
    void *user;
};
int invocations_new(struct loop *loop, struct invocations **ret);
struct invocations *invocations_free(struct invocations *all);
/* Takes the exchange; callbacks follow, none before the return but on_started(). -ENOMEM, or, of an
 * HTTP server, what kept the call from being made: x is whole. */
int invocation_begin(struct invocations *all, struct http_exchange *x,
                     const struct invocation_start *s, struct invocation **ret);
/* What the link said. */
struct invocation *invocation_of(struct runtime_call *c);
void invocation_result(struct invocation *i, const struct result *r);
void invocation_too_large(struct invocation *i);
/* Of a function that takes HTTP. */
void invocation_head(struct invocation *i, struct answer_head *h, const char *wrong);
void invocation_body(struct invocation *i, const uint8_t *data, size_t n, bool last);
void invocation_room(struct invocation *i);
void invocation_error(struct invocation *i, const struct function_error *e);
/* The instance ended under it: 502 with that reason, and released. */
void invocation_lost(struct invocation *i, const char *reason, const char *message);
/* For the owner: its list of running ones, and what to write into logs. */
struct list *invocation_list(struct invocation *i);
struct invocation *invocation_from_list(struct list *l);
const char *invocation_request_id(const struct invocation *i);
uint64_t invocation_overdue_ns(const struct invocation *i); /* since its time-out; 0: not overdue */
uint32_t invocation_timeout_ms(const struct invocation *i);
