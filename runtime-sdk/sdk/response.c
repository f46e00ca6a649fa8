/* response.c - the rouse_respond_*() family. The handler's task. */
#include "sdk/response.h"

#include "base/utf8.h"
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

void response_reset(struct rouse_response *resp)
{
    buffer_clear(&resp->body);
    resp->flags = 0;
    resp->answered = false;
}

void response_done(struct rouse_response *resp)
{
    buffer_done(&resp->body);
}

static void response_begin(struct rouse_response *resp, uint8_t flags)
{
    buffer_clear(&resp->body);
    resp->flags = flags;
    resp->answered = true;
}

int response_set(struct rouse_response *resp, uint8_t flags, const void *data, size_t n)
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
    bool text = utf8_valid(body, size);
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
