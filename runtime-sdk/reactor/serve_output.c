/* serve_output.c - an answer in the making: bytes appended in a callback.
 *
 * A loop has one, emptied for each callback; its memory stays, so that an
 * answer of usual size allocates nothing. */
#include "reactor/serve_internal.h"

#include <errno.h>
#include <string.h>

enum { OUTPUT_KEPT = 256 * 1024 }; /* what a loop holds on to between answers */

struct rouse_output *serve_output_begin(struct serve_loop *sl, size_t pending, size_t limit)
{
    struct rouse_output *out = &sl->out;

    buffer_clear(&out->bytes);
    out->pending = pending;
    out->full_at = sl->server->events.output_high;
    out->error = 0;
    out->no_room = pending >= limit; /* a buffer's limit of 0 is none */
    out->bytes.limit = out->no_room ? 1 : limit - pending;
    return out;
}

void serve_output_end(struct rouse_output *out)
{
    if (out->bytes.capacity > OUTPUT_KEPT)
        buffer_done(&out->bytes);
}

void *rouse_reserve(struct rouse_output *out, size_t n)
{
    uint8_t *to;

    if (out->no_room)
        out->error = -ENOBUFS;
    if (out->error)
        return NULL;
    to = buffer_reserve(&out->bytes, n ? n : 1);
    if (!to)
        out->error = n > out->bytes.limit - buffer_size(&out->bytes) ? -ENOBUFS : -ENOMEM;
    return to;
}

void rouse_commit(struct rouse_output *out, size_t n)
{
    buffer_commit(&out->bytes, n);
}

int rouse_append(struct rouse_output *out, const void *data, size_t n)
{
    void *to;

    if (!n)
        return out->error;
    to = rouse_reserve(out, n);
    if (!to)
        return out->error;
    memcpy(to, data, n);
    buffer_commit(&out->bytes, n);
    return 0;
}

int rouse_append_text(struct rouse_output *out, const char *text)
{
    return rouse_append(out, text, strlen(text));
}

int rouse_appendf(struct rouse_output *out, const char *fmt, ...)
{
    va_list ap;

    if (out->no_room)
        out->error = -ENOBUFS;
    if (out->error)
        return out->error;
    va_start(ap, fmt);
    out->error = buffer_vprintf(&out->bytes, fmt, ap);
    va_end(ap);
    return out->error;
}

size_t rouse_output_size(const struct rouse_output *out)
{
    return buffer_size(&out->bytes);
}

bool rouse_output_full(const struct rouse_output *out)
{
    return out->error || out->no_room || out->pending + buffer_size(&out->bytes) > out->full_at;
}
