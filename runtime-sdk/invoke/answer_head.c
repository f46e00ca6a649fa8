#include "invoke/answer_head.h"
#include "http/message.h"
#include "invoke/result_internal.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int bad(char message[RESULT_MESSAGE_MAX], const char *what)
{
    snprintf(message, RESULT_MESSAGE_MAX, "%s", what);
    return -EBADMSG;
}

static int take_status(struct json_object *o, struct answer_head *h, char message[RESULT_MESSAGE_MAX])
{
    struct json_object *v;
    int64_t status;

    if (!json_object_object_get_ex(o, "status", &v) || !json_object_is_type(v, json_type_int))
        return bad(message, "the answer's status is not an integer");
    status = json_object_get_int64(v);
    if (status < 102 || status > 599)
        return bad(message, "the answer's status is not within 102 to 599");
    h->status = (int)status;
    return 0;
}

/* Digits alone, and the same if it comes twice (RFC 9110 8.6). */
static int take_length(struct json_object *value, struct answer_head *h,
                       char message[RESULT_MESSAGE_MAX])
{
    const char *s = json_object_get_string(value), *end = s + json_object_get_string_len(value);
    int64_t n = 0;

    for (const char *p = s; p < end; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *p - '0', &n))
            return bad(message, "the answer's content-length is not a number of bytes");
    if (s == end || (h->content_length >= 0 && h->content_length != n))
        return bad(message, "the answer's content-length is not a number of bytes");
    h->content_length = n;
    return 0;
}

static int take_header(struct json_object *pair, struct answer_head *h,
                       char message[RESULT_MESSAGE_MAX])
{
    struct json_object *name, *value;

    if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
        return bad(message, "the answer has a header that is not a pair");
    name = json_object_array_get_idx(pair, 0);
    value = json_object_array_get_idx(pair, 1);
    if (!json_object_is_type(name, json_type_string) || !json_object_is_type(value, json_type_string))
        return bad(message, "the answer has a header that is not a pair of strings");
    if (strlen(json_object_get_string(name)) != (size_t)json_object_get_string_len(name))
        return bad(message, "the answer has a header whose name has a NUL");
    if (!strcasecmp(json_object_get_string(name), "content-length"))
        return take_length(value, h, message);
    return result_add_header(&h->headers, json_object_get_string(name), value, message);
}

static int take_headers(struct json_object *o, struct answer_head *h,
                        char message[RESULT_MESSAGE_MAX])
{
    struct json_object *list;
    int r = 0;

    if (!json_object_object_get_ex(o, "headers", &list))
        return 0;
    if (!json_object_is_type(list, json_type_array))
        return bad(message, "the answer's headers are not an array of pairs");
    if (json_object_array_length(list) > HTTP_HEADERS_MAX)
        return bad(message, "the answer has more than 100 headers");
    for (size_t i = 0; i < json_object_array_length(list) && r == 0; i++)
        r = take_header(json_object_array_get_idx(list, i), h, message);
    return r;
}

int answer_head_parse(const uint8_t *data, size_t n, struct answer_head *ret,
                      char message[RESULT_MESSAGE_MAX])
{
    struct json_object *o = NULL;
    int r;

    buffer_clear(&ret->headers);
    ret->content_length = -1;
    ret->status = 0;
    if (!result_parse(data, n, &o) || !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        return bad(message, "the answer's head is not a JSON object");
    }
    r = take_status(o, ret, message);
    if (r == 0)
        r = take_headers(o, ret, message);
    json_object_put(o);
    return r;
}
