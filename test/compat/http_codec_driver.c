/* module: runtime-sdk/http */
/* http_codec_driver.c - what our codec reads of a stream of bytes, for http_codec_test.py.
 *
 * stdin: cases, each a u32 length (little-endian), a letter and the bytes: 'Q' is what a client
 * sends, 'S' too, read as our server does (empty lines before a request are skipped, what follows
 * an upgrade that nobody grants is a request); 'G', 'H' and 'C' are what a server answers to GET, HEAD and CONNECT before it closes.
 * stdout: a line of JSON a case, octets as U+0000 to U+00FF. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "http/parser.h"

#include <stdio.h>
#include <stdlib.h>

static void put_str(const char *at, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)at[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void put_headers(const char *key, const struct http_head *h, size_t from, size_t to)
{
    printf(",\"%s\":[", key);
    for (size_t i = from; i < to; i++) {
        printf("%s[", i > from ? "," : "");
        put_str(h->headers[i].name.at, h->headers[i].name.n);
        putchar(',');
        put_str(h->headers[i].value.at, h->headers[i].value.n);
        putchar(']');
    }
    putchar(']');
}

/* What is read of one message. */
struct message {
    struct http_head head;
    size_t head_size;
    struct buffer body;
};

static void put_message(const struct message *m, bool complete, size_t end)
{
    const struct http_head *h = &m->head;

    if (h->status) {
        printf("{\"status\":%d", h->status);
    } else {
        printf("{\"method\":");
        put_str(h->method.at, h->method.n);
        printf(",\"target\":");
        put_str(h->target.at, h->target.n);
        printf(",\"host\":");
        put_str(h->host.at, h->host.n);
    }
    printf(",\"minor\":%d,\"keep_alive\":%s,\"upgrade\":%s", h->minor,
           h->keep_alive ? "true" : "false", h->upgrade ? "true" : "false");
    put_headers("headers", h, 0, h->header_count);
    put_headers("trailers", h, h->header_count, h->header_count + h->trailer_count);
    printf(",\"body\":");
    put_str((const char *)buffer_bytes(&m->body), buffer_size(&m->body));
    printf(",\"complete\":%s,\"end\":%zu}", complete ? "true" : "false", end);
}

enum verdict { REFUSED = -1, INCOMPLETE, COMPLETE };

static enum verdict read_chunks(struct message *m, const uint8_t *in, size_t n, size_t *at)
{
    struct http_chunked c = {0};
    const char *why;

    for (;;) {
        const uint8_t *data;
        size_t used, size;

        if (http_chunked_next(&c, in + *at, n - *at, &used, &data, &size) < 0)
            return REFUSED;
        *at += used;
        if (c.state == CHUNKED_END)
            return http_parse_trailers(&m->head, (const char *)data, size, &why) ? REFUSED : COMPLETE;
        if (size && buffer_append(&m->body, data, size) < 0)
            abort();
        if (!used)
            return INCOMPLETE;
    }
}

static bool is_request(char kind)
{
    return kind == 'Q' || kind == 'S';
}

/* One message from `at` on; a response's stream ends with the input. */
static enum verdict read_message(struct message *m, char kind, const uint8_t *in, size_t n,
                                 size_t *at, const char **ret_why)
{
    struct http_scan scan = {0};
    struct http_head *h = &m->head;
    size_t left;
    bool whole;

    *ret_why = "";
    while (kind == 'S' && n - *at >= 2 && in[*at] == '\r' && in[*at + 1] == '\n')
        *at += 2;
    if (http_scan_head(&scan, in + *at, n - *at, &m->head_size, ret_why))
        return REFUSED;
    if (!m->head_size)
        return INCOMPLETE;
    if ((is_request(kind) ? http_parse_request : http_parse_response)(h, (const char *)in + *at,
                                                                      m->head_size, ret_why)) {
        m->head_size = 0;
        return REFUSED;
    }
    *at += m->head_size;
    if (kind != 'Q' && (http_answer_is_bare(kind == 'H' ? STR("HEAD") : STR("GET"), h->status) ||
                        (kind == 'C' && h->status / 100 == 2)))
        return COMPLETE;
    if (h->chunked) {
        *ret_why = "the body's chunks are malformed";
        return read_chunks(m, in, n, at);
    }
    left = n - *at;
    whole = h->content_length < 0 || left >= (uint64_t)h->content_length;
    if (h->content_length >= 0 && whole)
        left = (size_t)h->content_length;
    else if (is_request(kind) && h->content_length < 0)
        left = 0;
    if (buffer_append(&m->body, in + *at, left) < 0)
        abort();
    *at += left;
    return whole ? COMPLETE : INCOMPLETE;
}

static void read_case(char kind, const uint8_t *in, size_t n)
{
    enum verdict v = COMPLETE;
    const char *why = "";
    size_t at = 0;
    bool over = false;

    printf("{\"messages\":[");
    for (int count = 0; v == COMPLETE && !over && at < n; count++) {
        struct message m = {0};

        v = read_message(&m, kind, in, n, &at, &why);
        if (m.head_size) {
            printf("%s", count ? "," : "");
            put_message(&m, v == COMPLETE, at);
            over = is_request(kind)
                       ? !m.head.keep_alive ||
                             (kind == 'Q' && (m.head.upgrade || str_eq(m.head.method, "CONNECT")))
                       : m.head.status >= 200 || m.head.status == 101;
        }
        buffer_done(&m.body);
    }
    printf("],\"end\":\"%s\",\"why\":\"%s\"}\n",
           v == REFUSED      ? "refused"
           : v == INCOMPLETE ? "incomplete"
                             : "complete",
           why);
}

int main(void)
{
    uint8_t head[5];

    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        cleanup_free uint8_t *in = malloc(n + 1);

        if (!in || fread(in, 1, n, stdin) != n)
            return EXIT_FAILURE;
        read_case((char)head[4], in, n);
    }
    return EXIT_SUCCESS;
}
