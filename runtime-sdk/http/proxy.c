/* proxy.c - one exchange passed on to another server. On the loop's thread.
 *
 * The exchange stays whole, so that it can go elsewhere, as long as its body is
 * not read from it: a body that is held in full is sent as a copy, a longer one
 * is announced with "Expect: 100-continue" and read only when the peer says so
 * (or says nothing for a while: old servers do not know the expectation). */
#include "http/proxy.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/parser.h"
#include "http/server_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONTINUE_WAIT_NS NS_PER_S
enum { REASON_MAX = 128 };

struct http_proxy {
    struct http_client *client;
    struct http_exchange *x;
    struct http_call *call; /* NULL while a small body is still arriving */
    const struct http_proxy_ops *ops;
    void *user;
    const struct http_exchange_ops *owner_ops; /* given back at the end */
    void *owner;
    uint64_t deadline_ns;
    struct loop_timer wait;      /* for the 100 */
    bool streaming;              /* the body is being read from the exchange */
    bool answered;               /* the answer's head went to the client */
    bool chunked;                /* request body */
    bool origin;                 /* as in the request */
    size_t answer_headers_count; /* fields of the answer's head; what follows are trailers */
    char refused[REASON_MAX];    /* the peer's reason; "": not refused */
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
    loop_timer_cancel(http_loop(p->x), &p->wait);
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

/* ---- headers */

/* Does one of the lines in `set` ("Name: value\r\n"...) have this name? */
static bool lines_have(const char *set, struct str name)
{
    for (const char *p = set; p && *p;) {
        const char *end = strstr(p, "\r\n");

        if (!strncasecmp(p, name.at, name.n) && p[name.n] == ':')
            return true;
        p = end ? end + 2 : NULL;
    }
    return false;
}

static bool hop_by_hop(const struct http_head *h, struct str name)
{
    static const char *const names[] = {
        "connection",        "keep-alive", "proxy-connection", "te",     "transfer-encoding",
        "upgrade",           "trailer",    "content-length",   "expect", "proxy-authorization",
        "proxy-authenticate"};
    char lower[64];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(name, names[i]))
            return true;
    }
    if (name.n >= sizeof(lower))
        return false;
    memcpy(lower, name.at, name.n);
    lower[name.n] = '\0';
    for (size_t i = 0; i < h->header_count; i++) {
        if (str_ieq(h->headers[i].name, "connection") && http_list_has(h->headers[i].value, lower))
            return true;
    }
    return false;
}

static bool is_platform_header(struct str name)
{
    return name.n >= 6 && str_ieq((struct str){name.at, 6}, "rouse-");
}

static int add_line(struct buffer *b, struct str name, struct str value)
{
    uint8_t *to = buffer_reserve(b, name.n + value.n + 4);

    if (!to)
        return -ENOMEM;
    memcpy(to, name.at, name.n);
    to += name.n;
    memcpy(to, ": ", 2);
    memcpy(to + 2, value.at, value.n);
    memcpy(to + 2 + value.n, "\r\n", 2);
    buffer_commit(b, name.n + value.n + 4);
    return 0;
}

static int request_headers(struct buffer *b, const struct http_head *h, const char *set)
{
    int e = 0;

    if (!lines_have(set, STR("Host")))
        e |= add_line(b, STR("Host"), h->host.n ? h->host : STR("localhost"));
    for (size_t i = 0; i < h->header_count; i++) {
        struct str name = h->headers[i].name;

        if (str_ieq(name, "host") || hop_by_hop(h, name) || lines_have(set, name) ||
            is_platform_header(name))
            continue;
        e |= add_line(b, name, h->headers[i].value);
    }
    if (set)
        e |= buffer_puts(b, set);
    return e ? -ENOMEM : buffer_append(b, "", 1);
}

static int answer_headers(const struct http_proxy *p, struct buffer *b, const struct http_head *h)
{
    const char *added = p->answer_headers;
    int e = 0;

    for (size_t i = 0; i < h->header_count; i++) {
        struct str name = h->headers[i].name;

        if (!hop_by_hop(h, name) && !str_ieq(name, "date") && !lines_have(added, name) &&
            !(p->origin && is_platform_header(name)))
            e |= add_line(b, name, h->headers[i].value);
    }
    if (added)
        e |= buffer_puts(b, added);
    return e ? -ENOMEM : buffer_append(b, "", 1);
}

/* ---- the request's body */

static void stream(struct http_proxy *p)
{
    if (p->streaming)
        return;
    loop_timer_cancel(http_loop(p->x), &p->wait);
    p->streaming = true;
    http_read_body(p->x, 0);
}

static void waited(struct loop_timer *t)
{
    stream(container_of(t, struct http_proxy, wait));
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct http_proxy *p = http_user(x);

    http_call_write(p->call, data, n);
    if (last && p->chunked)
        http_call_end(p->call);
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

static void on_head(struct http_call *c, const struct http_head *h)
{
    struct http_proxy *p = http_call_user(c);
    const struct str *reason = http_head_get(h, "Rouse-Refused");
    cleanup_buffer struct buffer b = {0};

    /* A peer that answers 2xx without a word about the expectation reads on; an error is final. */
    if (loop_timer_armed(&p->wait) && h->status < 300)
        stream(p);
    loop_timer_cancel(http_loop(p->x), &p->wait);
    if (h->status == 503 && reason && !p->streaming && !p->origin) {
        size_t n = reason->n < REASON_MAX ? reason->n : REASON_MAX - 1;

        memcpy(p->refused, reason->at, n);
        if (!n)
            memcpy(p->refused, "refused", 8);
        return;
    }
    p->answer_headers_count = h->header_count;
    if (h->status == 101 || answer_headers(p, &b, h) < 0) {
        /* Nobody asked to switch protocols: Upgrade is dropped with the other hop-by-hop headers.
         */
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
    int e = 0;

    for (size_t i = p->answer_headers_count; i < h->header_count; i++)
        e |= add_line(&trailers, h->headers[i].name, h->headers[i].value);
    e |= buffer_append(&trailers, "", 1);
    http_respond_end(p->x, e ? NULL : (const char *)trailers.data);
}

static void on_call_done(struct http_call *c, int error, bool sent)
{
    struct http_proxy *p = http_call_user(c);
    bool late = p->deadline_ns && loop_now(http_loop(p->x)) >= p->deadline_ns;

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
    .on_head = on_head,
    .on_body = on_answer_body,
    .on_drained = on_call_drained,
    .on_done = on_call_done,
};

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
        .content_length = whole ? (int64_t)buffer_size(held) : x->head.content_length,
        .headers = (const char *)p->headers.data,
        .expect_continue = !whole && !p->origin,
        .deadline_ns = p->deadline_ns,
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
        loop_timer_set(http_loop(x), &p->wait, loop_now(http_loop(x)) + CONTINUE_WAIT_NS);
    else if (buffer_size(held))
        http_call_write(p->call, buffer_bytes(held), buffer_size(held));
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
    struct http_proxy *p;
    int e;

    if (!x->hc)
        return -ECONNRESET;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->client = c;
    p->x = x;
    p->ops = ops;
    p->user = user;
    p->owner_ops = x->ops;
    p->owner = x->user;
    p->deadline_ns = r->deadline_ns;
    p->origin = r->origin;
    p->wait.fn = waited;
    e = request_headers(&p->headers, &x->head, r->set);
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
    if (p->call)
        http_call_cancel(p->call);
    release(p);
}
