/* http_response.c - the answer of an HTTP handler: its head, and its body within the agent's window. */
#include "base/cleanup.h"
#include "sdk/stream.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>

enum { PART = 64 << 10, HEAD_EXTRA = 64 /* beside the headers: {"status":200,"headers":[]} */ };

int rouse_http_status(struct rouse_http_response *resp, int status)
{
    if (resp->sent)
        return -EALREADY;
    if (status < 200 || status > 599)
        return -EINVAL;
    resp->status = status;
    return 0;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (!*s)
        return false;
    for (; *s; s++) {
        char c = (char)(*s | 0x20);

        if (!((c >= 'a' && c <= 'z') || (*s >= '0' && *s <= '9') || strchr(others, *s)))
            return false;
    }
    return true;
}

/* RFC 9110 5.5 */
static bool is_value(const char *s)
{
    for (const char *p = s; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return utf8_valid(s, strlen(s));
}

static int put_header(struct buffer *b, bool first, const char *name, const char *value)
{
    int r = buffer_puts(b, first ? "[\"" : ",[\"");

    if (r >= 0)
        r = buffer_puts(b, name);
    if (r >= 0)
        r = buffer_puts(b, "\",\"");
    if (r >= 0)
        r = buffer_json_string(b, value, strlen(value));
    if (r >= 0)
        r = buffer_puts(b, "\"]");
    return r;
}

int rouse_http_add(struct rouse_http_response *resp, const char *name, const char *value)
{
    struct buffer *b = &resp->headers;
    size_t before = b->end;
    int r;

    if (resp->sent)
        return -EALREADY;
    if (!is_token(name) || !is_value(value))
        return -EINVAL;
    if (resp->count == STREAM_HEADERS_MAX)
        return -EMSGSIZE;
    r = put_header(b, !resp->count, name, value);
    if (r >= 0 && buffer_size(b) > FRAME_ANSWER_HEAD_MAX - HEAD_EXTRA)
        r = -EMSGSIZE;
    if (r < 0) {
        b->end = before;
        return r;
    }
    resp->count++;
    return 0;
}

static int queue_head(struct stream *s, uint8_t fin)
{
    struct rouse_http_response *resp = &s->response;
    cleanup_buffer struct buffer json = {0};
    int r = buffer_printf(&json, "{\"status\":%d,\"headers\":[", resp->status);

    if (r >= 0)
        r = buffer_append(&json, buffer_bytes(&resp->headers), buffer_size(&resp->headers));
    if (r >= 0)
        r = buffer_puts(&json, "]}");
    if (r >= 0)
        r = outbox_queue(&s->invocation->server->outbox, FRAME_RESPONSE, FRAME_HTTP | fin,
                         s->invocation->context.id, buffer_bytes(&json), buffer_size(&json));
    if (r < 0)
        return r;
    resp->sent = true;
    return 0;
}

/* How much of `n` may go now. */
static ssize_t wait_window(struct stream *s, size_t n, int64_t deadline)
{
    size_t part = n < PART ? n : PART;
    int r = rouse_mutex_lock(&s->lock, ROUSE_NEVER);

    if (r < 0)
        return r;
    while (r == 0 && !s->canceled && !s->may_go)
        r = rouse_cond_wait(&s->changed, &s->lock, deadline);
    if (r == 0 && s->canceled)
        r = -ECANCELED;
    if (r == 0) {
        part = part < s->may_go ? part : s->may_go;
        s->may_go -= (uint32_t)part;
    }
    rouse_mutex_unlock(&s->lock);
    return r < 0 ? r : (ssize_t)part;
}

static int write_body(struct stream *s, const char *data, size_t n, int64_t deadline)
{
    struct outbox *o = &s->invocation->server->outbox;

    while (n) {
        ssize_t part;
        int r = outbox_wait_room(o, deadline);

        if (r < 0)
            return r;
        part = wait_window(s, n, deadline);
        if (part < 0)
            return (int)part;
        r = outbox_queue(o, FRAME_BODY, 0, s->invocation->context.id, data, (size_t)part);
        if (r < 0)
            return r;
        outbox_flush_soon(o);
        data += part;
        n -= (size_t)part;
    }
    return 0;
}

int rouse_http_write(struct rouse_http_response *resp, const void *data, size_t n, int64_t deadline)
{
    struct stream *s = container_of(resp, struct stream, response);

    if (!resp->sent) {
        int r = queue_head(s, 0);

        if (r < 0)
            return r;
        outbox_flush_soon(&s->invocation->server->outbox);
    }
    return write_body(s, data, n, deadline);
}

int http_response_end(struct stream *s)
{
    if (!s->response.sent)
        return queue_head(s, FRAME_FIN);
    return outbox_queue(&s->invocation->server->outbox, FRAME_END, 0, s->invocation->context.id,
                        NULL, 0);
}
