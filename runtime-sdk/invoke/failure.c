#include "invoke/failure.h"
#include "base/utf8.h"
#include "invoke/text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_MAX = 128,
    MESSAGE_MAX = 32 << 10,
    TRACE_MAX = 64 << 10,
    ERROR_DEPTH = 16,
    VALUES_MAX = 16384
};

/* At most `limit` bytes, cut between characters. */
static char *copy_text(const char *s, size_t n, size_t limit)
{
    if (n > limit) {
        n = limit;
        while (n && ((uint8_t)s[n] & 0xc0) == 0x80)
            n--;
    }
    return strndup(s, n);
}

static char *copy_field(struct json_object *o, const char *name, size_t limit)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
        return NULL;
    return copy_text(json_object_get_string(v), (size_t)json_object_get_string_len(v), limit);
}

static char *copy_trace(struct json_object *o)
{
    struct json_object *v;
    const char *s;

    if (!json_object_object_get_ex(o, "stackTrace", &v) || !json_object_is_type(v, json_type_array))
        return NULL;
    s = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    return s && strlen(s) <= TRACE_MAX ? strdup(s) : NULL;
}

static struct json_object *parse_any(const uint8_t *data, size_t n)
{
    struct json_tokener *t;
    struct json_object *o = NULL;
    struct json_facts facts;

    if (n > INT32_MAX || json_check(data, n, ERROR_DEPTH - 1, &facts) < 0 || facts.values > VALUES_MAX)
        return NULL;
    t = json_tokener_new_ex(ERROR_DEPTH);
    if (t)
        o = json_tokener_parse_ex(t, (const char *)data, (int)n);
    json_tokener_free(t);
    return o;
}

static struct json_object *parse(const uint8_t *data, size_t n)
{
    struct json_object *o = parse_any(data, n);

    if (o && !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        o = NULL;
    }
    return o;
}

int function_error_parse(const uint8_t *data, size_t n, const char *type, struct function_error *ret)
{
    struct json_object *o = n ? parse(data, n) : NULL;
    struct function_error e = {0};

    if (o) {
        e.type = copy_field(o, "errorType", TYPE_MAX);
        e.message = copy_field(o, "errorMessage", MESSAGE_MAX);
        e.trace = copy_trace(o);
        json_object_put(o);
    } else if (n && utf8_valid(data, n)) {
        e.message = copy_text((const char *)data, n, MESSAGE_MAX);
    }
    if (!e.type)
        e.type = strdup(type ? type : "Function.Unknown");
    if (!e.message)
        e.message = strdup("");
    if (!e.trace)
        e.trace = strdup("[]");
    if (!e.type || !e.message || !e.trace) {
        function_error_done(&e);
        return -ENOMEM;
    }
    *ret = e;
    return 0;
}

int function_error_text(const struct function_error *e, struct buffer *out)
{
    struct json_object *trace = parse_any((const uint8_t *)e->trace, strlen(e->trace));
    int r = buffer_printf(out, "%s: %s", e->type, e->message);

    if (json_object_is_type(trace, json_type_array)) {
        for (size_t i = 0; r == 0 && i < json_object_array_length(trace); i++) {
            const char *line = json_object_get_string(json_object_array_get_idx(trace, i));
            size_t n = line ? strlen(line) : 0;

            while (n && line[n - 1] == '\n')
                n--;
            r = buffer_printf(out, "\n%.*s", (int)n, line ? line : "");
        }
    }
    json_object_put(trace);
    return r;
}

void function_error_done(struct function_error *e)
{
    free(e->type);
    free(e->message);
    free(e->trace);
    *e = (struct function_error){0};
}

static void put_field(struct buffer *b, const char *name, const char *text)
{
    buffer_printf(b, "%s\"%s\":", buffer_size(b) > 1 ? "," : "", name);
    json_string_append(b, text, strlen(text));
}

static void put_error(struct buffer *b, const struct function_error *e)
{
    put_field(b, "errorType", e->type);
    put_field(b, "errorMessage", e->message);
    buffer_printf(b, ",\"stackTrace\":%s", e->trace);
}

/* A direct call has Lambda's form: status 200, and the error as the body. */
static int respond_raw(struct http_exchange *x, const struct failure *f)
{
    struct buffer b = {0};
    char headers[256];

    buffer_puts(&b, "{");
    if (f->error && f->trusted) {
        put_error(&b, f->error);
    } else {
        put_field(&b, "errorType", f->error_type ? f->error_type : f->reason);
        put_field(&b, "errorMessage", f->message);
        buffer_puts(&b, ",\"stackTrace\":[]");
    }
    buffer_puts(&b, "}");
    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\r\nX-Amz-Function-Error: "
             "Unhandled\r\nRouse-Request-Id: %s\r\n",
             f->request_id);
    http_respond(x, 200, headers, buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
    return 200;
}

int failure_respond(struct http_exchange *x, const struct failure *f)
{
    struct buffer b = {0};
    char headers[256];

    if (f->shape == INVOKE_RAW && !f->refused)
        return respond_raw(x, f);
    buffer_puts(&b, "{");
    put_field(&b, "reason", f->reason);
    put_field(&b, "message", f->message);
    put_field(&b, "requestId", f->request_id);
    if (f->error && f->trusted)
        put_error(&b, f->error);
    buffer_puts(&b, "}\n");
    snprintf(headers, sizeof(headers), "Content-Type: application/json\r\nRouse-Request-Id: %s\r\n",
             f->request_id);
    http_respond(x, f->status, headers, buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
    return f->status;
}
