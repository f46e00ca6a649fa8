/* buffer.h - growable bytes with a read offset.
 *
 * Zero-initialised is empty and usable. Not thread safe. The bytes between
 * `start` and `end` are live; buffer_consume() moves `start`. Appending past
 * `limit` (0: none) returns -ENOBUFS and leaves the buffer as it was. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t start, end, capacity;
    size_t limit;
};

static inline size_t buffer_size(const struct buffer *b)
{
    return b->end - b->start;
}
static inline const uint8_t *buffer_bytes(const struct buffer *b)
{
    return b->data + b->start;
}

/* Makes room for `n` more bytes and returns where they go, or NULL (-ENOMEM or -ENOBUFS). */
uint8_t *buffer_reserve(struct buffer *b, size_t n);
/* Counts `n` bytes written at buffer_reserve()'s pointer as live. */
void buffer_commit(struct buffer *b, size_t n);
int buffer_append(struct buffer *b, const void *data, size_t n);
int buffer_puts(struct buffer *b, const char *s);
int buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buffer_vprintf(struct buffer *b, const char *fmt, va_list ap);
/* Appends `n` bytes as the inside of a JSON string: quotes, backslashes and
 * control characters escaped, U+FFFD for each byte that is no UTF-8: what one
 * peer sent must not spoil the document that others are in, too. */
int buffer_json_string(struct buffer *b, const char *s, size_t n);
void buffer_consume(struct buffer *b, size_t n);
void buffer_clear(struct buffer *b); /* empty, memory kept */
void buffer_done(struct buffer *b);  /* memory freed, usable again */
/* The bytes as a NUL-terminated string that the caller owns; the buffer is empty after. */
char *buffer_take_string(struct buffer *b);
static inline void cleanup_buffer_done(struct buffer *b)
{
    buffer_done(b);
}
#define cleanup_buffer __attribute__((cleanup(cleanup_buffer_done)))
