/* server_internal.h - what server.c, connection.c, patience.c, body.c and answer.c share and nobody
 * else includes.
 *
 * A connection lives as long as its stream. It has at most one exchange: the
 * next pipelined request is parsed when the current answer is complete. The
 * exchange outlives its connection when the client leaves (`hc` is NULL then)
 * until its owner has been told by on_done(). */
#pragma once
#include "base/list.h"
#include "http/parser.h"
#include "http/server.h"

enum {
    HTTP_DISCARD_MAX = 256 * 1024, /* unread body that is swallowed to keep a connection */
    HTTP_EXCHANGES_KEPT = 64,      /* free exchanges a server keeps */
    HTTP_HEAD_INLINE = 2048,       /* a head's bytes in the exchange; longer ones are allocated */
    HTTP_LISTENERS_MAX = 16,
    HTTP_PROGRESS = 1024, /* bytes that a body or an answer moves within its limit of time */
};

/* The bytes that on_data() is handling; lives on its stack. */
struct http_feed {
    const uint8_t *in;
    size_t n, at;
    bool over; /* the connection was taken away meanwhile */
};

/* What a connection is waited for. */
enum http_wait {
    WAIT_REQUEST, /* the first byte of the next one */
    WAIT_HEAD,    /* its last */
    WAIT_BODY,
    WAIT_OWNER, /* nothing of the client's is due */
    WAIT_TAKEN, /* the client does not take its answer */
    HTTP_WAITS,
};
struct http_patience { /* the connections that are waited for in one way, the longest first */
    struct loop *loop;
    struct list connections;
    struct loop_timer timer;
    uint64_t limit_ns;
};

/* What an idle keep-alive connection costs beside its stream: keep it small. */
struct http_connection {
    struct list link; /* in one of the server's waits */
    struct http_server *server;
    struct conn *conn;
    struct http_exchange *exchange; /* NULL between requests */
    uint64_t deadline;
    uint64_t goal; /* bytes received or sent, by the deadline */
    struct http_scan scan;
    uint8_t client[16];   /* the peer's ip, when it has been asked for */
    uint8_t client_kind;  /* enum http_client_kind */
    uint8_t wait;         /* enum http_wait */
    bool in_head : 1;     /* the first byte of a head came */
    bool closing : 1;     /* answered for the last time: input is dropped */
    bool refuse_bare : 1; /* the request that is refused was HEAD */
};
enum http_client_kind { CLIENT_UNASKED, CLIENT_UNIX, CLIENT_IP4, CLIENT_IP6 };

enum http_answer_state { ANSWER_NONE, ANSWER_STARTED, ANSWER_ENDED };

struct http_exchange {
    struct http_connection *hc; /* NULL: the connection is gone */
    struct http_server *server;
    const struct http_exchange_ops *ops;
    void *user;
    struct list link; /* among the server's live or free exchanges */
    struct loop_deferred done, deliver;

    /* the request's body */
    struct buffer held;
    struct http_chunked chunked;
    uint64_t left; /* of Content-Length */
    uint64_t received, discarded, limit;
    bool reading, paused, body_done, last_told, continue_sent;
    void (*on_held)(struct http_exchange *x); /* the whole body is held now; for the proxy */

    /* the answer */
    enum http_answer_state answer;
    bool answer_chunked, answer_bare, keep_alive;
    int64_t answer_left; /* of the declared length; -1: not declared */

    struct http_head head;
    struct buffer trailers;
    char refusal_headers[HTTP_REFUSAL_HEADERS];
    char *head_bytes; /* head_inline or malloc'ed */
    char head_inline[HTTP_HEAD_INLINE];
};

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct http_server_stats stats;
    struct http_patience waits[HTTP_WAITS];
    struct http_connection *feeding; /* whose input is being handled, and what is left of it */
    struct http_feed *feed;
    struct listener *listeners[HTTP_LISTENERS_MAX];
    unsigned listener_count;
    bool listeners_paused;
    struct list exchanges, free_exchanges;
    unsigned free_count;
    bool draining;
    void (*on_drained)(void *user);
    void *drained_user;
    struct loop_timer drain_timer;
    struct loop_deferred drained;
    uint64_t date_until; /* monotonic ns */
    char date[40];       /* "Date: ...\r\n" until then */
};

extern const struct http_exchange_ops http_no_ops;

/* ---- server.c */
void http_server_add(struct http_server *s);
void http_server_remove(struct http_server *s, struct http_connection *hc);
struct http_exchange *http_exchange_new(struct http_connection *hc); /* NULL: no memory */
void http_exchange_free(struct http_exchange *x);
const char *http_server_date(struct http_server *s);

/* ---- connection.c */
int http_connection_open(struct http_server *s, int fd);
/* The stream's fields are let go of; the connection is freed. The exchange, if any, has no `hc`
 * after. */
void http_connection_free(struct http_connection *hc);
/* Cuts the stream and tells the exchange's owner, if its answer was not complete. */
void http_connection_cut(struct http_connection *hc, int error);
/* Answers `status` with a short JSON body and closes. Any exchange has been let go of. */
void http_connection_refuse(struct http_connection *hc, int status, const char *headers,
                            const char *why);
/* No further request: what is pending goes out, then the stream ends. */
void http_connection_close(struct http_connection *hc, bool linger);
/* The answer is complete and on_done() has run: the next request, the rest of the body, or the end.
 */
void http_connection_next(struct http_connection *hc);
/* Leaves the exchange to its owner, who is told `error`, and answers in its place. */
void http_exchange_refuse(struct http_exchange *x, int status, const char *why, int error);

/* ---- patience.c */
void http_patience_init(struct http_patience *p, struct loop *l, uint64_t limit_ns);
/* From now on; the limit begins anew. */
void http_connection_await(struct http_connection *hc, enum http_wait w);

/* ---- body.c */
void http_body_init(struct http_exchange *x);
/* Takes what it can of `n` raw bytes. */
size_t http_body_feed(struct http_exchange *x, const uint8_t *in, size_t n);
/* The client is about to send the rest of a body that fits into what is held. */
bool http_body_will_be_held(const struct http_exchange *x);
/* Bytes are due from the client, and nothing on this side keeps them. */
bool http_body_is_due(const struct http_exchange *x);
void http_body_deliver(struct loop_deferred *d);

/* ---- answer_head.c */
struct http_answer_head {
    int status;
    bool interim; /* 1xx */
    bool chunked;
    int64_t length;         /* -1: none */
    const char *headers;    /* complete lines, or NULL */
    const char *connection; /* a complete line, or NULL */
};
/* The head and `n` bytes of a body behind it. */
void http_write_head(struct http_connection *hc, const struct http_answer_head *h, const void *body,
                     size_t n);
void http_write_error(struct http_connection *hc, int status, const char *headers, const char *why);

/* ---- answer.c */
/* The exchange is over for its owner: on_gone() unless the answer had ended, later on_done(). */
void http_exchange_gone(struct http_exchange *x, int error);
void http_exchange_done(struct loop_deferred *d);
