/* chunked.c - decodes the chunked transfer coding (RFC 9112 7.1), a run of bytes at a time. Pure.
 */
#include "http/parser.h"

#include <errno.h>

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = http_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One octet behind a chunk's size: ";name", ";name=token" and ";name=\"text\"" alone. White space
 * and backslashes are refused: an extension that two parsers end at different octets moves the data. */
static int extension_octet(struct http_chunked *c, uint8_t octet)
{
    enum http_chunked_state s = c->state;

    if (++c->line > HTTP_CHUNK_LINE_MAX || ++c->extensions > HTTP_CHUNK_EXTENSIONS_MAX)
        return -EPROTO;
    if (s == CHUNKED_EXTENSION_QUOTED) {
        if (octet == '"')
            c->state = CHUNKED_EXTENSION_QUOTED_END;
        return (octet == ' ' || http_is(octet, HTTP_TARGET) || octet == '#') && octet != '\\'
                   ? 0
                   : -EPROTO;
    }
    if (http_is(octet, HTTP_TOKEN) && s != CHUNKED_EXTENSION_QUOTED_END) {
        if (s == CHUNKED_EXTENSION)
            c->state = CHUNKED_EXTENSION_NAME;
        else if (s == CHUNKED_EXTENSION_EQUALS)
            c->state = CHUNKED_EXTENSION_VALUE;
        return 0;
    }
    if (s == CHUNKED_EXTENSION_EQUALS && octet == '"') {
        c->state = CHUNKED_EXTENSION_QUOTED;
        return 0;
    }
    if (s == CHUNKED_EXTENSION || s == CHUNKED_EXTENSION_EQUALS)
        return -EPROTO;
    if (octet == '=' && s == CHUNKED_EXTENSION_NAME)
        c->state = CHUNKED_EXTENSION_EQUALS;
    else if (octet == ';')
        c->state = CHUNKED_EXTENSION;
    else if (octet == '\r')
        c->state = CHUNKED_SIZE_LF;
    else
        return -EPROTO;
    return 0;
}

/* One octet of the framing around the data. */
static int frame_octet(struct http_chunked *c, uint8_t octet)
{
    int digit;

    switch (c->state) {
    case CHUNKED_SIZE:
        digit = hex_digit(octet);
        if (digit >= 0) {
            /* 15 digits: what is far beyond any body and cannot overflow. */
            if (++c->digits > 15)
                return -EPROTO;
            c->left = c->left << 4 | (unsigned)digit;
            return 0;
        }
        if (!c->digits)
            return -EPROTO;
        if (octet == '\r')
            c->state = CHUNKED_SIZE_LF;
        else if (octet == ';')
            c->state = CHUNKED_EXTENSION;
        else
            return -EPROTO;
        return 0;
    case CHUNKED_EXTENSION:
    case CHUNKED_EXTENSION_NAME:
    case CHUNKED_EXTENSION_EQUALS:
    case CHUNKED_EXTENSION_VALUE:
    case CHUNKED_EXTENSION_QUOTED:
    case CHUNKED_EXTENSION_QUOTED_END:
        return extension_octet(c, octet);
    case CHUNKED_SIZE_LF:
        if (octet != '\n')
            return -EPROTO;
        c->state = c->left ? CHUNKED_DATA : CHUNKED_TRAILER;
        c->digits = c->line = 0;
        return 0;
    case CHUNKED_DATA_CR:
        if (octet != '\r')
            return -EPROTO;
        c->state = CHUNKED_DATA_LF;
        return 0;
    case CHUNKED_DATA_LF:
        if (octet != '\n')
            return -EPROTO;
        c->state = CHUNKED_SIZE;
        return 0;
    case CHUNKED_DATA:
    case CHUNKED_TRAILER:
    case CHUNKED_END:
        break;
    }
    return -EPROTO;
}

static int trailer(struct http_chunked *c, const uint8_t *in, size_t n, size_t *ret_used,
                   const uint8_t **ret_data, size_t *ret_size)
{
    const char *why;
    size_t size;

    if (n >= 2 && in[0] == '\r' && in[1] == '\n') {
        size = 2;
    } else if (n && in[0] == '\n') {
        return -EPROTO;
    } else {
        if (n == 1 && in[0] == '\r')
            return 0;
        if (http_scan_head(&c->trailer, in, n < HTTP_TRAILERS_MAX ? n : HTTP_TRAILERS_MAX, &size,
                           &why))
            return -EPROTO;
        if (!size)
            return n >= HTTP_TRAILERS_MAX ? -EPROTO : 0;
        *ret_data = in;
        *ret_size = size;
    }
    *ret_used += size;
    c->state = CHUNKED_END;
    return 0;
}

int http_chunked_next(struct http_chunked *c, const uint8_t *in, size_t n, size_t *ret_used,
                      const uint8_t **ret_data, size_t *ret_size)
{
    size_t i = 0;

    *ret_used = *ret_size = 0;
    *ret_data = in;
    while (i < n) {
        if (c->state == CHUNKED_DATA) {
            size_t run = c->left < n - i ? (size_t)c->left : n - i;

            *ret_data = in + i;
            *ret_size = run;
            c->left -= run;
            if (!c->left)
                c->state = CHUNKED_DATA_CR;
            *ret_used = i + run;
            return 0;
        }
        if (c->state == CHUNKED_TRAILER) {
            *ret_used = i;
            return trailer(c, in + i, n - i, ret_used, ret_data, ret_size);
        }
        if (c->state == CHUNKED_END)
            break;
        if (frame_octet(c, in[i]) < 0)
            return -EPROTO;
        i++;
    }
    *ret_used = i;
    return 0;
}

size_t http_chunk_size_text(size_t n, char out[HTTP_CHUNK_SIZE_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    int shift = n ? (63 - __builtin_clzll(n)) & ~3 : 0;
    char *p = out;

    for (; shift >= 0; shift -= 4)
        *p++ = digits[n >> shift & 15];
    *p++ = '\r';
    *p++ = '\n';
    return (size_t)(p - out);
}
