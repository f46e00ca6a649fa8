/* client_internal.h - what client.c, pool.c, link.c and call.c share and nobody else includes.
 *
 * A link is a connection to one address; it serves one call at a time and lies
 * in its pool between calls. A call holds the request until it is written and
 * the answer's head; it moves to another link at most once (see call_lost()). */
#pragma once
#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "http/client.h"
#include "http/parser.h"

enum { HTTP_CALLS_KEPT = 64, CALL_HEAD_INLINE = 2048, CALL_REQUEST_KEPT = 4096 };

struct http_client {
    struct loop *loop;
    struct http_client_options o;
    struct map pools;
    struct list calls;
    struct list idle; /* links of all pools, the longest idle first */
    struct loop_timer idle_timer;
    struct list failing; /* pools whose address does not accept, the longest ago first */
    struct http_client_stats stats;
    struct list free_calls;
    unsigned free_count;
};

struct pool {
    struct map_node node;
    struct list idle; /* the most recently used first */
    unsigned idle_count, links;
    unsigned failures; /* to connect, in a row */
    uint64_t retry_ns; /* after failures: no new connection before */
    struct list in_failing;
    char address[];
};

/* The bytes that on_data() is handling; lives on its stack. */
struct link_feed {
    bool over; /* the link was freed meanwhile */
};

struct link {
    struct http_client *client;
    struct pool *pool;
    struct conn *conn;
    struct http_call *call; /* NULL: idle */
    struct link_feed *feed;
    struct list in_pool, in_client; /* while idle */
    uint64_t idle_since;
    bool used; /* it has served a call before */
    bool connected;
};

enum call_state { CALL_HEAD, CALL_BODY, CALL_DONE };

struct http_call {
    struct list link; /* among the client's live or free calls */
    struct http_client *client;
    struct link *on;
    const struct http_call_ops *ops;
    void *user;
    struct loop_timer deadline;
    uint64_t deadline_ns, answer_timeout_ns;
    uint64_t heard_ns; /* when the answer was last waited for from */

    /* the request */
    bool is_head; /* HEAD: the answer has no body */
    bool is_connect, upgrade;
    bool is_safe; /* RFC 9110 9.2.1: may be sent twice */
    bool chunked_request, request_ended;
    bool sent; /* on an earlier link */
    bool retried;
    int64_t content_length, request_left;
    uint64_t sent_before; /* conn_sent() of the link at the start */

    /* the answer */
    enum call_state state;
    bool paused, heard; /* heard: a byte of the answer came */
    unsigned interims;
    struct http_scan scan;
    struct http_chunked chunked;
    int64_t left; /* of the body; -1: until the stream ends */
    struct buffer trailers;

    struct buffer request; /* the head's bytes; after the start kept only for a second try */
    struct http_head head;
    char *head_bytes; /* head_inline or malloc'ed */
    char head_inline[CALL_HEAD_INLINE];
};

/* ---- pool.c */
/* -EAGAIN: as many as may be are busy; -EHOSTDOWN: the address does not accept, for now. An idle link to the address, or a fresh one that is being dialled. */
int link_get(struct http_client *c, const char *address, bool fresh, uint64_t deadline_ns,
             struct link **ret);
void link_put(struct link *k); /* becomes idle */
/* Closes the stream and frees the link; its call, if any, has been let go of. */
void link_drop(struct link *k);
void link_forget(struct link *k); /* frees the link, whose stream is gone */
void link_connected(struct link *k);
void link_failed(struct link *k); /* its stream is gone: was it ever there? */
void pools_forget_failing(struct http_client *c, unsigned keep);
struct conn *link_release(struct link *k); /* frees the link, its stream is the caller's */

/* ---- link.c */
extern const struct conn_ops link_ops;

/* ---- call.c */
void call_set_state(struct http_call *call, enum call_state to);
/* The link broke before the answer was whole: a second try, or the end. Takes the link. */
void call_lost(struct http_call *call, int error);
void call_done(struct http_call *call, int error);
