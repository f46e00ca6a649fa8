/* response.c - the rouse_respond_*() family and rouse_fail(). The handler's thread. */
#include "sdk/response.h"

#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void response_reset(struct rouse_response *resp)
{
    buffer_clear(&resp->body);
    buffer_clear(&resp->error_message);
    resp->flags = 0;
    resp->answered = resp->failed = false;
    resp->error_type[0] = '\0';
}

void response_done(struct rouse_response *resp)
{
    buffer_done(&resp->body);
    buffer_done(&resp->error_message);
}

static void response_begin(struct rouse_response *resp, uint8_t flags)
{
    buffer_clear(&resp->body);
    resp->flags = flags;
    resp->answered = true;
}

static int response_set(struct rouse_response *resp, uint8_t flags, const void *data, size_t n)
{
    response_begin(resp, flags);
    return buffer_append(&resp->body, data, n);
}

int rouse_respond_text(struct rouse_response *resp, const char *text)
{
    return response_set(resp, FRAME_TEXT, text, strlen(text));
}

int rouse_respond_json(struct rouse_response *resp, const char *json)
{
    return response_set(resp, 0, json, strlen(json));
}

int rouse_respond_bytes(struct rouse_response *resp, const void *data, size_t size)
{
    return response_set(resp, FRAME_BYTES, data, size);
}

int rouse_respond_answer(struct rouse_response *resp, const char *json)
{
    return response_set(resp, FRAME_ANSWER, json, strlen(json));
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;

    while (p < end) {
        uint8_t c = *p++, low = 0x80, high = 0xbf;
        int more;

        if (c < 0x80)
            continue;
        if (c < 0xc2 || c > 0xf4)
            return false;
        more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0xe0)
            low = 0xa0;
        else if (c == 0xed)
            high = 0x9f;
        else if (c == 0xf0)
            low = 0x90;
        else if (c == 0xf4)
            high = 0x8f;
        if (end - p < more)
            return false;
        for (; more; more--, low = 0x80, high = 0xbf) {
            c = *p++;
            if (c < low || c > high)
                return false;
        }
    }
    return true;
}

static int append_base64(struct buffer *to, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *out;

    if (!n)
        return 0;
    out = buffer_reserve(to, (n + 2) / 3 * 4);
    if (!out)
        return -ENOMEM;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(left > 1 ? p[i + 1] : 0) << 8 |
                     (uint32_t)(left > 2 ? p[i + 2] : 0);

        *out++ = (uint8_t)digits[v >> 18];
        *out++ = (uint8_t)digits[v >> 12 & 63];
        *out++ = left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
        *out++ = left > 2 ? (uint8_t)digits[v & 63] : '=';
    }
    buffer_commit(to, (n + 2) / 3 * 4);
    return 0;
}

static int append_answer(struct buffer *b, int status, const char *content_type, const void *body,
                         size_t size)
{
    bool text = is_utf8(body, size);
    int r;

    r = buffer_printf(b, "{\"statusCode\":%d,", status);
    if (r >= 0 && content_type) {
        r = buffer_puts(b, "\"headers\":{\"content-type\":\"");
        if (r >= 0)
            r = buffer_json_string(b, content_type, strlen(content_type));
        if (r >= 0)
            r = buffer_puts(b, "\"},");
    }
    if (r >= 0)
        r = buffer_printf(b, "\"isBase64Encoded\":%s,\"body\":\"", text ? "false" : "true");
    if (r >= 0)
        r = text ? buffer_json_string(b, body, size) : append_base64(b, body, size);
    if (r >= 0)
        r = buffer_puts(b, "\"}");
    return r;
}

int rouse_respond_status(struct rouse_response *resp, int status, const char *content_type,
                         const void *body, size_t size)
{
    int r;

    if (status < 100 || status > 599)
        return -EINVAL;
    response_begin(resp, FRAME_ANSWER);
    r = append_answer(&resp->body, status, content_type, size ? body : "", size);
    if (r < 0)
        buffer_clear(&resp->body);
    return r;
}

int rouse_fail(struct rouse_response *resp, const char *type, const char *fmt, ...)
{
    va_list ap;

    resp->failed = true;
    snprintf(resp->error_type, sizeof(resp->error_type), "%s", type);
    buffer_clear(&resp->error_message);
    va_start(ap, fmt);
    (void)buffer_vprintf(&resp->error_message, fmt, ap); /* no memory: the type alone has to do */
    va_end(ap);
    return -ECANCELED;
}

/* Bytes that are no UTF-8 become '?', so that ERROR is JSON whatever a handler says. */
static int append_text(struct buffer *to, const char *s, size_t n)
{
    size_t start = buffer_size(to);
    int r = buffer_json_string(to, s, n);

    if (r >= 0 && !is_utf8(buffer_bytes(to) + start, buffer_size(to) - start)) {
        for (uint8_t *p = to->data + to->start + start; p < to->data + to->end; p++) {
            if (*p >= 0x80)
                *p = '?';
        }
    }
    return r;
}

int response_error_json(const char *type, const char *message, size_t message_size, struct buffer *to)
{
    int r;

    if (message_size > RESPONSE_MESSAGE_MAX)
        message_size = RESPONSE_MESSAGE_MAX;
    r = buffer_puts(to, "{\"errorType\":\"");
    if (r >= 0)
        r = append_text(to, type, strlen(type));
    if (r >= 0)
        r = buffer_puts(to, "\",\"errorMessage\":\"");
    if (r >= 0)
        r = append_text(to, message, message_size);
    if (r >= 0)
        r = buffer_puts(to, "\",\"stackTrace\":[]}");
    return r;
}

int response_error(const struct rouse_response *resp, int result, struct buffer *to)
{
    const char *message;

    if (resp->failed) {
        size_t n = buffer_size(&resp->error_message);

        return response_error_json(resp->error_type,
                                   n ? (const char *)buffer_bytes(&resp->error_message) : "", n, to);
    }
    message = result < 0 && result > -4096 ? strerror(-result) : "the handler returned an error";
    return response_error_json("Error", message, strlen(message), to);
}
