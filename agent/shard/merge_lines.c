/* merge_lines.c - see the header. */
#include "shard/merge_lines.h"
#include "router/siblings.h"

#include <string.h>

enum { STAMP = 24 };

struct reader {
    const uint8_t *at, *end;
};

static size_t line_of(const struct reader *r)
{
    const uint8_t *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));

    return newline ? (size_t)(newline - r->at) + 1 : (size_t)(r->end - r->at);
}

static bool earlier(const struct reader *a, const struct reader *b)
{
    size_t n = STAMP;

    if ((size_t)(a->end - a->at) < n || (size_t)(b->end - b->at) < n)
        return false;
    return memcmp(a->at, b->at, n) < 0;
}

int merge_lines(struct buffer *out, const struct buffer *const *texts, unsigned count, uint32_t limit)
{
    struct reader readers[LOOPS_MAX];
    size_t lines = 0, skip;
    int r = 0;

    for (unsigned i = 0; i < count; i++) {
        size_t n = buffer_size(texts[i]);

        readers[i].at = n ? buffer_bytes(texts[i]) : NULL;
        readers[i].end = readers[i].at + n;
        for (struct reader at = readers[i]; at.at < at.end; at.at += line_of(&at))
            lines++;
    }
    skip = limit && lines > limit ? lines - limit : 0;
    for (; r == 0 && lines; lines--) {
        struct reader *first = NULL;
        size_t n;

        for (unsigned i = 0; i < count; i++)
            if (readers[i].at < readers[i].end && (!first || earlier(&readers[i], first)))
                first = &readers[i];
        n = line_of(first);
        if (skip)
            skip--;
        else
            r = buffer_append(out, first->at, n);
        first->at += n;
    }
    return r;
}
