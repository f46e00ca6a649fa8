/* client.h - HTTP/1.1 client on a loop: a keep-alive pool per address.
 *
 * A call is one request. `sent` in on_done() tells whether any byte of it may
 * have reached the peer: a call that failed with sent == false may be made
 * again elsewhere. A kept connection that turns out to be dead before any byte
 * of the answer is retried once on a fresh one if the request has no body and
 * either nothing of it was sent or its method is safe (not if `once`). */
#pragma once
#include "http/message.h"
#include "reactor/conn.h"

struct http_client;
struct http_call;

struct http_client_options {
    unsigned max_idle;           /* kept connections an address; 0: 64 */
    uint64_t idle_ns;            /* 0: 30 s; keep it below the server's */
    uint64_t connect_timeout_ns; /* 0: 2 s */
    unsigned max_links;          /* busy connections an address; 0: 10000. Past it: -EAGAIN */
    /* An address that does not accept is not tried for so long, doubling up to 500 ms; 0: 20 ms. A call
     * is -EHOSTDOWN meanwhile. */
    uint64_t backoff_ns;
    int (*open_socket)(void *socket_user, int family, int type); /* as conn_options' */
    void *socket_user;
};
struct http_client_stats {
    uint64_t calls, dials, reused;
    uint64_t stale;                  /* kept connections that the peer had closed */
    uint64_t retries;                /* second tries */
    uint64_t connect_failures;       /* refused, unreachable, too late */
    uint64_t backed_off, over_limit; /* calls that were not made */
    unsigned links;                  /* connections, the idle ones included */
    unsigned failing;                /* addresses that did not accept when last asked */
};

struct http_call_ops {
    void (*on_continue)(struct http_call *c); /* 100; may be NULL */
    /* Another 1xx; the head lives until the return. May be NULL. */
    void (*on_interim)(struct http_call *c, const struct http_head *h);
    /* 101 to a call with `upgrade`, or 2xx to CONNECT: the connection is the callee's, who sets its ops at
     * once, and so is `rest` (malloc'ed or NULL), what came behind the head. The call
     * ends with it: no on_done(). NULL: such an answer is -EPROTO. */
    void (*on_upgrade)(struct http_call *c, const struct http_head *h, struct conn *stream,
                       uint8_t *rest, size_t n);
    void (*on_head)(struct http_call *c, const struct http_head *h); /* the head lives until on_done() */
    void (*on_body)(struct http_call *c, const uint8_t *data, size_t n);
    void (*on_drained)(struct http_call *c); /* the request body may go on */
    void (*on_done)(struct http_call *c, int error,
                    bool sent); /* 0, or -errno; always, last; never before the return */
};
struct http_call_request {
    const char *address; /* as conn_dial() */
    struct str method, target;
    const char *headers; /* "Name: value\r\n"..., Host included; framing headers are the client's */
    int64_t content_length;     /* 0: none; -1: chunked; else what http_call_write() will bring */
    bool expect_continue;       /* send the head, wait for on_continue() */
    uint64_t deadline_ns;       /* monotonic, whole call; 0: none */
    uint64_t answer_timeout_ns; /* without a byte of the answer once the request is out; 0: none */
    bool upgrade; /* `headers` has Connection and Upgrade; without it a 101 is -EPROTO */
    bool once;    /* no second try: it must not run twice, whatever the method */
};

int http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **ret);
struct http_client *http_client_free(struct http_client *c); /* cancels all; not inside its callbacks */
const struct http_client_stats *http_client_stats(const struct http_client *c);
/* 0 or -errno: -EAGAIN, -EHOSTDOWN as the options say; an address or socket that cannot be had. */
int http_call_start(struct http_client *c, const struct http_call_request *r,
                    const struct http_call_ops *ops, void *user, struct http_call **ret);
void *http_call_user(const struct http_call *c);
const struct http_head *http_call_head(
    const struct http_call *c); /* trailers are appended to it before on_done() */
void http_call_write(struct http_call *c, const void *data, size_t n);
/* Chunked bodies. `trailers` is complete lines, or NULL. */
void http_call_end(struct http_call *c, const char *trailers);
bool http_call_congested(const struct http_call *c);
void http_call_pause(struct http_call *c); /* stop reading the answer */
void http_call_resume(struct http_call *c);
void http_call_cancel(struct http_call *c); /* no callback follows; not in on_done() */
