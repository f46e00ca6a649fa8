#include "base/buffer.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
    size_t live = buffer_size(b);

    if (n > SIZE_MAX / 4 || (b->limit && (live > b->limit || n > b->limit - live)))
        return NULL;
    if (b->capacity - b->end >= n)
        return b->data + b->end;
    if (b->start && b->capacity - live >= n && live <= b->capacity / 2) {
        memmove(b->data, b->data + b->start, live);
    } else {
        size_t want = b->capacity ? b->capacity * 2 : 256;
        uint8_t *grown;

        while (want < live + n)
            want *= 2;
        grown = malloc(want);
        if (!grown)
            return NULL;
        if (live)
            memcpy(grown, b->data + b->start, live);
        free(b->data);
        b->data = grown;
        b->capacity = want;
    }
    b->start = 0;
    b->end = live;
    return b->data + b->end;
}

void buffer_commit(struct buffer *b, size_t n)
{
    b->end += n;
}

int buffer_append(struct buffer *b, const void *data, size_t n)
{
    uint8_t *to;

    if (!n)
        return 0;
    to = buffer_reserve(b, n);
    if (!to)
        return b->limit ? -ENOBUFS : -ENOMEM;
    memcpy(to, data, n);
    b->end += n;
    return 0;
}

int buffer_puts(struct buffer *b, const char *s)
{
    return buffer_append(b, s, strlen(s));
}

int buffer_vprintf(struct buffer *b, const char *fmt, va_list ap)
{
    size_t room = b->capacity - b->end;
    va_list again;
    uint8_t *to;
    int n;

    /* Mostly it fits behind what is there already. */
    va_copy(again, ap);
    n = vsnprintf(room ? (char *)b->data + b->end : NULL, room, fmt, again);
    va_end(again);
    if (n < 0)
        return -EINVAL;
    to = buffer_reserve(b, (size_t)n + 1);
    if (!to)
        return b->limit ? -ENOBUFS : -ENOMEM;
    if ((size_t)n >= room)
        vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
    b->end += (size_t)n;
    return 0;
}

int buffer_printf(struct buffer *b, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = buffer_vprintf(b, fmt, ap);
    va_end(ap);
    return r;
}

int buffer_json_string(struct buffer *b, const char *s, size_t n)
{
    size_t plain = 0;
    int r;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        size_t length;
        char esc[8];
        int len;

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\')
            continue;
        if (c >= 0x80 && (length = utf8_length((const uint8_t *)s + i, n - i))) {
            i += length - 1;
            continue;
        }
        r = buffer_append(b, s + plain, i - plain);
        if (r < 0)
            return r;
        plain = i + 1;
        if (c == '"' || c == '\\')
            len = snprintf(esc, sizeof(esc), "\\%c", c);
        else if (c == '\n')
            len = snprintf(esc, sizeof(esc), "\\n");
        else
            len = snprintf(esc, sizeof(esc), "\\u%04x", c < 0x80 ? c : 0xfffd);
        r = buffer_append(b, esc, (size_t)len);
        if (r < 0)
            return r;
    }
    return buffer_append(b, s + plain, n - plain);
}

void buffer_consume(struct buffer *b, size_t n)
{
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buffer_clear(struct buffer *b)
{
    b->start = b->end = 0;
}

void buffer_done(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.limit = b->limit};
}

char *buffer_take_string(struct buffer *b)
{
    size_t n = buffer_size(b);
    char *s = malloc(n + 1);

    if (!s)
        return NULL;
    if (n)
        memcpy(s, buffer_bytes(b), n);
    s[n] = '\0';
    buffer_done(b);
    return s;
}
