/* failure.c - see failure.h; and rouse_fail(). */
#include "sdk/failure.h"

#include "sdk/context.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEEP_MAX = 4 << 10 };

void failure_reset(struct failure *f)
{
    f->failed = false;
    f->type[0] = '\0';
    if (f->message.capacity > KEEP_MAX)
        failure_done(f);
    buffer_clear(&f->message);
}

void failure_done(struct failure *f)
{
    buffer_done(&f->message);
}

int rouse_fail(struct rouse_context *ctx, const char *type, const char *fmt, ...)
{
    struct failure *f = &ctx->failure;
    va_list ap;

    f->failed = true;
    snprintf(f->type, sizeof(f->type), "%s", type);
    buffer_clear(&f->message);
    va_start(ap, fmt);
    (void)buffer_vprintf(&f->message, fmt, ap); /* no memory: the type alone has to do */
    va_end(ap);
    return -ECANCELED;
}

int failure_text_json(const char *type, const char *message, size_t message_size, struct buffer *to)
{
    int r;

    if (message_size > FAILURE_MESSAGE_MAX)
        message_size = FAILURE_MESSAGE_MAX;
    r = buffer_puts(to, "{\"errorType\":\"");
    if (r >= 0)
        r = buffer_json_string(to, type, strlen(type));
    if (r >= 0)
        r = buffer_puts(to, "\",\"errorMessage\":\"");
    if (r >= 0)
        r = buffer_json_string(to, message, message_size);
    if (r >= 0)
        r = buffer_puts(to, "\",\"stackTrace\":[]}");
    return r;
}

/* strerror() would link every translation there may be. */
static const char *describe(int result)
{
    const char *text = result < 0 && result > -4096 ? strerrordesc_np(-result) : NULL;

    return text ? text : "the handler returned an error";
}

int failure_json(const struct failure *f, int result, struct buffer *to)
{
    size_t n = buffer_size(&f->message);
    const char *text = describe(result);

    if (!f->failed)
        return failure_text_json("Error", text, strlen(text), to);
    return failure_text_json(f->type, n ? (const char *)buffer_bytes(&f->message) : "", n, to);
}
