/* module: runtime-sdk/http */
/* Requests through scan, head and body, once whole and once in pieces that the first byte decides:
 * both must end alike, and a head that is taken must be made of views into the input. */
#include "http/parser.h"

#include <stdlib.h>
#include <string.h>

struct outcome {
    int status; /* 0: taken, -1: incomplete, -2: a bad body */
    size_t head_size, body_size, end;
    uint32_t sum;
    struct http_head head;
};

static void check_view(struct str s, const char *in, size_t n)
{
    if (s.n && !(s.at >= in && s.at + s.n <= in + n) && !str_eq(s, "/") && !str_eq(s, "*"))
        abort();
}

static void check_head(const struct http_head *h, const char *in, size_t n)
{
    char out[HTTP_TARGET_MAX];

    check_view(h->method, in, n);
    check_view(h->target, in, n);
    check_view(h->path, in, n);
    check_view(h->query, in, n);
    check_view(h->host, in, n);
    if (h->header_count + h->trailer_count > HTTP_HEADERS_MAX ||
        (h->chunked && h->content_length >= 0))
        abort();
    for (size_t i = 0; i < h->header_count + h->trailer_count; i++) {
        check_view(h->headers[i].name, in, n);
        check_view(h->headers[i].value, in, n);
        if (!h->headers[i].name.n || memchr(h->headers[i].value.at, '\n', h->headers[i].value.n))
            abort();
    }
    http_percent_decode(h->path, out, sizeof(out));
    http_list_has(h->query, "close");
}

static void run(const uint8_t *in, size_t n, size_t step, struct outcome *o)
{
    struct http_scan scan = {0};
    struct http_chunked chunked = {0};
    const char *why;
    size_t got = 0;

    memset(o, 0, sizeof(*o));
    while (!o->head_size) {
        if (got == n) {
            o->status = -1;
            return;
        }
        got = step < n - got ? got + step : n;
        o->status = http_scan_head(&scan, in, got, &o->head_size, &why);
        if (o->status)
            return;
    }
    o->status = http_parse_request(&o->head, (const char *)in, o->head_size, &why);
    if (o->status)
        return;
    check_head(&o->head, (const char *)in, o->head_size);
    o->end = o->head_size;
    while (o->head.chunked && chunked.state != CHUNKED_END) {
        const uint8_t *data;
        size_t used, size;

        if (http_chunked_next(&chunked, in + o->end, got - o->end, &used, &data, &size) < 0) {
            o->status = -2;
            return;
        }
        if (size && (data < in || data + size > in + got))
            abort();
        o->end += used;
        if (chunked.state == CHUNKED_END) {
            if (size && http_parse_trailers(&o->head, (const char *)data, size, &why))
                o->status = -2;
            return;
        }
        o->body_size += size;
        for (size_t i = 0; i < size; i++)
            o->sum = o->sum * 31 + data[i];
        if (used)
            continue;
        if (got == n) {
            o->status = -1;
            return;
        }
        got = step < n - got ? got + step : n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct outcome whole, pieces;

    if (n < 2)
        return 0;
    run(data + 1, n - 1, n, &whole);
    run(data + 1, n - 1, 1 + data[0] % 16, &pieces);
    if (whole.status != pieces.status)
        abort();
    if (whole.status == 0 &&
        (whole.end != pieces.end || whole.body_size != pieces.body_size ||
         whole.sum != pieces.sum || whole.head.header_count != pieces.head.header_count ||
         whole.head.trailer_count != pieces.head.trailer_count))
        abort();
    return 0;
}
