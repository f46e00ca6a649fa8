/* proxied.c - an invocation of a function that is an HTTP server: its exchange is passed on as it is.
 *
 * The slot is held from the request's head to the answer's last byte, or to the end of the stream that
 * an upgrade made of the connection: that has no time-out, and lives until either side ends it. Then, or when the client leaves
 * or the time-out has passed, the connection to the function is what ends, since nothing else can tell
 * a server to stop. One that breaks off says nothing of why: if its process has ended, that will be
 * known in a moment, and is the better answer; so its port is asked. On one loop. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/proxy.h"
#include "invoke/http_link.h"
#include "invoke/invocation_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define END_NS (120 * NS_PER_MS) /* above a period of the CPU quota */

static struct http_link *server_of(const struct invocation *i)
{
    return i->s.link->http;
}

/* ---------------------------------------------------------------- the request's head */

/* The list as it came, and the client: what stands last is this platform's word. */
static int put_forwarded_for(struct buffer *b, const struct http_head *h, const char *client)
{
    int e = buffer_puts(b, "X-Forwarded-For: ");

    for (size_t k = 0; k < h->header_count; k++)
        if (str_ieq(h->headers[k].name, "x-forwarded-for"))
            e |= buffer_printf(b, "%.*s, ", (int)h->headers[k].value.n, h->headers[k].value.at);
    return e | buffer_printf(b, "%s\r\n", client);
}

/* Whoever ended the client's TLS in front of the gateway knows better than we do. */
static int put_forwarded(struct buffer *b, const struct http_head *h, const char *name,
                         struct str otherwise)
{
    const struct str *given = http_head_get(h, name);
    struct str v = given ? *given : otherwise;

    return buffer_printf(b, "%s: %.*s\r\n", name, (int)v.n, v.at);
}

static int put_headers(struct buffer *b, const struct invocation *i)
{
    const struct http_head *h = http_head(i->x);
    int e = put_forwarded_for(b, h, i->params.client_ip);

    e |= put_forwarded(b, h, "X-Forwarded-Proto", STR("http"));
    e |= put_forwarded(b, h, "X-Forwarded-Host", h->host);
    e |= buffer_printf(b, "Rouse-Request-Id: %s\r\nRouse-Deadline: %" PRIu64 "\r\n",
                       i->params.request_id, clock_wall_ms() + i->params.timeout_ms);
    return e | buffer_append(b, "", 1);
}

static int put_target(struct buffer *b, const struct invocation *i)
{
    struct str query = http_head(i->x)->query;
    int e = buffer_append(b, i->params.raw_path.at, i->params.raw_path.n);

    return query.n ? e | buffer_printf(b, "?%.*s", (int)query.n, query.at) : e;
}

/* ---------------------------------------------------------------- ends */

static void fail(struct invocation *i)
{
    invocation_tell_log(i, i->refusal.message);
    invocation_client_fail(i, &i->refusal, false);
    invocation_release(i);
}

static size_t no_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}

static void on_still_there(struct conn *c)
{
    fail(conn_user(c));
}

/* Its process ends, or it hung up: what becomes of the instance is what becomes of this. */
static void on_not_there(struct conn *c, int error)
{
    struct invocation *i = conn_user(c);

    i->probe = NULL;
    if (error == -ETIMEDOUT) /* too busy to accept */
        fail(i);
    else
        link_closed(i->s.link, NULL);
}

static void on_ask(struct loop_timer *t)
{
    static const struct conn_ops ops = {
        .on_data = no_data, .on_connected = on_still_there, .on_closed = on_not_there};
    struct invocation *i = container_of(t, struct invocation, timer);
    int r = http_link_dial(server_of(i), &ops, i, &i->probe);

    if (r < 0 && r != -ENOTCONN) /* else its end is known, and will be told */
        fail(i);
}

/* The connection broke. A process that ends closes its port too, in no order, and may be stopped in
 * the midst of it until its share of the CPU comes round again. */
static void broke(struct invocation *i, const char *reason, const char *message)
{
    i->refusal = (struct failure){.status = 502, .reason = reason, .message = message};
    i->timer.fn = on_ask;
    loop_timer_set(i->s.link->loop, &i->timer, loop_now(i->s.link->loop) + END_NS);
}

void proxied_done(struct invocation *i)
{
    struct conn *c = TAKE_PTR(i->probe);

    if (c) {
        conn_set_user(c, NULL, NULL);
        conn_abort(c, 0);
    }
}

/* A server that does not accept connections any more is a runtime that hung up; the request has not
 * been sent. What that means for the instance must be known before the request looks for a slot
 * again, and must not end this invocation with the others. */
static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    struct invocation *i = user;
    struct runtime_link *link = i->s.link;
    const struct invoke_outcome o = {.refused = true};
    void (*done)(void *to, const struct invoke_outcome *told) = i->s.on_done;
    void *entry = i->s.user;

    (void)x, (void)reason;
    i->proxy = NULL;
    i->x = NULL;
    list_del(&i->link);
    link_closed(link, NULL);
    invocation_release(i);
    done(entry, &o);
}

static void on_head(void *user, struct http_exchange *x, int status)
{
    struct invocation *i = user;

    (void)x;
    i->status = status;
    if (status != 101)
        return;
    loop_timer_cancel(i->s.link->loop, &i->timer);
    server_of(i)->overdue = 0;
    invocation_leave_exchange(i, status, false);
}

static void on_done(void *user, struct http_exchange *x, int error)
{
    struct invocation *i = user;

    i->proxy = NULL;
    if (!x) {
        invocation_release(i);
        return;
    }
    invocation_own_exchange(i);
    switch (error) {
    case 0:
        server_of(i)->overdue = 0;
        i->s.ops->on_answered(i->s.owner, i);
        invocation_leave_exchange(i, i->status, false);
        invocation_release(i);
        return;
    case -ECANCELED:
        i->gone = true;
        invocation_release(i);
        return;
    case -EPIPE:
        invocation_leave_exchange(i, 502, true);
        broke(i, "FunctionError", "the function broke off in the middle of its answer");
        return;
    case -ETIMEDOUT:
        loop_timer_cancel(i->s.link->loop, &i->timer);
        invocation_on_timeout(&i->timer);
        return;
    case -EPROTO:
        broke(i, "InvalidAnswer", "the function's answer is not valid HTTP");
        return;
    default:
        broke(i, "FunctionError", "the function closed the connection without an answer");
    }
}

static const struct http_proxy_ops proxy_ops = {
    .on_refused = on_refused, .on_head = on_head, .on_done = on_done};

void proxied_cut(struct invocation *i, int status)
{
    struct http_exchange *x = i->x;

    http_proxy_cancel(TAKE_PTR(i->proxy));
    if (!x) /* upgraded */
        return;
    invocation_own_exchange(i);
    if (!http_respond_started(x))
        return;
    invocation_leave_exchange(i, status, true);
    http_abort(x);
}

void proxied_overdue(struct invocation *i)
{
    server_of(i)->overdue++;
    if (i->proxy)
        proxied_cut(i, 504);
}

/* ---------------------------------------------------------------- the start */

int proxied_begin(struct invocation *i)
{
    cleanup_buffer struct buffer set = {0}, target = {0};
    struct http_link *h = server_of(i);
    char added[64 + 128];
    struct http_proxy_request r = {.address = h->address,
                                   .origin = true,
                                   .trace = i->params.trace,
                                   .answer_headers = added,
                                   .tunnel = http_head(i->x)->upgrade,
                                   .tunnel_idle_ns = INVOKE_TUNNEL_IDLE_NS};
    int e;

    if (put_headers(&set, i) < 0 || put_target(&target, i) < 0)
        return -ENOMEM;
    snprintf(added, sizeof(added), "Rouse-Request-Id: %.128s\r\n", i->params.request_id);
    r.set = (const char *)buffer_bytes(&set);
    r.target = (struct str){(const char *)buffer_bytes(&target), buffer_size(&target)};
    e = http_proxy_start(h->client, i->x, &r, &proxy_ops, i, &i->proxy);
    if (e < 0)
        return e;
    list_push_back(&h->running, &i->of_server);
    invocation_started(i);
    return 0;
}
