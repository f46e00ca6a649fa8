/* text.c - see text.h. */
#include "sched/text.h"

#include <errno.h>
#include <unistd.h>

void text_flush(struct text *t)
{
    size_t at = 0;

    while (at < t->size) {
        ssize_t n = write(t->fd, t->buffer + at, t->size - at);

        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            at += (size_t)n;
    }
    t->size = 0;
}

static void put(struct text *t, char c)
{
    if (t->size == sizeof(t->buffer))
        text_flush(t);
    t->buffer[t->size++] = c;
}

void text_put(struct text *t, const char *s)
{
    while (*s)
        put(t, *s++);
}

static void number(struct text *t, uint64_t n, unsigned base, unsigned group)
{
    char digits[32];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (count--) {
        put(t, digits[count]);
        if (group && count && count % group == 0)
            put(t, ',');
    }
}

void text_number(struct text *t, uint64_t n)
{
    number(t, n, 10, 3);
}

void text_plain(struct text *t, uint64_t n)
{
    number(t, n, 10, 0);
}

void text_hex(struct text *t, uint64_t n)
{
    text_put(t, "0x");
    number(t, n, 16, 0);
}
