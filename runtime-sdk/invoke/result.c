#include "invoke/result_internal.h"
#include "http/message.h"
#include "base/utf8.h"
#include "invoke/text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { JSON_DEPTH = 64, HEADERS_SIZE_MAX = 24 << 10, PRELUDE_MAX = 64 << 10, VALUES_MAX = 16384 };
#define VALUES_TEXT "16384" /* a tree of them is what a small answer may cost */

static int bad(char message[RESULT_MESSAGE_MAX], const char *what)
{
    snprintf(message, RESULT_MESSAGE_MAX, "%s", what);
    return -EBADMSG;
}

bool result_parse(const uint8_t *s, size_t n, struct json_object **ret)
{
    struct json_tokener *t;
    struct json_facts facts;
    bool ok;

    if (n > INT32_MAX || json_check(s, n, JSON_DEPTH - 1, &facts) < 0 || facts.values > VALUES_MAX)
        return false;
    t = json_tokener_new_ex(JSON_DEPTH);
    if (!t)
        return false;
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    *ret = json_tokener_parse_ex(t, (const char *)s, (int)n);
    /* A bare number may go on: only the end of the text ends it. */
    if (json_tokener_get_error(t) == json_tokener_continue)
        *ret = json_tokener_parse_ex(t, "", 1);
    ok = json_tokener_get_error(t) == json_tokener_success;
    json_tokener_free(t);
    return ok;
}

static bool is_token(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *s))
            return false;
    return true;
}

static bool is_value(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
            return false;
    return true;
}

/* The server frames the answer; Rouse-* is the platform's own. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        "content-length", "transfer-encoding", "connection", "keep-alive",      "date",
        "upgrade",        "trailer",           "te",         "proxy-connection"};

    if (!strncasecmp(name, "rouse-", 6))
        return true;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (!strcasecmp(name, ours[i]))
            return true;
    return false;
}

int result_add_header(struct buffer *to, const char *name, struct json_object *value,
                      char message[RESULT_MESSAGE_MAX])
{
    const char *v = json_object_get_string(value);
    size_t n = v ? strlen(v) : 0;

    if (!is_token(name)) {
        snprintf(message, RESULT_MESSAGE_MAX, "the answer has a bad header name \"%.64s\"", name);
        return -EBADMSG;
    }
    if (json_object_is_type(value, json_type_object) ||
        json_object_is_type(value, json_type_array) || !value ||
        (json_object_is_type(value, json_type_string) &&
         n != (size_t)json_object_get_string_len(value)) ||
        !is_value(v, n)) {
        snprintf(message, RESULT_MESSAGE_MAX, "the answer has a bad value of the header \"%.64s\"",
                 name);
        return -EBADMSG;
    }
    if (is_ours(name))
        return 0;
    if (buffer_size(to) + n + strlen(name) > HEADERS_SIZE_MAX)
        return bad(message, "the answer has too many header bytes");
    return buffer_printf(to, "%s: %s\r\n", name, v);
}

static int answer_headers(struct json_object *o, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    struct json_object *v;
    bool typed = false;
    int r = 0;

    if (json_object_object_get_ex(o, "headers", &v) && v) {
        if (!json_object_is_type(v, json_type_object))
            return bad(message, "the answer's headers are not an object");
        json_object_object_foreach(v, name, value)
        {
            typed = typed || !strcasecmp(name, "content-type");
            r = result_add_header(&a->headers, name, value, message);
            if (r < 0)
                return r;
        }
    }
    if (json_object_object_get_ex(o, "cookies", &v) && v) {
        if (!json_object_is_type(v, json_type_array))
            return bad(message, "the answer's cookies are not an array");
        for (size_t i = 0; i < json_object_array_length(v) && r == 0; i++) {
            struct json_object *one = json_object_array_get_idx(v, i);

            if (!json_object_is_type(one, json_type_string))
                return bad(message, "the answer has a cookie that is not a string");
            r = result_add_header(&a->headers, "Set-Cookie", one, message);
        }
    }
    if (r == 0 && !typed)
        r = buffer_puts(&a->headers, "Content-Type: application/json\r\n");
    return r;
}

static int answer_status(struct json_object *o, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    struct json_object *v;
    int64_t status;

    if (!json_object_object_get_ex(o, "statusCode", &v) || !json_object_is_type(v, json_type_int))
        return bad(message, "the answer's statusCode is not an integer");
    status = json_object_get_int64(v);
    if (status < 200 || status > 599)
        return bad(message, "the answer's statusCode is not within 200 to 599");
    a->status = (int)status;
    return 0;
}

static int answer_body(struct json_object *o, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    struct json_object *v, *flag;
    bool base64 =
        json_object_object_get_ex(o, "isBase64Encoded", &flag) && json_object_get_boolean(flag);
    const char *s;
    size_t n;
    int r;

    if (!json_object_object_get_ex(o, "body", &v) || !v)
        return 0;
    if (json_object_is_type(v, json_type_string)) {
        s = json_object_get_string(v);
        n = (size_t)json_object_get_string_len(v);
    } else {
        s = json_object_to_json_string_length(
            v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
    }
    if (!s)
        return -ENOMEM;
    if (base64) {
        r = base64_decode(&a->owned, s, n);
        if (r == -EINVAL)
            return bad(message, "the answer's body is not base64");
    } else {
        r = buffer_append(&a->owned, s, n);
    }
    a->body = buffer_bytes(&a->owned);
    a->body_size = buffer_size(&a->owned);
    return r;
}

static int from_object(struct json_object *o, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    int r;

    if (!json_object_is_type(o, json_type_object))
        return bad(message, "the answer is not a JSON object");
    r = answer_status(o, a, message);
    if (r == 0)
        r = answer_headers(o, a, message);
    return r == 0 ? answer_body(o, a, message) : r;
}

static int plain(struct answer *a, const char *type, const uint8_t *body, size_t n)
{
    a->status = 200;
    a->body = body;
    a->body_size = n;
    return buffer_append(&a->headers, "Content-Type: ", 14) < 0 ||
                   buffer_puts(&a->headers, type) < 0 || buffer_append(&a->headers, "\r\n", 2) < 0
               ? -ENOMEM
               : 0;
}
#define TYPE_JSON  "application/json"
#define TYPE_TEXT  "text/plain; charset=utf-8"
#define TYPE_BYTES "application/octet-stream"

static int from_answer(const uint8_t *s, size_t n, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    struct json_object *o = NULL;
    int r = result_parse(s, n, &o)
                ? from_object(o, a, message)
                : bad(message, "the answer is not valid JSON, or of over " VALUES_TEXT " values");

    json_object_put(o);
    return r;
}

static int from_json_string(const struct result *r, struct answer *a,
                            char message[RESULT_MESSAGE_MAX])
{
    struct json_object *o = NULL;
    int e;

    if (!result_parse(r->data, r->n, &o) || !json_object_is_type(o, json_type_string)) {
        json_object_put(o);
        return bad(message, "the result is not valid JSON");
    }
    e = buffer_append(&a->owned, json_object_get_string(o), (size_t)json_object_get_string_len(o));
    json_object_put(o);
    return e < 0 ? e : plain(a, TYPE_TEXT, buffer_bytes(&a->owned), buffer_size(&a->owned));
}

static uint8_t first_byte(const struct result *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (!memchr(" \t\r\n", r->data[i], 4))
            return r->data[i];
    return 0;
}

/* Whether an object has statusCode at its top is worth a look only where that text occurs at all.
 */
static int from_json(const struct result *r, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    uint8_t first = first_byte(r);
    struct json_facts facts;

    if (first == '"')
        return from_json_string(r, a, message);
    if (first != '{' || !memmem(r->data, r->n, "\"statusCode\"", 12))
        return plain(a, TYPE_JSON, r->data, r->n);
    if (json_check(r->data, r->n, JSON_DEPTH - 1, &facts) < 0)
        return bad(message, "the result is not valid JSON");
    return facts.status_code ? from_answer(r->data, r->n, a, message)
                             : plain(a, TYPE_JSON, r->data, r->n);
}

static int from_untyped(const struct result *r, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    struct json_facts facts;

    if (json_check(r->data, r->n, JSON_DEPTH - 1, &facts) == 0)
        return from_json(r, a, message);
    return plain(a, utf8_valid(r->data, r->n) ? TYPE_TEXT : TYPE_BYTES, r->data, r->n);
}

static int from_prelude(const struct result *r, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    static const uint8_t zeros[8];
    const uint8_t *end =
        memmem(r->data, r->n < PRELUDE_MAX ? r->n : PRELUDE_MAX, zeros, sizeof(zeros));
    int e;

    if (!end)
        return bad(message, "the streamed answer has no prelude");
    e = from_answer(r->data, (size_t)(end - r->data), a, message);
    a->body = end + sizeof(zeros);
    a->body_size = r->n - (size_t)(a->body - r->data);
    return e;
}

int result_answer(const struct result *r, struct answer *a, char message[RESULT_MESSAGE_MAX])
{
    int e = -EINVAL;

    buffer_clear(&a->headers);
    buffer_clear(&a->owned);
    a->status = 200;
    a->body = NULL;
    a->body_size = 0;
    switch (r->kind) {
    case RESULT_JSON:
        e = from_json(r, a, message);
        break;
    case RESULT_TEXT:
        e = plain(a, TYPE_TEXT, r->data, r->n);
        break;
    case RESULT_BYTES:
        e = plain(a, TYPE_BYTES, r->data, r->n);
        break;
    case RESULT_ANSWER:
        e = from_answer(r->data, r->n, a, message);
        break;
    case RESULT_UNTYPED:
        e = from_untyped(r, a, message);
        break;
    case RESULT_PRELUDE:
        e = from_prelude(r, a, message);
        break;
    }
    if (a->status == 204 || a->status == 304)
        a->body_size = 0;
    return e;
}

void answer_done(struct answer *a)
{
    buffer_done(&a->headers);
    buffer_done(&a->owned);
}

const char *result_raw_type(const struct result *r)
{
    return r->kind == RESULT_TEXT ? TYPE_TEXT : r->kind == RESULT_BYTES ? TYPE_BYTES : TYPE_JSON;
}
