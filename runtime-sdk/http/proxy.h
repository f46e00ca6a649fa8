/* proxy.h - passes one exchange on to another server and its answer back, with backpressure both ways.
 *
 * Hop-by-hop headers (RFC 9110 7.6.1) are dropped, `set` lines are added (they
 * win over the client's of the same name, and every client header that begins
 * with "Rouse-" is dropped). A body that fits into what the exchange holds is
 * sent along with the head, as soon as all of it has come; a longer body waits
 * for "100 Continue", or for a second without an answer. Trailers
 * and 1xx answers are passed on.
 *
 * A peer that cannot serve answers 503 with the header "Rouse-Refused: REASON"
 * before it takes any body byte: then on_refused() runs and the exchange is
 * whole again, to be proxied elsewhere. The same when nothing was sent.
 *
 * An `origin` is a program that knows nothing of this: a long body goes to it at
 * once (the client's expectation is met on this side, since many programs know
 * none), its 503 is an answer, and its "Rouse-" headers are dropped, or it could
 * pass for a peer's refusal one hop further on.
 *
 * With `tunnel` an upgrade, and CONNECT, are passed on: when the server agrees, its 101 (2xx) goes to the
 * client, on_head() tells the status, the exchange ends with the owner's own on_done() at the end of that
 * turn, and the two streams are joined until on_done(user, NULL, error), which comes later. Any other status
 * is an ordinary answer. Without `tunnel` the client's Upgrade is dropped, and CONNECT is -EOPNOTSUPP. */
#pragma once
#include "http/client.h"
#include "http/server.h"

struct http_proxy;

struct http_proxy_request {
    const char *address;
    struct str target; /* n 0: the client's */
    bool origin;
    const char *set;            /* "Name: value\r\n"... */
    const char *answer_headers; /* added to the answer; e.g. Rouse-Request-Id */
    const char *trace;          /* as in http_forward; NULL: what the client says goes on unread */
    uint64_t deadline_ns;       /* monotonic; 0: none. Ends where a tunnel begins */
    bool tunnel;
    uint64_t tunnel_idle_ns; /* cut when no byte moved for so long; 0: 5 min */
};
struct http_proxy_ops {
    /* Refused, or never sent. `reason` is the header's value or strerror. The proxy is gone. */
    void (*on_refused)(void *user, struct http_exchange *x, const char *reason);
    void (*on_head)(void *user, struct http_exchange *x, int status); /* may be NULL */
    /* The answer was passed on whole (0), or was lost: -ECONNRESET, -ETIMEDOUT, -EPROTO (an answer
     * that is no HTTP) before any byte of the answer reached the client (the owner answers 502 or 504), -ECANCELED when the client left,
     * -EPIPE when it broke in mid-answer (the client's connection has been cut).
     * x NULL: a tunnel is over; 0 both sides ended it, -ETIMEDOUT it was idle, else what broke. */
    void (*on_done)(void *user, struct http_exchange *x, int error);
};
/* Takes the exchange's ops until on_refused() or on_done(). */
int http_proxy_start(struct http_client *c, struct http_exchange *x,
                     const struct http_proxy_request *r, const struct http_proxy_ops *ops,
                     void *user, struct http_proxy **ret);
/* Gives the exchange back as it is and cuts the call, or cuts the tunnel; no callback follows. Not in one of them. If the
 * answer has begun, the owner can only http_abort(); a body that was being read goes on coming. */
void http_proxy_cancel(struct http_proxy *p);
