/* link.c - one connection of the client: reads the answer of the call that is on it. Loop's thread.
 */
#include "http/client_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INTERIMS_MAX = 16 }; /* 1xx of one answer */

/* The answer is whole. The link goes back to its pool if nothing is left over on either side. */
static void complete(struct link *k, bool rest)
{
    struct http_call *call = k->call;

    call_set_state(call, CALL_DONE);
    call->on = NULL;
    call->sent = true;
    k->call = NULL;
    if (rest || !call->head.keep_alive || !call->request_ended || call->left < 0)
        link_drop(k);
    else
        link_put(k);
    call_done(call, 0);
}

/* Moves the head's bytes into the call and parses them there. */
static int keep_head(struct http_call *call, const uint8_t *in, size_t n)
{
    const char *why;

    if (n > CALL_HEAD_INLINE) {
        call->head_bytes = malloc(n);
        if (!call->head_bytes) {
            call->head_bytes = call->head_inline;
            return -ENOMEM;
        }
    }
    memcpy(call->head_bytes, in, n);
    return http_parse_response(&call->head, call->head_bytes, n, &why) ? -EPROTO : 0;
}

static bool switches(const struct http_call *call)
{
    int status = call->head.status;

    return call->is_connect ? status >= 200 && status < 300 : status == 101;
}

/* The answer's head ends the HTTP on this stream; the `n` bytes at `in` are behind it. */
static int hand_over(struct link *k, const uint8_t *in, size_t n)
{
    struct http_call *call = k->call;
    uint8_t *rest = NULL;
    struct conn *c;

    if (!call->ops->on_upgrade || !(call->is_connect || (call->upgrade && call->head.upgrade)))
        return -EPROTO;
    if (n) {
        rest = malloc(n);
        if (!rest)
            return -ENOMEM;
        memcpy(rest, in, n);
    }
    call_set_state(call, CALL_DONE);
    call->on = NULL;
    call->sent = true;
    k->call = NULL;
    c = link_release(k);
    call->ops->on_upgrade(call, &call->head, c, rest, n);
    http_call_cancel(call);
    return 0;
}

static void take_interim(struct http_call *call)
{
    if (call->head.status == 100 && call->ops->on_continue)
        call->ops->on_continue(call);
    else if (call->head.status != 100 && call->ops->on_interim)
        call->ops->on_interim(call, &call->head);
}

/* Bytes used of the head, or -errno; 0: it is not whole. */
static ssize_t take_head(struct link *k, const uint8_t *in, size_t n)
{
    struct http_call *call = k->call;
    const struct link_feed *feed = k->feed;
    char *head_bytes;
    const char *why;
    size_t size;
    int r;

    if (http_scan_head(&call->scan, in, n, &size, &why))
        return -EPROTO;
    if (!size)
        return 0;
    call->scan = (struct http_scan){0};
    r = keep_head(call, in, size);
    if (r < 0)
        return r;
    if (switches(call)) {
        r = hand_over(k, in + size, n - size);
        return r < 0 ? r : (ssize_t)n;
    }
    if (call->head.status == 101)
        return -EPROTO;
    if (call->head.status < 200) {
        if (++call->interims > INTERIMS_MAX)
            return -EPROTO;
        head_bytes = call->head_bytes;
        take_interim(call);
        if (!feed->over && k->call == call && head_bytes != call->head_inline) {
            free(head_bytes);
            call->head_bytes = call->head_inline;
        }
        return (ssize_t)size;
    }
    call_set_state(call, CALL_BODY);
    if (call->is_head || http_answer_is_bare(STR("GET"), call->head.status))
        call->left = 0;
    else
        call->left = call->head.content_length;
    if (call->left >= 0)
        call->head.chunked = false; /* a bare answer's chunks do not come */
    call->ops->on_head(call, &call->head);
    return (ssize_t)size;
}

/* The next run of the body. */
static int decode(struct http_call *call, const uint8_t *in, size_t n, size_t *ret_used,
                  const uint8_t **ret_data, size_t *ret_size)
{
    const char *why;
    int r;

    if (call->head.chunked) {
        r = http_chunked_next(&call->chunked, in, n, ret_used, ret_data, ret_size);
        if (r < 0 || call->chunked.state != CHUNKED_END)
            return r;
        call->left = 0;
        n = *ret_size;
        *ret_size = 0;
        if (n && buffer_append(&call->trailers, *ret_data, n) < 0)
            return -ENOMEM;
        return http_parse_trailers(&call->head, (const char *)call->trailers.data, n, &why) ? -EPROTO
                                                                                            : 0;
    }
    *ret_used = call->left >= 0 && (uint64_t)call->left < n ? (size_t)call->left : n;
    *ret_data = in;
    *ret_size = *ret_used;
    if (call->left >= 0)
        call->left -= (int64_t)*ret_used;
    return 0;
}

/* One step. 1: go on, 0: more bytes are needed or the link is through, -errno. */
static int step(struct link *k, struct link_feed *feed, const uint8_t *in, size_t n, size_t *at)
{
    struct http_call *call = k->call;
    const uint8_t *data;
    size_t used, size;
    ssize_t head;
    int r;

    if (call->state == CALL_HEAD) {
        if (*at == n)
            return 0;
        call->heard = true;
        head = take_head(k, in + *at, n - *at);
        if (head <= 0)
            return (int)head;
        *at += (size_t)head;
        return !feed->over && k->call == call;
    }
    if (call->left == 0) {
        complete(k, *at < n);
        return 0;
    }
    if (*at == n || call->paused)
        return 0;
    r = decode(call, in + *at, n - *at, &used, &data, &size);
    if (r < 0)
        return r;
    *at += used;
    if (size && call->ops->on_body)
        call->ops->on_body(call, data, size);
    return !feed->over && k->call == call && (used || call->left == 0);
}

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct link *k = conn_user(c);
    struct link_feed feed = {0};
    size_t at = 0;
    int r;

    if (!k->call) { /* an answer that nobody asked for */
        link_drop(k);
        return n;
    }
    k->feed = &feed;
    k->call->heard_ns = loop_now(k->client->loop);
    while ((r = step(k, &feed, in, n, &at)) > 0)
        ;
    if (feed.over)
        return n;
    k->feed = NULL;
    if (r < 0) {
        struct http_call *call = k->call;

        call->retried = true;
        call_lost(call, r);
        return n;
    }
    return at;
}

static void on_eof(struct conn *c)
{
    struct link *k = conn_user(c);
    struct http_call *call = k->call;

    if (!call) {
        link_drop(k);
    } else if (call->state == CALL_BODY && call->left < 0 && !call->head.chunked) {
        complete(k, true); /* the end of the stream ends the body */
    } else {
        call_lost(call, -ECONNRESET);
    }
}

static void on_connected(struct conn *c)
{
    link_connected(conn_user(c));
}

static void on_closed(struct conn *c, int error)
{
    struct link *k = conn_user(c);

    link_failed(k);
    if (k->call)
        call_lost(k->call, error ? error : -ECONNRESET);
    else
        link_forget(k);
}

static void on_drained(struct conn *c)
{
    struct link *k = conn_user(c);

    if (k->call && k->call->ops->on_drained)
        k->call->ops->on_drained(k->call);
}

const struct conn_ops link_ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_eof = on_eof,
    .on_connected = on_connected,
    .on_closed = on_closed,
};
