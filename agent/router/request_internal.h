/* request_internal.h - what request.c, request_way.c and request_wait.c share and nobody else includes. */
#pragma once
#include "router/answer.h"
#include "router/request.h"

struct attempt { /* where a request goes now */
    const char *revision;
    uint64_t slot; /* 0: any */
    uint32_t timeout_ms;
    uint64_t body_limit;
    bool in_turn; /* for a slot of this node that it waited for */
};

/* ---- request.c */
void request_set_state(struct request *r, enum request_state to);
void request_free(struct request *r);
void request_count(struct request *r, int status);
/* The last thing done with r by the caller: the answer may be out, and r free, when it returns. */
void request_answer(struct request *r, const struct answer *a);
void request_too_large(struct request *r, uint64_t limit); /* 413; the same */
const struct routes_view *request_view(const struct request *r);
int request_keep_route(struct request *r); /* before anything waits: the view lasts one turn */
void request_forget_route(struct request *r);
void request_dispatch(struct request *r); /* from the beginning: slot, sibling, node, wait */
extern const struct http_exchange_ops request_ops; /* while the exchange is the entry's own */

/* ---- request_way.c: true if it is taken; r is not to be touched then */
bool request_body_is_here(const struct request *r); /* all of it */
bool request_go_local(struct request *r, const struct attempt *t);
bool request_go_here(struct request *r, const struct attempt *t); /* this loop's slot or a sibling's */
bool request_go_remote(struct request *r, const struct attempt *t, const char *node,
                       const char *address);
bool request_go_to_endpoint(struct request *r, const struct attempt *t);

/* ---- request_wait.c */
void request_wait(struct request *r); /* with a ticket */
bool request_wait_near(struct request *r, const struct attempt *t);
