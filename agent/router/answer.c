/* answer.c - writes the platform's own answers. On the agent's loop. */
#include "router/answer.h"

#include <errno.h>
#include <string.h>

const struct answer answers[ANSWER_KIND_COUNT] = {
    [ANSWER_BODY_TOO_LARGE] = {413, "RequestTooLarge",
                               "the request's body is over the function's limit", 0, NULL},
    [ANSWER_INSTANCE_LOST] = {502, "InstanceLost",
                              "the instance or its node was lost with the request", 0, NULL},
    [ANSWER_TIMEOUT] = {504, "Timeout", "the function did not answer within its timeout", 0, NULL},
    [ANSWER_DEADLINE_EXCEEDED] = {503, "DeadlineExceeded", "no instance became free in time", 1, NULL},
    [ANSWER_QUEUE_FULL] = {503, "QueueFull", "too many requests wait at this node", 1, NULL},
    [ANSWER_HELD_BYTES] = {503, "QueueFull",
                           "the requests that wait at this node hold too many bytes", 1, NULL},
    [ANSWER_SHUTTING_DOWN] = {503, "ShuttingDown", "this node stops; ask another one", 1, NULL},
    [ANSWER_NO_MEMORY] = {503, "NoMemory", "this node is out of memory", 1, NULL},
    [ANSWER_INVOKE_METHOD] = {405, "MethodNotAllowed", "invocations are made by POST", 0, "POST"},
    [ANSWER_INVOCATION_TYPE] = {400, "InvalidParameterValue",
                                "X-Amz-Invocation-Type: only RequestResponse is supported", 0, NULL},
};

/* A header's value never ends its line, whoever wrote it. */
static int header_text(struct buffer *to, const char *name, const char *value)
{
    int r = buffer_printf(to, "%s: ", name);

    for (; r == 0 && *value; value++)
        if ((unsigned char)*value >= 0x20 && *value != 0x7f)
            r = buffer_append(to, value, 1);
    return r ? r : buffer_append(to, "\r\n", 2);
}

static int json_member(struct buffer *to, const char *before, const char *value)
{
    int r = buffer_puts(to, before);

    if (r == 0)
        r = buffer_json_string(to, value, strlen(value));
    return r ? r : buffer_append(to, "\"", 1);
}

int answer_text(const struct answer *a, const char *request_id, struct buffer *headers,
                struct buffer *body)
{
    int r = header_text(headers, "Rouse-Request-Id", request_id);

    if (r == 0)
        r = buffer_puts(headers, "Content-Type: application/json\r\n");
    if (r == 0 && a->retry_after_s)
        r = buffer_printf(headers, "Retry-After: %u\r\n", a->retry_after_s);
    if (r == 0 && a->allow && *a->allow)
        r = header_text(headers, "Allow", a->allow);
    if (r == 0)
        r = buffer_append(headers, "", 1);
    if (r == 0)
        r = json_member(body, "{\"reason\":\"", a->reason);
    if (r == 0)
        r = json_member(body, ",\"message\":\"", a->message);
    if (r == 0)
        r = json_member(body, ",\"requestId\":\"", request_id);
    return r ? r : buffer_append(body, "}\n", 2);
}

void answer_send(struct http_exchange *x, const char *request_id, const struct answer *a)
{
    cleanup_buffer struct buffer headers = {0}, body = {0};

    if (answer_text(a, request_id, &headers, &body) < 0)
        http_respond(x, a->status, NULL, NULL, 0);
    else
        http_respond(x, a->status, (const char *)buffer_bytes(&headers), buffer_bytes(&body),
                     buffer_size(&body));
}
