/* call.c - a call of the client: its request, its deadline, its end. Loop's thread. */
#include "http/client_internal.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Head, then body, then done; an answer without a body, or an upgrade, skips the middle. A second try
 * begins where the first one was: at the head. */
void call_set_state(struct http_call *call, enum call_state to)
{
    static const char *const names[] = {"head", "body", "done"};

    assert(to > call->state);
    log_debug("call: %s -> %s", names[call->state], names[to]);
    call->state = to;
}

/* The nearer one of the whole call's end and the answer's silence. */
static uint64_t due_at(const struct http_call *call)
{
    uint64_t silent = call->answer_timeout_ns ? call->heard_ns + call->answer_timeout_ns : UINT64_MAX;
    uint64_t end = call->deadline_ns ? call->deadline_ns : UINT64_MAX;

    return silent < end ? silent : end;
}

static void on_deadline(struct loop_timer *t)
{
    struct http_call *call = container_of(t, struct http_call, deadline);
    uint64_t now = loop_now(call->client->loop);

    /* While this side sends, or does not read, silence is its own. */
    if (!call->request_ended || call->paused || (call->on && conn_pending(call->on->conn)))
        call->heard_ns = now;
    if (now < due_at(call)) {
        loop_timer_set(call->client->loop, t, due_at(call));
        return;
    }
    call->retried = true;
    call_lost(call, -ETIMEDOUT);
}

static struct http_call *call_new(struct http_client *c)
{
    struct list *link = list_pop_front(&c->free_calls);
    struct buffer request = {0};
    struct http_call *call;

    if (link) {
        call = list_entry(link, struct http_call, link);
        request = call->request;
        c->free_count--;
    } else {
        call = malloc(sizeof(*call));
        if (!call)
            return NULL;
    }
    memset(call, 0, offsetof(struct http_call, request));
    call->request = request;
    call->client = c;
    call->deadline.fn = on_deadline;
    call->head_bytes = call->head_inline;
    list_push_back(&c->calls, &call->link);
    return call;
}

static void call_free(struct http_call *call)
{
    struct http_client *c = call->client;

    loop_timer_cancel(c->loop, &call->deadline);
    list_del(&call->link);
    buffer_done(&call->trailers);
    if (call->head_bytes != call->head_inline)
        free(call->head_bytes);
    if (call->request.capacity > CALL_REQUEST_KEPT)
        buffer_done(&call->request);
    buffer_clear(&call->request);
    if (c->free_count == HTTP_CALLS_KEPT) {
        buffer_done(&call->request);
        free(call);
        return;
    }
    list_push_front(&c->free_calls, &call->link);
    c->free_count++;
}

/* ---- ends */

static bool reached_peer(const struct http_call *call)
{
    return call->sent || (call->on && conn_maybe_sent(call->on->conn) > call->sent_before);
}

void call_done(struct http_call *call, int error)
{
    bool sent = reached_peer(call);

    loop_timer_cancel(call->client->loop, &call->deadline);
    if (call->on) {
        call->on->call = NULL;
        link_drop(call->on);
        call->on = NULL;
    }
    call->ops->on_done(call, error, sent);
    call_free(call);
}

static int put_on_link(struct http_call *call, const char *address, bool fresh)
{
    int r = link_get(call->client, address, fresh, call->deadline_ns, &call->on);

    if (r < 0)
        return r;
    call->on->call = call;
    call->sent_before = conn_sent(call->on->conn);
    /* A failure here is told by on_closed(). */
    conn_write(call->on->conn, buffer_bytes(&call->request), buffer_size(&call->request));
    return 0;
}

void call_lost(struct http_call *call, int error)
{
    struct link *k = call->on;
    bool again = k->used && !call->heard && !call->retried && call->content_length == 0 &&
                 (call->is_safe || !reached_peer(call));
    cleanup_free char *address = again ? strdup(k->pool->address) : NULL;

    if (!address) {
        call_done(call, error);
        return;
    }
    /* The peer closed a kept connection while this request was on its way. */
    call->sent = reached_peer(call);
    call->retried = true;
    call->client->stats.retries++;
    call->on = NULL;
    k->call = NULL;
    link_drop(k);
    error = put_on_link(call, address, true);
    if (error < 0)
        call_done(call, error);
}

void http_call_cancel(struct http_call *call)
{
    if (call->on) {
        call->on->call = NULL;
        link_drop(call->on);
    }
    call_free(call);
}

/* ---- the request */

static int write_head(struct buffer *b, const struct http_call_request *r)
{
    int e = 0;

    e |= buffer_append(b, r->method.at, r->method.n);
    e |= buffer_append(b, " ", 1);
    e |= buffer_append(b, r->target.at, r->target.n);
    e |= buffer_puts(b, " HTTP/1.1\r\n");
    if (r->headers)
        e |= buffer_puts(b, r->headers);
    if (r->content_length > 0)
        e |= buffer_printf(b, "Content-Length: %lld\r\n", (long long)r->content_length);
    else if (r->content_length < 0)
        e |= buffer_puts(b, "Transfer-Encoding: chunked\r\n");
    else if (str_eq(r->method, "POST") || str_eq(r->method, "PUT") || str_eq(r->method, "PATCH"))
        e |= buffer_puts(b, "Content-Length: 0\r\n");
    if (r->expect_continue)
        e |= buffer_puts(b, "Expect: 100-continue\r\n");
    e |= buffer_puts(b, "\r\n");
    return e ? -ENOMEM : 0;
}

int http_call_start(struct http_client *c, const struct http_call_request *r,
                    const struct http_call_ops *ops, void *user, struct http_call **ret)
{
    struct http_call *call = call_new(c);
    int e;

    if (!call)
        return -ENOMEM;
    call->ops = ops;
    call->user = user;
    call->deadline_ns = r->deadline_ns;
    call->retried = r->once;
    call->is_head = str_eq(r->method, "HEAD");
    call->is_safe = call->is_head || str_eq(r->method, "GET") || str_eq(r->method, "OPTIONS");
    call->is_connect = str_eq(r->method, "CONNECT");
    call->upgrade = r->upgrade;
    call->content_length = r->content_length;
    call->chunked_request = r->content_length < 0;
    call->request_left = r->content_length > 0 ? r->content_length : 0;
    call->request_ended = r->content_length == 0;
    e = write_head(&call->request, r);
    if (e == 0)
        e = put_on_link(call, r->address, false);
    if (e < 0) {
        call_free(call);
        return e;
    }
    c->stats.calls++;
    call->answer_timeout_ns = r->answer_timeout_ns;
    call->heard_ns = loop_now(c->loop);
    if (due_at(call) != UINT64_MAX)
        loop_timer_set(c->loop, &call->deadline, due_at(call));
    *ret = call;
    return 0;
}

void *http_call_user(const struct http_call *c)
{
    return c->user;
}

const struct http_head *http_call_head(const struct http_call *c)
{
    return &c->head;
}

void http_call_write(struct http_call *call, const void *data, size_t n)
{
    char size[HTTP_CHUNK_SIZE_TEXT];

    if (!call->on || call->request_ended || !n)
        return;
    if (call->chunked_request) {
        conn_writev(call->on->conn,
                    (struct iovec[]){{size, http_chunk_size_text(n, size)},
                                     {(void *)(uintptr_t)data, n},
                                     {(void *)(uintptr_t) "\r\n", 2}},
                    3);
        return;
    }
    n = n < (uint64_t)call->request_left ? n : (size_t)call->request_left;
    call->request_left -= (int64_t)n;
    call->request_ended = !call->request_left;
    conn_write(call->on->conn, data, n);
}

void http_call_end(struct http_call *call, const char *trailers)
{
    if (!call->on || !call->chunked_request || call->request_ended)
        return;
    call->request_ended = true;
    conn_writev(call->on->conn,
                (struct iovec[]){{(void *)(uintptr_t) "0\r\n", 3},
                                 {(void *)(uintptr_t)trailers, trailers ? strlen(trailers) : 0},
                                 {(void *)(uintptr_t) "\r\n", 2}},
                3);
}

bool http_call_congested(const struct http_call *call)
{
    return call->on && conn_congested(call->on->conn);
}

void http_call_pause(struct http_call *call)
{
    call->paused = true;
    if (call->on)
        conn_pause(call->on->conn);
}

void http_call_resume(struct http_call *call)
{
    call->paused = false;
    if (call->on)
        conn_resume(call->on->conn);
}
