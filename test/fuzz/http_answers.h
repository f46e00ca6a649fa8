/* http_answers.h - what a server wrote must be answers, one behind the other; the last may be cut. */
#pragma once
#include "http_fuzz.h"

enum { METHODS_KEPT = 64 };
/* The methods of the requests of one connection, in order, as far as the answer depends on them. */
struct methods {
    enum { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT } of[METHODS_KEPT];
    size_t n;
};

static inline void methods_add(struct methods *m, const struct http_head *h)
{
    if (m->n < METHODS_KEPT)
        m->of[m->n++] = str_eq(h->method, "HEAD")      ? METHOD_HEAD
                        : str_eq(h->method, "CONNECT") ? METHOD_CONNECT
                                                       : METHOD_OTHER;
}

/* The size of the answer that `in` begins with; `n` when it is cut, or ends with the stream. */
static inline size_t answer_size(const uint8_t *in, size_t n, int method, int *ret_status)
{
    struct http_scan scan = {0};
    cleanup_free char *copy = NULL;
    struct outcome o = {0};
    const char *why;
    size_t size;

    *ret_status = 0;
    MUST(http_scan_head(&scan, in, n, &size, &why) == 0);
    MUST(memcmp(in, "HTTP/1.1 ", n < 9 ? n : 9) == 0);
    if (!size)
        return n;
    copy = copy_of(in, size);
    MUST(http_parse_response(&o.head, copy, size, &why) == 0);
    *ret_status = o.head.status;
    if (http_answer_is_bare(method == METHOD_HEAD ? STR("HEAD") : STR("GET"), o.head.status) ||
        (method == METHOD_CONNECT && o.head.status / 100 == 2))
        return size;
    o.end = size;
    if (o.head.chunked) {
        MUST(read_chunks(&o, in, n, n, n) != BAD_BODY);
        outcome_done(&o);
        return o.end;
    }
    if (o.head.content_length >= 0 && (uint64_t)o.head.content_length < n - size)
        return size + (size_t)o.head.content_length;
    return n;
}

static inline void check_answers(const struct buffer *b, const struct methods *m)
{
    const uint8_t *in = buffer_bytes(b);
    size_t n = buffer_size(b), answers = 0;

    for (size_t at = 0; at < n && answers < METHODS_KEPT;) {
        int method = answers < m->n ? (int)m->of[answers] : METHOD_OTHER, status;

        at += answer_size(in + at, n - at, method, &status);
        MUST(at <= n);
        if (status == 101 || (method == METHOD_CONNECT && status / 100 == 2))
            return; /* a tunnel */
        if (status >= 200)
            answers++;
        /* One more than there were requests: what was refused. */
        MUST(answers <= m->n + 1);
    }
}
