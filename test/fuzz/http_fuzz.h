/* http_fuzz.h - what the fuzzers of the codec share: a message read in steps, and its comparison.
 *
 * Each step sees a copy that ends where its bytes end, so that a read past them is seen. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "http/parser.h"

#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { TAKEN, INCOMPLETE = -1, BAD_BODY = -2 }; /* or the status of a refusal */

struct outcome {
    int status;
    size_t head_size, end; /* end: bytes used */
    struct http_head head;
    char *bytes; /* of the head; the views point into it */
    struct buffer body, trailers;
};

static inline void outcome_done(struct outcome *o)
{
    free(o->bytes);
    buffer_done(&o->body);
    buffer_done(&o->trailers);
}

static inline char *copy_of(const void *in, size_t n)
{
    char *copy = malloc(n ? n : 1);

    MUST(copy);
    if (n)
        memcpy(copy, in, n);
    return copy;
}

static inline bool same_str(struct str a, struct str b)
{
    return a.n == b.n && (!a.n || memcmp(a.at, b.at, a.n) == 0);
}
static inline bool same_buffer(const struct buffer *a, const struct buffer *b)
{
    return buffer_size(a) == buffer_size(b) &&
           (!buffer_size(a) || memcmp(buffer_bytes(a), buffer_bytes(b), buffer_size(a)) == 0);
}

static inline void check_view(struct str s, const char *in, size_t n)
{
    MUST(!s.n || (s.at >= in && s.at + s.n <= in + n) || str_eq(s, "/"));
}

/* What holds of every head that is taken. */
static inline void check_head(const struct http_head *h, const char *in, size_t n)
{
    check_view(h->method, in, n);
    check_view(h->target, in, n);
    check_view(h->path, in, n);
    check_view(h->query, in, n);
    check_view(h->host, in, n);
    check_view(h->reason, in, n);
    MUST(h->header_count + h->trailer_count <= HTTP_HEADERS_MAX && (h->minor == 0 || h->minor == 1));
    MUST(!h->chunked || (h->content_length < 0 && h->minor == 1));
    for (size_t i = 0; i < h->header_count; i++) {
        struct str name = h->headers[i].name, value = h->headers[i].value;

        check_view(name, in, n);
        check_view(value, in, n);
        MUST(name.n);
        for (size_t k = 0; k < name.n; k++)
            MUST(http_is((unsigned char)name.at[k], HTTP_TOKEN));
        for (size_t k = 0; k < value.n; k++)
            MUST(http_is((unsigned char)value.at[k], HTTP_TEXT));
        MUST(!value.n || (value.at[0] != ' ' && value.at[value.n - 1] != ' '));
    }
}

/* Decodes chunks from `at` on, `got` bytes at first and `step` more at a time. */
static inline int read_chunks(struct outcome *o, const uint8_t *in, size_t n, size_t got, size_t step)
{
    struct http_chunked c = {0};

    for (;;) {
        cleanup_free char *copy = copy_of(in + o->end, got - o->end);
        const uint8_t *data;
        size_t used, size;

        if (http_chunked_next(&c, (const uint8_t *)copy, got - o->end, &used, &data, &size) < 0)
            return BAD_BODY;
        MUST(used <= got - o->end && size <= used);
        MUST(!size || (data >= (const uint8_t *)copy && data + size <= (const uint8_t *)copy + used));
        o->end += used;
        MUST(buffer_append(c.state == CHUNKED_END ? &o->trailers : &o->body, data, size) == 0);
        if (c.state == CHUNKED_END)
            return TAKEN;
        if (used)
            continue;
        if (got == n)
            return INCOMPLETE;
        got = step < n - got ? got + step : n;
    }
}

/* One message in pieces of `step`. */
static inline void read_message(struct outcome *o, bool response, const uint8_t *in, size_t n,
                                size_t step)
{
    struct http_scan scan = {0};
    const char *why = NULL;
    size_t got = 0, left;

    memset(o, 0, sizeof(*o));
    while (!o->head_size) {
        cleanup_free char *copy = NULL;

        if (got == n) {
            o->status = INCOMPLETE;
            return;
        }
        got = step < n - got ? got + step : n;
        copy = copy_of(in, got);
        o->status = http_scan_head(&scan, (const uint8_t *)copy, got, &o->head_size, &why);
        if (o->status) {
            MUST(why);
            return;
        }
    }
    MUST(o->head_size <= got && o->head_size <= HTTP_HEAD_MAX);
    o->bytes = copy_of(in, o->head_size);
    o->status = (response ? http_parse_response : http_parse_request)(&o->head, o->bytes,
                                                                      o->head_size, &why);
    if (o->status) {
        MUST(why);
        return;
    }
    check_head(&o->head, o->bytes, o->head_size);
    o->end = o->head_size;
    if (response && http_answer_is_bare(STR("GET"), o->head.status))
        return;
    if (o->head.chunked) {
        o->status = read_chunks(o, in, n, got, step);
        return;
    }
    left = o->head.content_length > 0 ? (size_t)o->head.content_length : 0;
    if (left > n - o->end) {
        o->status = INCOMPLETE;
        left = n - o->end;
    }
    MUST(buffer_append(&o->body, in + o->end, left) == 0);
    o->end += left;
}

static inline void check_same_head(const struct http_head *a, const struct http_head *b)
{
    MUST(same_str(a->method, b->method) && same_str(a->target, b->target));
    MUST(same_str(a->path, b->path) && same_str(a->query, b->query));
    MUST(a->status == b->status && same_str(a->reason, b->reason) && a->minor == b->minor);
    MUST(a->header_count == b->header_count && a->content_length == b->content_length);
    MUST(a->chunked == b->chunked && a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
    MUST(a->expect_continue == b->expect_continue);
    for (size_t i = 0; i < a->header_count; i++) {
        MUST(same_str(a->headers[i].name, b->headers[i].name));
        MUST(same_str(a->headers[i].value, b->headers[i].value));
    }
}

static inline void put(struct buffer *b, struct str s)
{
    MUST(buffer_append(b, s.at, s.n) == 0);
}

/* Writes what was read as plainly as possible; read again it must be the same. */
static inline void write_message(struct buffer *b, const struct outcome *o)
{
    const struct http_head *h = &o->head;

    if (h->status) {
        MUST(buffer_printf(b, "HTTP/1.%d %03d ", h->minor, h->status) == 0);
        put(b, h->reason);
    } else {
        put(b, h->method);
        put(b, STR(" "));
        put(b, h->target);
        MUST(buffer_printf(b, " HTTP/1.%d", h->minor) == 0);
    }
    put(b, STR("\r\n"));
    for (size_t i = 0; i < h->header_count; i++) {
        put(b, h->headers[i].name);
        put(b, STR(": "));
        put(b, h->headers[i].value);
        put(b, STR("\r\n"));
    }
    put(b, STR("\r\n"));
    if (h->status && http_answer_is_bare(STR("GET"), h->status))
        return;
    if (h->chunked && buffer_size(&o->body))
        MUST(buffer_printf(b, "%zx\r\n", buffer_size(&o->body)) == 0);
    MUST(buffer_append(b, buffer_bytes(&o->body), buffer_size(&o->body)) == 0);
    if (h->chunked) {
        put(b, buffer_size(&o->body) ? STR("\r\n0\r\n") : STR("0\r\n"));
        MUST(buffer_append(b, buffer_bytes(&o->trailers), buffer_size(&o->trailers)) == 0);
        if (!buffer_size(&o->trailers))
            put(b, STR("\r\n"));
    }
}

/* In one piece, in pieces of `step`, and written and read again: all the same. */
static inline void check_message(bool response, const uint8_t *in, size_t n, size_t step)
{
    struct outcome whole, pieces, again;
    cleanup_buffer struct buffer written = {0};

    read_message(&whole, response, in, n, n);
    read_message(&pieces, response, in, n, step);
    MUST(whole.status == pieces.status && whole.end <= n);
    if (whole.status == TAKEN) {
        MUST(whole.end == pieces.end);
        check_same_head(&whole.head, &pieces.head);
        MUST(same_str(whole.head.host, pieces.head.host));
        MUST(same_buffer(&whole.body, &pieces.body) && same_buffer(&whole.trailers, &pieces.trailers));
        write_message(&written, &whole);
        read_message(&again, response, buffer_bytes(&written), buffer_size(&written), 7);
        /* The space behind a colon may be what is too much. */
        if (again.status != 431 && again.status != 414) {
            MUST(again.status == TAKEN && again.end == buffer_size(&written));
            check_same_head(&whole.head, &again.head);
            MUST(same_buffer(&whole.body, &again.body) &&
                 same_buffer(&whole.trailers, &again.trailers));
        }
        outcome_done(&again);
    }
    outcome_done(&whole);
    outcome_done(&pieces);
}
