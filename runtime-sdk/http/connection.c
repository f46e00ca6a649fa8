/* connection.c - one client's stream: finds the requests in it. Loop's thread. */
#include "http/server_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void http_connection_free(struct http_connection *hc)
{
    if (hc->server->feeding == hc)
        hc->server->feed->over = true;
    http_server_remove(hc->server, hc);
    free(hc);
}

void http_connection_cut(struct http_connection *hc, int error)
{
    struct http_exchange *x = hc->exchange;

    conn_set_user(hc->conn, NULL, NULL);
    conn_abort(hc->conn, error);
    http_connection_free(hc);
    if (x)
        http_exchange_gone(x, error);
}

void http_connection_refuse(struct http_connection *hc, int status, const char *headers,
                            const char *why)
{
    hc->server->stats.bad_requests++;
    hc->closing = true;
    http_write_error(hc, status, headers, why);
    conn_linger(hc->conn);
}

void http_connection_close(struct http_connection *hc, bool linger)
{
    hc->closing = true;
    if (linger)
        conn_linger(hc->conn);
    else
        conn_close(hc->conn);
}

void http_exchange_refuse(struct http_exchange *x, int status, const char *why, int error)
{
    struct http_connection *hc = x->hc;

    if (x->answer != ANSWER_NONE) {
        http_connection_cut(hc, error);
        return;
    }
    hc->exchange = NULL;
    hc->refuse_bare = http_answer_is_bare(x->head.method, status);
    http_connection_refuse(hc, status, x->refusal_headers, why);
    http_exchange_gone(x, error);
}

/* ---- input */

static struct http_exchange *begin(struct http_connection *hc, const uint8_t *in, size_t n)
{
    struct http_exchange *x = http_exchange_new(hc);
    const char *why;
    int r;

    if (x && n > HTTP_HEAD_INLINE) {
        x->head_bytes = malloc(n);
        if (!x->head_bytes) {
            x->head_bytes = x->head_inline;
            http_exchange_free(x);
            x = NULL;
        }
    }
    if (!x) {
        http_connection_refuse(hc, 503, "", "out of memory");
        return NULL;
    }
    memcpy(x->head_bytes, in, n);
    r = http_parse_request(&x->head, x->head_bytes, n, &why);
    if (r == 0 && !hc->server->o.connect && str_eq(x->head.method, "CONNECT")) {
        r = 405; /* nobody here opens connections for strangers */
        why = "CONNECT is not for this server";
    }
    if (r) {
        http_exchange_free(x);
        http_connection_refuse(
            hc, r, r == 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" : "", why);
        return NULL;
    }
    return x;
}

/* The time for a head counts from its first byte, whatever comes after. */
static size_t incomplete(struct http_connection *hc)
{
    if (!hc->in_head) {
        hc->in_head = true;
        http_connection_await(hc, WAIT_HEAD);
    }
    return 0;
}

/* One head. Bytes used; 0: it is not complete. */
static size_t take_head(struct http_connection *hc, const uint8_t *in, size_t n)
{
    struct http_server *s = hc->server;
    struct http_exchange *x;
    const char *why;
    size_t size;
    int r;

    if (!hc->scan.seen) {
        if (in[0] == '\r' && (n == 1 || in[1] == '\n')) {
            incomplete(hc);
            return n == 1 ? 0 : 2; /* an empty line before a request is ignored, RFC 9112 2.2 */
        }
        if (!http_is(in[0], HTTP_TOKEN)) {
            http_connection_refuse(hc, 400, "", "the request line has no method");
            return n;
        }
    }
    r = http_scan_head(&hc->scan, in, n, &size, &why);
    if (r) {
        http_connection_refuse(hc, r, "", why);
        return n;
    }
    if (!size)
        return incomplete(hc);
    hc->scan = (struct http_scan){0};
    hc->in_head = false;
    x = begin(hc, in, size);
    if (!x)
        return n;
    hc->exchange = x;
    s->stats.requests++;
    http_body_init(x);
    return size;
}

static size_t feed_body(struct http_connection *hc, struct http_feed *feed)
{
    size_t used = http_body_feed(hc->exchange, feed->in + feed->at, feed->n - feed->at);

    feed->at += used;
    return used;
}

/* Takes a head and, so that its owner sees a small body whole, what came of the body with it.
 * False: the head is not complete. */
static bool feed_request(struct http_connection *hc, struct http_feed *feed)
{
    struct http_server *s = hc->server;
    struct http_exchange *x;
    size_t used = take_head(hc, feed->in + feed->at, feed->n - feed->at);

    feed->at += used;
    x = hc->exchange;
    if (!x)
        return used > 0;
    while (hc->exchange == x && !x->body_done && feed->at < feed->n && feed_body(hc, feed))
        ;
    if (hc->exchange != x) /* its body was malformed */
        return true;
    http_connection_await(hc, x->body_done ? WAIT_OWNER : WAIT_BODY);
    s->o.on_request(x, s->o.user);
    return true;
}

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct http_connection *hc = conn_user(c);
    struct http_server *s = hc->server;
    struct http_feed feed = {.in = in, .n = n};

    s->feeding = hc;
    s->feed = &feed;
    while (feed.at < n && !feed.over) {
        struct http_exchange *x = hc->exchange;

        if (hc->closing) {
            feed.at = n;
        } else if (x) {
            /* The next request waits for this one's answer. */
            if (x->body_done) {
                conn_pause(c);
                break;
            }
            if (!feed_body(hc, &feed))
                break;
        } else if (conn_congested(c)) {
            conn_pause(c); /* earlier answers first */
            break;
        } else if (!feed_request(hc, &feed)) {
            break;
        }
    }
    s->feeding = NULL;
    return feed.over ? n : feed.at;
}

static void await_request(struct http_connection *hc)
{
    if (hc->server->draining) {
        http_connection_close(hc, false);
        return;
    }
    if (conn_congested(hc->conn)) { /* on_drained() goes on: answers pile up no higher */
        http_connection_await(hc, WAIT_TAKEN);
        return;
    }
    http_connection_await(hc, WAIT_REQUEST);
    conn_resume(hc->conn);
}

static void on_drained(struct conn *c)
{
    struct http_connection *hc = conn_user(c);
    struct http_exchange *x = hc->exchange;

    if (!x && !hc->closing)
        await_request(hc);
    else if (x->answer == ANSWER_STARTED && x->ops->on_drained)
        x->ops->on_drained(x);
}

/* The client will send no more. One that still waits for an answer has left, as far as anybody can
 * tell: a half-closed stream looks the same, and its answer is worth less than the slot it holds.
 */
static void on_eof(struct conn *c)
{
    struct http_connection *hc = conn_user(c);

    if (hc->exchange && hc->exchange->answer != ANSWER_ENDED)
        http_connection_cut(hc, -ECONNRESET);
    else
        http_connection_close(hc, false);
}

static void on_closed(struct conn *c, int error)
{
    struct http_connection *hc = conn_user(c);
    struct http_exchange *x = hc->exchange;

    http_connection_free(hc);
    if (x)
        http_exchange_gone(x, error == -ETIMEDOUT ? error : -ECONNRESET);
}

static const struct conn_ops connection_ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_eof = on_eof,
    .on_closed = on_closed,
    .on_left = on_eof,
};

/* ---- between requests */

void http_connection_next(struct http_connection *hc)
{
    struct http_exchange *x = hc->exchange;

    if (!x->body_done && x->keep_alive) {
        /* What is left of the body is swallowed first, see http_body_feed(). */
        conn_resume(hc->conn);
        return;
    }
    hc->exchange = NULL;
    if (x->keep_alive)
        await_request(hc);
    else
        http_connection_close(hc, !x->body_done);
    http_exchange_free(x);
}

int http_connection_open(struct http_server *s, int fd)
{
    struct http_connection *hc = calloc(1, sizeof(*hc));
    int r;

    if (!hc)
        return -ENOMEM;
    hc->server = s;
    list_init(&hc->link);
    r = conn_open(s->loop, fd, &connection_ops, NULL, hc, &hc->conn);
    if (r < 0) {
        free(hc);
        return r;
    }
    http_server_add(s);
    http_connection_await(hc, WAIT_HEAD);
    return 0;
}
