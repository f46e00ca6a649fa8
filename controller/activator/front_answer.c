/* front_answer.c - see front_answer.h. */
#include "activator/front_answer.h"

#include "base/buffer.h"
#include "http/server.h"

#include <string.h>

static const char *text_of(struct buffer *b)
{
    return buffer_append(b, "", 1) < 0 ? "" : (const char *)buffer_bytes(b);
}

void front_answer_send(struct http_exchange *x, const char *request_id, const struct front_answer *a)
{
    cleanup_buffer struct buffer headers = {0}, body = {0};

    buffer_printf(&headers, "Content-Type: application/json\r\nRouse-Request-Id: %s\r\n", request_id);
    if (a->retry_after_s)
        buffer_printf(&headers, "Retry-After: %u\r\n", a->retry_after_s);
    if (a->allow && *a->allow && !strpbrk(a->allow, "\r\n"))
        buffer_printf(&headers, "Allow: %s\r\n", a->allow);
    buffer_puts(&body, "{\"reason\":\"");
    buffer_json_string(&body, a->reason, strlen(a->reason));
    buffer_puts(&body, "\",\"message\":\"");
    buffer_json_string(&body, a->message, strlen(a->message));
    buffer_printf(&body, "\",\"requestId\":\"%s\"}\n", request_id);
    http_respond(x, a->status, text_of(&headers), buffer_bytes(&body), buffer_size(&body));
}
