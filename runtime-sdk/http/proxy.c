/* proxy.c - one exchange passed on to another server. On the loop's thread.
 *
 * The exchange stays whole, so that it can go elsewhere, as long as its body is
 * not read from it: a body that is held in full is sent as a copy, a longer one
 * is announced with "Expect: 100-continue" and read only when the peer says so
 * (or says nothing for a while: old servers do not know the expectation).
 *
 * When protocols are switched the exchange and the call end, and the proxy lives
 * on as the owner of the relay between their streams. */
#include "http/proxy.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/forward.h"
#include "http/parser.h"
#include "http/server_internal.h"
#include "reactor/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONTINUE_WAIT_NS NS_PER_S
enum { REASON_MAX = 128 };

struct http_proxy {
    struct http_client *client;
    struct loop *loop;
    struct http_exchange *x; /* NULL: protocols were switched */
    struct relay *relay;
    uint64_t tunnel_idle_ns;
    struct http_call *call; /* NULL while a small body is still arriving */
    const struct http_proxy_ops *ops;
    void *user;
    const struct http_exchange_ops *owner_ops; /* given back at the end */
    void *owner;
    uint64_t deadline_ns;
    struct loop_timer wait;   /* for the 100 */
    bool streaming;           /* the body is being read from the exchange */
    bool answered;            /* the answer's head went to the client */
    bool chunked;             /* request body */
    bool origin;              /* as in the request */
    bool tunnel;              /* the client asked for another protocol, and may */
    char refused[REASON_MAX]; /* the peer's reason; "": not refused */
    char *address, *answer_headers;
    struct buffer target;  /* "": the client's */
    struct buffer headers; /* of the request, NUL-terminated */
};

/* ---- ends */

static void proxy_free(struct http_proxy *p)
{
    buffer_done(&p->headers);
    buffer_done(&p->target);
    free(p->address);
    free(p->answer_headers);
    free(p);
}

/* Gives the exchange back and frees the proxy. */
static void release(struct http_proxy *p)
{
    loop_timer_cancel(p->loop, &p->wait);
    p->x->on_held = NULL;
    http_set_owner(p->x, p->owner_ops, p->owner);
    proxy_free(p);
}

static void finish(struct http_proxy *p, int error)
{
    const struct http_proxy_ops *ops = p->ops;
    struct http_exchange *x = p->x;
    void *user = p->user;

    release(p);
    ops->on_done(user, x, error);
}

static void refuse(struct http_proxy *p, const char *reason)
{
    const struct http_proxy_ops *ops = p->ops;
    struct http_exchange *x = p->x;
    void *user = p->user;
    char copy[REASON_MAX];

    strncpy(copy, reason, sizeof(copy) - 1);
    copy[sizeof(copy) - 1] = '\0';
    release(p);
    ops->on_refused(user, x, copy);
}

/* ---- the request's body */

static void stream(struct http_proxy *p)
{
    if (p->streaming)
        return;
    loop_timer_cancel(p->loop, &p->wait);
    p->streaming = true;
    http_read_body(p->x, 0);
}

static void waited(struct loop_timer *t)
{
    stream(container_of(t, struct http_proxy, wait));
}

/* Of a chunked body: with the trailers that the client sent behind it. */
static void end_request(struct http_proxy *p)
{
    cleanup_buffer struct buffer trailers = {0};
    int e = p->x->head.trailer_count ? http_forward_trailers(&trailers, &p->x->head) : -ENOENT;

    http_call_end(p->call, e < 0 ? NULL : (const char *)trailers.data);
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct http_proxy *p = http_user(x);

    http_call_write(p->call, data, n);
    if (last && p->chunked)
        end_request(p);
    else if (http_call_congested(p->call))
        http_pause_body(x);
}

static void on_call_drained(struct http_call *c)
{
    struct http_proxy *p = http_call_user(c);

    if (p->streaming)
        http_resume_body(p->x);
}

static void on_continue(struct http_call *c)
{
    struct http_proxy *p = http_call_user(c);

    if (loop_timer_armed(&p->wait))
        stream(p);
}

/* ---- the answer */

static int answer_headers(const struct http_proxy *p, struct buffer *b, const struct http_head *h,
                          bool upgrade)
{
    struct http_forward f = {
        .set = p->answer_headers, .own = !p->origin, .upgrade = upgrade, .trailers = h->chunked};

    return http_forward_answer(b, h, &f);
}

/* Not to be told to who knows nothing of them (RFC 9110 15.2): the server sees to it. */
static void on_interim(struct http_call *c, const struct http_head *h)
{
    struct http_proxy *p = http_call_user(c);
    cleanup_buffer struct buffer b = {0};
    struct http_forward f = {.own = !p->origin};

    if (http_forward_answer(&b, h, &f) == 0)
        http_respond_interim(p->x, h->status, (const char *)b.data);
}

static void on_head(struct http_call *c, const struct http_head *h)
{
    struct http_proxy *p = http_call_user(c);
    const struct str *reason = http_head_get(h, "Rouse-Refused");
    cleanup_buffer struct buffer b = {0};

    /* A peer that answers 2xx without a word about the expectation reads on; an error is final. */
    if (loop_timer_armed(&p->wait) && h->status < 300)
        stream(p);
    loop_timer_cancel(p->loop, &p->wait);
    if (h->status == 503 && reason && !p->streaming && !p->origin) {
        size_t n = reason->n < REASON_MAX ? reason->n : REASON_MAX - 1;

        memcpy(p->refused, reason->at, n);
        if (!n)
            memcpy(p->refused, "refused", 8);
        return;
    }
    if (answer_headers(p, &b, h, p->tunnel && h->status == 426) < 0) {
        http_call_cancel(c);
        finish(p, -ECONNRESET);
        return;
    }
    p->answered = true;
    http_respond_start(p->x, h->status, (const char *)b.data, h->content_length);
    if (p->ops->on_head)
        p->ops->on_head(p->user, p->x, h->status);
}

static void on_answer_body(struct http_call *c, const uint8_t *data, size_t n)
{
    struct http_proxy *p = http_call_user(c);

    if (!p->answered)
        return;
    http_respond_write(p->x, data, n);
    if (http_congested(p->x))
        http_call_pause(c);
}

static void on_drained(struct http_exchange *x)
{
    struct http_proxy *p = http_user(x);

    http_call_resume(p->call);
}

static void end_answer(struct http_proxy *p, const struct http_head *h)
{
    cleanup_buffer struct buffer trailers = {0};
    int e = h->trailer_count ? http_forward_trailers(&trailers, h) : -ENOENT;

    http_respond_end(p->x, e < 0 ? NULL : (const char *)trailers.data);
}

/* ---- another protocol */

static void on_over(void *user, int error, const uint64_t bytes[2])
{
    struct http_proxy *p = user;
    const struct http_proxy_ops *ops = p->ops;
    void *owner = p->user;

    (void)bytes;
    proxy_free(p);
    ops->on_done(owner, NULL, error);
}

static int join(struct http_proxy *p, struct conn *client, struct buffer *sent, struct conn *server,
                const struct buffer *said)
{
    struct relay_side a = {client, buffer_bytes(sent), buffer_size(sent)};
    struct relay_side b = {server, buffer_bytes(said), buffer_size(said)};
    struct relay_options o = {.idle_ns = p->tunnel_idle_ns, .on_over = on_over, .user = p};

    return relay_start(&a, &b, &o, &p->relay);
}

/* The exchange is given back before: its owner's on_done() comes at the end of the turn, and the tunnel
 * goes on without it. */
static void on_upgrade(struct http_call *c, const struct http_head *h, struct conn *stream,
                       uint8_t *rest, size_t n)
{
    struct http_proxy *p = http_call_user(c);
    struct http_exchange *x = p->x;
    cleanup_buffer struct buffer headers = {0}, sent = {0};
    cleanup_buffer struct buffer said = {.data = rest, .end = n, .capacity = n};
    struct conn *client;

    p->call = NULL;
    if (answer_headers(p, &headers, h, h->status == 101) < 0 ||
        http_upgrade(x, (const char *)headers.data, &client, &sent.data, &sent.end) < 0) {
        conn_abort(stream, -ECONNRESET);
        finish(p, -ECONNRESET);
        return;
    }
    sent.capacity = sent.end;
    loop_timer_cancel(p->loop, &p->wait);
    http_set_owner(x, p->owner_ops, p->owner);
    p->x = NULL;
    if (p->ops->on_head)
        p->ops->on_head(p->user, x, h->status);
    if (join(p, client, &sent, stream, &said) < 0) {
        conn_abort(client, -ENOMEM);
        conn_abort(stream, -ENOMEM);
        on_over(p, -ENOMEM, (uint64_t[2]){0});
    }
}

static void on_call_done(struct http_call *c, int error, bool sent)
{
    struct http_proxy *p = http_call_user(c);
    bool late = p->deadline_ns && loop_now(p->loop) >= p->deadline_ns;

    p->call = NULL;
    if (p->refused[0]) {
        refuse(p, p->refused);
    } else if (error == 0) {
        end_answer(p, http_call_head(c));
        finish(p, 0);
    } else if (p->answered) {
        http_abort(p->x);
        finish(p, -EPIPE);
    } else if (!sent && !p->streaming && !late) {
        refuse(p, strerror(-error));
    } else {
        finish(p, error == -ETIMEDOUT || error == -EPROTO ? error : -ECONNRESET);
    }
}

static void on_gone(struct http_exchange *x, int error)
{
    struct http_proxy *p = http_user(x);

    (void)error;
    if (p->call)
        http_call_cancel(p->call);
    finish(p, -ECANCELED);
}

static const struct http_exchange_ops exchange_ops = {
    .on_body = on_body,
    .on_drained = on_drained,
    .on_gone = on_gone,
};
static const struct http_call_ops call_ops = {
    .on_continue = on_continue,
    .on_interim = on_interim,
    .on_upgrade = on_upgrade,
    .on_head = on_head,
    .on_body = on_answer_body,
    .on_drained = on_call_drained,
    .on_done = on_call_done,
};

/* A chunked body that is here in full needs no chunks any more, unless trailers came behind it. */
static bool sends_length(const struct http_proxy *p)
{
    const struct http_exchange *x = p->x;

    return !http_has_body(x) || (http_held_all(x) && !x->head.trailer_count);
}

/* Makes the call; the exchange's body is held in full, absent, or longer than what is held. */
static int make_call(struct http_proxy *p)
{
    struct http_exchange *x = p->x;
    const struct buffer *held = http_held(x);
    bool whole = !http_has_body(x) || http_held_all(x);
    struct http_call_request r = {
        .address = p->address,
        .method = x->head.method,
        .target = x->head.target,
        .content_length = sends_length(p) ? (int64_t)buffer_size(held) : x->head.content_length,
        .headers = (const char *)p->headers.data,
        .expect_continue = !whole && !p->origin,
        .deadline_ns = p->deadline_ns,
        .upgrade = p->tunnel,
        .once = true,
    };
    int e;

    if (buffer_size(&p->target))
        r.target = (struct str){(const char *)buffer_bytes(&p->target), buffer_size(&p->target)};
    e = http_call_start(p->client, &r, &call_ops, p, &p->call);
    if (e < 0)
        return e;
    p->chunked = r.content_length < 0;
    if (!whole && p->origin)
        stream(p);
    else if (!whole)
        loop_timer_set(p->loop, &p->wait, loop_now(p->loop) + CONTINUE_WAIT_NS);
    else if (buffer_size(held))
        http_call_write(p->call, buffer_bytes(held), buffer_size(held));
    if (whole && p->chunked)
        end_request(p);
    return 0;
}

static void on_held(struct http_exchange *x)
{
    struct http_proxy *p = http_user(x);
    int e;

    x->on_held = NULL;
    e = make_call(p);
    if (e < 0)
        refuse(p, strerror(-e));
}

int http_proxy_start(struct http_client *c, struct http_exchange *x,
                     const struct http_proxy_request *r, const struct http_proxy_ops *ops,
                     void *user, struct http_proxy **ret)
{
    bool connect = str_eq(x->head.method, "CONNECT");
    struct http_forward f;
    struct http_proxy *p;
    int e;

    if (!x->hc)
        return -ECONNRESET;
    if (connect && !r->tunnel)
        return -EOPNOTSUPP;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->client = c;
    p->loop = http_loop(x);
    p->x = x;
    p->ops = ops;
    p->user = user;
    p->owner_ops = x->ops;
    p->owner = x->user;
    p->deadline_ns = r->deadline_ns;
    p->origin = r->origin;
    p->tunnel_idle_ns = r->tunnel_idle_ns;
    /* A server may ignore the wish (RFC 9110 7.8), as this one does where a body comes with it. */
    p->tunnel = r->tunnel && x->head.upgrade && !http_has_body(x);
    p->wait.fn = waited;
    f = (struct http_forward){.set = r->set,
                              .trace = r->trace,
                              .upgrade = p->tunnel,
                              .trailers = x->head.chunked && !sends_length(p)};
    e = http_forward_request(&p->headers, &x->head, &f);
    e |= buffer_append(&p->target, r->target.at, r->target.n);
    p->address = strdup(r->address);
    p->answer_headers = r->answer_headers ? strdup(r->answer_headers) : NULL;
    if (!p->address || (r->answer_headers && !p->answer_headers))
        e = -ENOMEM;
    if (e == 0 && http_body_will_be_held(x))
        x->on_held = on_held;
    else if (e == 0)
        e = make_call(p);
    if (e < 0) {
        proxy_free(p);
        return e;
    }
    http_set_owner(x, &exchange_ops, p);
    *ret = p;
    return 0;
}

void http_proxy_cancel(struct http_proxy *p)
{
    if (!p->x) {
        relay_free(p->relay);
        proxy_free(p);
        return;
    }
    if (p->call)
        http_call_cancel(p->call);
    release(p);
}
