/* body.c - the request's body of an exchange: held, then read by the owner, or swallowed. */
#include "http/server_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void http_body_init(struct http_exchange *x)
{
    x->left = x->head.content_length > 0 ? (uint64_t)x->head.content_length : 0;
    x->body_done = !x->head.chunked && !x->left;
}

bool http_has_body(const struct http_exchange *x)
{
    return x->head.chunked || x->head.content_length > 0;
}

const struct buffer *http_held(const struct http_exchange *x)
{
    return &x->held;
}

bool http_held_all(const struct http_exchange *x)
{
    return x->body_done && x->received == buffer_size(&x->held);
}

bool http_body_will_be_held(const struct http_exchange *x)
{
    return !x->body_done && !x->reading && !x->head.chunked &&
           (uint64_t)x->head.content_length <= x->server->o.hold_limit &&
           (!x->head.expect_continue || x->received);
}

bool http_body_is_due(const struct http_exchange *x)
{
    if (x->body_done || x->paused)
        return false;
    if (x->head.expect_continue && !x->continue_sent && !x->received)
        return false;
    return x->answer == ANSWER_ENDED || x->reading || buffer_size(&x->held) < x->server->o.hold_limit;
}

/* The owner is let go of; what the client gets depends on how far the answer was. */
static void fail(struct http_exchange *x, int status, const char *why, int error)
{
    struct http_connection *hc = x->hc;

    if (x->answer == ANSWER_ENDED) {
        /* The owner is done; only the framing of what is swallowed broke. */
        hc->closing = true;
        x->keep_alive = false;
        if (list_empty(&x->done.link))
            http_connection_next(hc);
    } else if (x->answer == ANSWER_STARTED) {
        http_connection_cut(hc, error);
    } else {
        hc->exchange = NULL;
        hc->refuse_bare = http_answer_is_bare(x->head.method, status);
        http_connection_refuse(hc, status, x->refusal_headers, why);
        http_exchange_gone(x, error);
    }
}

static void too_large(struct http_exchange *x)
{
    char why[64];

    snprintf(why, sizeof(why), "the body is larger than %llu bytes", (unsigned long long)x->limit);
    fail(x, 413, why, -EMSGSIZE);
}

/* The trailer section; its bytes stay with the exchange. */
static int take_trailers(struct http_exchange *x, const uint8_t *in, size_t n)
{
    const char *why;

    if (buffer_append(&x->trailers, in, n) < 0)
        return -ENOMEM;
    return http_parse_trailers(&x->head, (const char *)buffer_bytes(&x->trailers), n, &why) ? -EPROTO
                                                                                            : 0;
}

/* The next run of body bytes among `n` raw ones. */
static int decode(struct http_exchange *x, const uint8_t *in, size_t n, size_t *ret_used,
                  const uint8_t **ret_data, size_t *ret_size)
{
    int r;

    if (!x->head.chunked) {
        size_t run = x->left < n ? (size_t)x->left : n;

        x->left -= run;
        x->body_done = !x->left;
        *ret_data = in;
        *ret_used = *ret_size = run;
        return 0;
    }
    r = http_chunked_next(&x->chunked, in, n, ret_used, ret_data, ret_size);
    if (r == 0 && x->chunked.state == CHUNKED_END) {
        x->body_done = true;
        if (*ret_size)
            r = take_trailers(x, *ret_data, *ret_size);
        *ret_size = 0;
    }
    return r;
}

static void swallow(struct http_exchange *x, size_t size)
{
    x->discarded += size;
    if (x->discarded > HTTP_DISCARD_MAX)
        x->keep_alive = false;
    /* While on_done() is still to come, http_exchange_done() goes on from here. */
    if ((x->body_done || !x->keep_alive) && list_empty(&x->done.link))
        http_connection_next(x->hc);
}

static void pass(struct http_exchange *x, const uint8_t *data, size_t size)
{
    bool last = x->body_done;

    if (!size && !last)
        return;
    x->last_told = last;
    if (x->ops->on_body)
        x->ops->on_body(x, data, size, last);
}

size_t http_body_feed(struct http_exchange *x, const uint8_t *in, size_t n)
{
    struct http_connection *hc = x->hc;
    const uint8_t *data;
    size_t used, size;
    bool hold = !x->reading && x->answer != ANSWER_ENDED;
    int r;

    /* Held bytes that were not handed over yet come first. */
    if (x->answer != ANSWER_ENDED && (x->paused || (x->reading && buffer_size(&x->held)))) {
        conn_pause(hc->conn);
        return 0;
    }
    if (hold) {
        size_t room = x->server->o.hold_limit - buffer_size(&x->held);

        n = n < room ? n : room;
        if (!n) {
            conn_pause(hc->conn);
            return 0;
        }
    }
    r = decode(x, in, n, &used, &data, &size);
    if (r < 0) {
        fail(x, 400, "the body's chunks are malformed", -EPROTO);
        return n;
    }
    if (!used)
        return 0;
    x->received += size;
    if (x->body_done && hc->wait == WAIT_BODY)
        http_connection_await(hc, WAIT_OWNER);
    if (x->answer == ANSWER_ENDED) {
        swallow(x, size);
    } else if (hold) {
        if (buffer_append(&x->held, data, size) < 0)
            fail(x, 503, "out of memory", -ENOMEM);
        else if (x->body_done && x->on_held)
            x->on_held(x);
    } else if (x->limit && x->received > x->limit) {
        too_large(x);
    } else {
        pass(x, data, size);
    }
    return used;
}

void http_body_deliver(struct loop_deferred *d)
{
    struct http_exchange *x = container_of(d, struct http_exchange, deliver);

    if (!x->hc || x->answer == ANSWER_ENDED || x->paused)
        return;
    if (x->limit && (x->received > x->limit || x->head.content_length > (int64_t)x->limit)) {
        too_large(x);
        return;
    }
    if (buffer_size(&x->held)) {
        cleanup_buffer struct buffer held = x->held;

        x->held = (struct buffer){0};
        pass(x, buffer_bytes(&held), buffer_size(&held));
    } else if (x->body_done && !x->last_told) {
        pass(x, NULL, 0);
    }
    if (x->hc && !x->body_done && !x->paused) {
        if (http_body_is_due(x))
            http_connection_await(x->hc, WAIT_BODY); /* how long it was kept is not the client's fault */
        conn_resume(x->hc->conn);
    }
}

void http_read_body(struct http_exchange *x, uint64_t limit)
{
    if (x->reading || !x->hc)
        return;
    x->reading = true;
    x->limit = limit < INT64_MAX ? limit : INT64_MAX;
    loop_defer(x->server->loop, &x->deliver);
    if (x->head.expect_continue && !x->body_done && !x->received && !x->continue_sent &&
        x->answer == ANSWER_NONE && !(limit && x->head.content_length > (int64_t)x->limit)) {
        x->continue_sent = true;
        conn_write(x->hc->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    if (!x->body_done)
        http_connection_await(x->hc, WAIT_BODY);
}

void http_pause_body(struct http_exchange *x)
{
    x->paused = true;
    if (x->hc)
        conn_pause(x->hc->conn);
}

void http_resume_body(struct http_exchange *x)
{
    if (!x->paused)
        return;
    x->paused = false;
    if (x->hc)
        loop_defer(x->server->loop, &x->deliver);
}
