/* server.h - HTTP/1.1 server on a loop: exchanges in, answers out, backpressure both ways.
 *
 * One exchange is one request and its answer. on_request() runs when the head
 * is complete; body bytes that came with it are held already. Until the owner
 * calls http_read_body(), arriving body bytes are held (http_held(), at most
 * `hold_limit`) and then the connection is not read any more: that is how an
 * entry keeps a request waiting for nothing. Everything is on the loop's
 * thread. An exchange lives until its answer is complete AND on_done() has run,
 * at the end of a turn; the owner must not touch it after on_done(). A client
 * that closes its side before its answer is complete has left: on_gone(). */
#pragma once
#include "base/buffer.h"
#include "http/message.h"
#include "reactor/conn.h"

struct http_server;
struct http_exchange;

struct http_server_options {
    size_t hold_limit;          /* 0: 64 KiB */
    uint64_t header_timeout_ns; /* 0: 10 s, whole head */
    uint64_t idle_timeout_ns;   /* 0: 75 s between requests */
    /* Both are looked at once a limit and ask for 1 KiB of progress: noticed within twice the limit. */
    uint64_t body_timeout_ns;  /* 0: 30 s, a body that is read and does not come */
    uint64_t write_timeout_ns; /* 0: 60 s, an answer that is not taken */
    unsigned max_connections;  /* 0: 10000 */
    bool connect;              /* CONNECT goes to on_request(); else it is answered 405 */
    void (*on_request)(struct http_exchange *x, void *user);
    void *user;
};
struct http_server_stats {
    uint64_t accepted, requests, bad_requests, timeouts;
    unsigned connections;
};

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret);
int http_server_listen(struct http_server *s, const char *address, const struct listener_options *o);
int http_server_listen_fd(struct http_server *s, int fd); /* takes over a listening descriptor */
int http_server_open(struct http_server *s, int fd); /* takes over a connected descriptor, if 0 */
void http_server_address(const struct http_server *s, char out[128]); /* of the first listener */
/* No new connections; running exchanges finish until the deadline, then are cut. on_drained may be NULL. */
void http_server_drain(struct http_server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
                       void *user);
struct http_server *http_server_free(struct http_server *s); /* cuts what is left; not inside its callbacks */
const struct http_server_stats *http_server_stats(const struct http_server *s);

struct http_exchange_ops { /* each may be NULL */
    /* Body bytes; `last` ends it (n may be 0). Trailers are in the exchange's head afterwards (appended). */
    void (*on_body)(struct http_exchange *x, const uint8_t *data, size_t n, bool last);
    void (*on_drained)(struct http_exchange *x); /* the answer's pending bytes fell below low water */
    /* The client left, or the request broke (-ECONNRESET, -EPROTO, -ETIMEDOUT). Only on_done() follows. */
    void (*on_gone)(struct http_exchange *x, int error);
    void (*on_done)(struct http_exchange *x); /* always, last */
};

const struct http_head *http_head(const struct http_exchange *x); /* views stay valid until on_done() */
void http_set_owner(struct http_exchange *x, const struct http_exchange_ops *ops, void *user);
void *http_user(const struct http_exchange *x);
void http_client_text(const struct http_exchange *x,
                      char out[128]); /* the client's ip, without port; "unix" */
bool http_client_on_loopback(const struct http_exchange *x);
struct loop *http_loop(const struct http_exchange *x);

/* ---- the request's body */
bool http_has_body(const struct http_exchange *x);
const struct buffer *http_held(const struct http_exchange *x);
bool http_held_all(const struct http_exchange *x); /* the whole body is held */
/* Held bytes, then new ones, go to on_body(), not before the return. Sends "100 Continue" where asked for.
 * Past `limit` bytes: answered 413 by the server, on_gone(-EMSGSIZE). 0: no limit. */
void http_read_body(struct http_exchange *x, uint64_t limit);
void http_pause_body(struct http_exchange *x);
void http_resume_body(struct http_exchange *x);

/* ---- the answer. `headers` is complete lines "Name: value\r\n", or NULL. Content-Length,
 * Transfer-Encoding, Connection and Date are the server's. An unread request body is
 * discarded up to 256 KiB, past which the connection is closed after the answer. */
void http_respond(struct http_exchange *x, int status, const char *headers, const void *body,
                  size_t n);
void http_respond_start(struct http_exchange *x, int status, const char *headers,
                        int64_t content_length); /* -1: chunked */
void http_respond_write(struct http_exchange *x, const void *data, size_t n);
void http_respond_end(struct http_exchange *x, const char *trailers);
/* 1xx but 100 and 101, e.g. 103 with its hints, any number before the answer. HTTP/1.0 gets none. */
void http_respond_interim(struct http_exchange *x, int status, const char *headers);
bool http_respond_started(const struct http_exchange *x);
bool http_congested(const struct http_exchange *x);
/* Complete lines, less than HTTP_REFUSAL_HEADERS bytes, for the case that the server itself refuses
 * what is left of the request (408, 413): a request id. */
enum { HTTP_REFUSAL_HEADERS = 96 };
void http_set_refusal_headers(struct http_exchange *x, const char *headers);
/* Cuts the connection: the answer cannot be completed honestly. */
void http_abort(struct http_exchange *x);
/* Answers 101, or 200 to CONNECT, and passes the raw stream to the caller, who sets the ops of *ret at
 * once. `headers` names the protocol ("Upgrade: ..."). *ret_rest: what the client sent behind its request
 * (malloc'ed, or NULL). The exchange is over: only on_done() follows. -EPROTO: the client did not ask for
 * it; -EBUSY: its body has not all come; -EINVAL: answered already; -ECONNRESET: it left; -ENOMEM. */
int http_upgrade(struct http_exchange *x, const char *headers, struct conn **ret,
                 uint8_t **ret_rest, size_t *ret_n);
