/* answer.c - the answer of an exchange: its framing, its end, and the stream that may follow it. */
#include "http/server_internal.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static struct iovec part(const void *at, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)at, n};
}
#define PART(literal) part(literal, sizeof(literal) - 1)

/* A client may be gone, or the server's answer be the last word, at any time: hence from each to the end. */
static void set_answer(struct http_exchange *x, enum http_answer_state to)
{
    static const char *const names[] = {"none", "started", "ended"};

    assert(to > x->answer);
    log_debug("answer: %s -> %s", names[x->answer], names[to]);
    x->answer = to;
}

/* The connection can serve another request after this answer. */
static bool may_keep(const struct http_exchange *x)
{
    if (!x->head.keep_alive || x->server->draining)
        return false;
    if (x->body_done)
        return true;
    /* A client that was never told to continue may or may not send its body: nobody can tell. */
    if (x->head.expect_continue && !x->continue_sent && !x->received)
        return false;
    return x->head.chunked || x->left <= HTTP_DISCARD_MAX;
}

/* What the answer will be like; returns how its head says so. */
static struct http_answer_head settle(struct http_exchange *x, int status, const char *headers,
                                      int64_t length)
{
    bool framed = status >= 200 && status != 204 && status != 304;
    struct http_answer_head h = {.status = status, .headers = headers, .length = framed ? length : -1};

    x->keep_alive = may_keep(x);
    x->answer_bare = http_answer_is_bare(x->head.method, status);
    x->answer_left = length;
    if (framed && length < 0 && x->head.minor > 0)
        h.chunked = x->answer_chunked = true;
    else if (framed && length < 0) /* the end of the stream ends the body */
        x->keep_alive = x->keep_alive && x->answer_bare;
    if (!x->keep_alive)
        h.connection = "Connection: close\r\n";
    else if (x->head.minor == 0)
        h.connection = "Connection: keep-alive\r\n";
    return h;
}

static void end_answer(struct http_exchange *x)
{
    set_answer(x, ANSWER_ENDED);
    loop_defer(x->server->loop, &x->done);
}

void http_respond(struct http_exchange *x, int status, const char *headers, const void *body, size_t n)
{
    struct http_answer_head h;

    if (!x->hc || x->answer != ANSWER_NONE)
        return;
    h = settle(x, status, headers, (int64_t)n);
    http_write_head(x->hc, &h, body, x->answer_bare ? 0 : n);
    end_answer(x);
}

void http_respond_start(struct http_exchange *x, int status, const char *headers,
                        int64_t content_length)
{
    struct http_answer_head h;

    if (!x->hc || x->answer != ANSWER_NONE)
        return;
    h = settle(x, status, headers, content_length);
    http_write_head(x->hc, &h, NULL, 0);
    set_answer(x, ANSWER_STARTED);
}

void http_respond_write(struct http_exchange *x, const void *data, size_t n)
{
    char size[HTTP_CHUNK_SIZE_TEXT];

    if (!x->hc || x->answer != ANSWER_STARTED || !n || x->answer_bare)
        return;
    if (x->answer_chunked) {
        conn_writev(x->hc->conn,
                    (struct iovec[]){part(size, http_chunk_size_text(n, size)), part(data, n),
                                     PART("\r\n")},
                    3);
    } else if (x->answer_left >= 0 && n > (uint64_t)x->answer_left) {
        http_abort(x); /* more than was declared: the client would read it as the next answer */
    } else {
        if (x->answer_left >= 0)
            x->answer_left -= (int64_t)n;
        conn_write(x->hc->conn, data, n);
    }
}

void http_respond_end(struct http_exchange *x, const char *trailers)
{
    if (!x->hc || x->answer != ANSWER_STARTED)
        return;
    if (!x->answer_bare && x->answer_left > 0) {
        http_abort(x);
        return;
    }
    if (x->answer_chunked && !x->answer_bare) {
        conn_writev(x->hc->conn,
                    (struct iovec[]){PART("0\r\n"), part(trailers, trailers ? strlen(trailers) : 0),
                                     PART("\r\n")},
                    3);
    }
    end_answer(x);
}

void http_respond_interim(struct http_exchange *x, int status, const char *headers)
{
    if (x->hc && x->answer == ANSWER_NONE && x->head.minor > 0)
        http_write_head(x->hc,
                        &(struct http_answer_head){
                            .status = status, .headers = headers, .length = -1, .interim = true},
                        NULL, 0);
}

bool http_respond_started(const struct http_exchange *x)
{
    return x->answer != ANSWER_NONE;
}

bool http_congested(const struct http_exchange *x)
{
    return x->hc && conn_congested(x->hc->conn);
}

void http_abort(struct http_exchange *x)
{
    struct http_connection *hc = x->hc;

    if (!hc || x->answer == ANSWER_ENDED)
        return;
    end_answer(x); /* the owner knows: no on_gone() */
    http_connection_cut(hc, -ECONNABORTED);
}

/* ---- ends */

void http_exchange_gone(struct http_exchange *x, int error)
{
    bool ended = x->answer == ANSWER_ENDED, told = ended && list_empty(&x->done.link);

    x->hc = NULL;
    if (told) {
        http_exchange_free(x); /* only the rest of its body was being swallowed */
        return;
    }
    if (!ended)
        set_answer(x, ANSWER_ENDED);
    if (!ended && x->ops->on_gone)
        x->ops->on_gone(x, error);
    loop_defer(x->server->loop, &x->done);
}

void http_exchange_done(struct loop_deferred *d)
{
    struct http_exchange *x = container_of(d, struct http_exchange, done);
    const struct http_exchange_ops *ops = x->ops;

    if (ops->on_done)
        ops->on_done(x);
    x->ops = &http_no_ops;
    buffer_done(&x->held);
    if (x->hc)
        http_connection_next(x->hc);
    else
        http_exchange_free(x);
}

void http_set_refusal_headers(struct http_exchange *x, const char *headers)
{
    snprintf(x->refusal_headers, sizeof(x->refusal_headers), "%s", headers);
}

int http_upgrade(struct http_exchange *x, const char *headers, struct conn **ret,
                 uint8_t **ret_rest, size_t *ret_n)
{
    struct http_connection *hc = x->hc;
    struct http_feed *feed = hc && x->server->feeding == hc ? x->server->feed : NULL;
    bool connect = str_eq(x->head.method, "CONNECT");
    struct conn *c;
    int r;

    if (!hc)
        return -ECONNRESET;
    if (x->answer != ANSWER_NONE)
        return -EINVAL;
    if (!connect && !x->head.upgrade)
        return -EPROTO;
    if (!x->body_done)
        return -EBUSY;
    r = conn_take_kept(hc->conn, ret_rest, ret_n);
    if (r < 0)
        return r;
    if (feed && feed->at < feed->n) {
        *ret_n = feed->n - feed->at;
        *ret_rest = malloc(*ret_n);
        if (!*ret_rest)
            return -ENOMEM;
        memcpy(*ret_rest, feed->in + feed->at, *ret_n);
    }
    c = hc->conn;
    conn_writev(c,
                (struct iovec[]){connect ? PART("HTTP/1.1 200 OK\r\n")
                                         : PART("HTTP/1.1 101 Switching Protocols\r\n"
                                                "Connection: Upgrade\r\n"),
                                 part(headers, headers ? strlen(headers) : 0), PART("\r\n")},
                3);
    conn_set_user(c, NULL, NULL);
    conn_resume(c);
    x->hc = NULL;
    http_connection_free(hc);
    end_answer(x);
    *ret = c;
    return 0;
}

/* ---- what an owner asks */

const struct http_head *http_head(const struct http_exchange *x)
{
    return &x->head;
}

void http_set_owner(struct http_exchange *x, const struct http_exchange_ops *ops, void *user)
{
    x->ops = ops ? ops : &http_no_ops;
    x->user = user;
}

void *http_user(const struct http_exchange *x)
{
    return x->user;
}

struct loop *http_loop(const struct http_exchange *x)
{
    return x->server->loop;
}

/* Asked of the kernel once a connection. */
static void learn_client(struct http_connection *hc)
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    hc->client_kind = CLIENT_UNIX;
    if (getpeername(conn_fd(hc->conn), (struct sockaddr *)&sa, &size) < 0)
        return;
    if (sa.ss_family == AF_INET) {
        hc->client_kind = CLIENT_IP4;
        memcpy(hc->client, &((struct sockaddr_in *)&sa)->sin_addr, 4);
    } else if (sa.ss_family == AF_INET6) {
        hc->client_kind = CLIENT_IP6;
        memcpy(hc->client, &((struct sockaddr_in6 *)&sa)->sin6_addr, 16);
    }
}

/* `out` holds 128 bytes. Ours, since inet_ntop() prints by printf: this is in every request. */
static void ip4_text(const uint8_t ip[4], char *out)
{
    for (int i = 0; i < 4; i++) {
        if (ip[i] > 99)
            *out++ = (char)('0' + ip[i] / 100);
        if (ip[i] > 9)
            *out++ = (char)('0' + ip[i] / 10 % 10);
        *out++ = (char)('0' + ip[i] % 10);
        *out++ = i < 3 ? '.' : '\0';
    }
}

static enum http_client_kind client_kind(const struct http_exchange *x)
{
    if (!x->hc)
        return CLIENT_UNIX;
    if (x->hc->client_kind == CLIENT_UNASKED)
        learn_client(x->hc);
    return x->hc->client_kind;
}

void http_client_text(const struct http_exchange *x, char out[128])
{
    switch (client_kind(x)) {
    case CLIENT_IP4:
        ip4_text(x->hc->client, out);
        break;
    case CLIENT_IP6:
        inet_ntop(AF_INET6, x->hc->client, out, 128);
        break;
    case CLIENT_UNASKED:
    case CLIENT_UNIX:
        memcpy(out, "unix", 5);
    }
}

bool http_client_on_loopback(const struct http_exchange *x)
{
    static const uint8_t one[16] = {[15] = 1};
    enum http_client_kind kind = client_kind(x);

    return (kind == CLIENT_IP4 && x->hc->client[0] == 127) ||
           (kind == CLIENT_IP6 && memcmp(x->hc->client, one, 16) == 0);
}
