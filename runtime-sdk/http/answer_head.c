/* answer_head.c - heads of answers as bytes. No printf: this is half of a small request's work. */
#include "http/server_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/uio.h>

enum {
    BLOCK_MAX = 2048, /* a head that is written as one piece, on the stack */
    OURS_MAX = 256,   /* all lines but `headers` */
    DATE_SIZE = 37,   /* "Date: Mon, 23 Nov 2026 06:11:33 GMT\r\n" */
};

static char *put(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static char *put_status(char *to, int status)
{
    const char *text;

    if (status == 200)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    text = http_status_text(status);
    to = PUT(to, "HTTP/1.1 ");
    *to++ = (char)('0' + status / 100 % 10);
    *to++ = (char)('0' + status / 10 % 10);
    *to++ = (char)('0' + status % 10);
    *to++ = ' ';
    to = put(to, text, strlen(text));
    return PUT(to, "\r\n");
}

static char *put_length(char *to, uint64_t length)
{
    char digits[24], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + length % 10);
        length /= 10;
    } while (length);
    to = PUT(to, "Content-Length: ");
    to = put(to, p, (size_t)(digits + sizeof(digits) - p));
    return PUT(to, "\r\n");
}

/* What follows the owner's headers. */
static char *put_rest(char *to, struct http_server *s, const struct http_answer_head *h)
{
    if (!h->interim)
        to = put(to, http_server_date(s), DATE_SIZE);
    if (h->length >= 0)
        to = put_length(to, (uint64_t)h->length);
    if (h->chunked)
        to = PUT(to, "Transfer-Encoding: chunked\r\n");
    if (h->connection)
        to = put(to, h->connection, strlen(h->connection));
    return PUT(to, "\r\n");
}

void http_write_head(struct http_connection *hc, const struct http_answer_head *h, const void *body,
                     size_t n)
{
    size_t headers = h->headers ? strlen(h->headers) : 0;
    char block[BLOCK_MAX], *at = put_status(block, h->status);
    struct iovec parts[4];
    int count = 0;

    if (headers <= BLOCK_MAX - OURS_MAX) {
        if (headers)
            at = put(at, h->headers, headers);
        at = put_rest(at, hc->server, h);
        parts[count++] = (struct iovec){block, (size_t)(at - block)};
    } else {
        char *rest = at;

        at = put_rest(rest, hc->server, h);
        parts[count++] = (struct iovec){block, (size_t)(rest - block)};
        parts[count++] = (struct iovec){(void *)(uintptr_t)h->headers, headers};
        parts[count++] = (struct iovec){rest, (size_t)(at - rest)};
    }
    if (n)
        parts[count++] = (struct iovec){(void *)(uintptr_t)body, n};
    conn_writev(hc->conn, parts, count);
}

/* "Not Found" -> "NotFound". */
static void reason_of(int status, char out[64])
{
    const char *text = http_status_text(status);
    size_t n = 0;

    for (; *text && n + 1 < 64; text++) {
        if (isalpha((unsigned char)*text))
            out[n++] = *text;
    }
    out[n] = '\0';
}

void http_write_error(struct http_connection *hc, int status, const char *headers, const char *why)
{
    char reason[64], body[256], all[HTTP_REFUSAL_HEADERS + 64];
    int n;

    reason_of(status, reason);
    n = snprintf(body, sizeof(body), "{\"reason\":\"%s\",\"message\":\"%s\"}", reason, why);
    snprintf(all, sizeof(all), "Content-Type: application/json\r\n%s", headers);
    http_write_head(
        hc,
        &(struct http_answer_head){
            .status = status, .headers = all, .length = n, .connection = "Connection: close\r\n"},
        body, hc->refuse_bare ? 0 : (size_t)n);
}
