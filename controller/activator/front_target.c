#include "activator/front_target.h"
#include "base/buffer.h"
#include "http/route_pattern.h"
#include "http/server.h"

#include <stdio.h>
#include <string.h>

enum { NAMESPACE_MAX = 63, NAME_MAX_BYTES = 253 };

static bool take_prefix(struct str *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s->n < n || memcmp(s->at, prefix, n) != 0)
        return false;
    *s = (struct str){s->at + n, s->n - n};
    return true;
}

/* The part before the first `at`, or all of it; `rest` begins with `at` or is empty. */
static struct str part(struct str s, char at, struct str *rest)
{
    const char *p = s.n ? memchr(s.at, at, s.n) : NULL;
    size_t n = p ? (size_t)(p - s.at) : s.n;

    *rest = (struct str){s.at + n, s.n - n};
    return (struct str){s.at, n};
}

static bool name_ok(struct str s, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return s.n && s.n <= max;
}

static bool set_key(struct front_target *t, struct str ns, struct str name)
{
    if (!name_ok(ns, NAMESPACE_MAX) || !name_ok(name, NAME_MAX_BYTES))
        return false;
    snprintf(t->key, sizeof(t->key), "%.*s/%.*s", (int)ns.n, ns.at, (int)name.n, name.at);
    return true;
}

static void parse_function(struct str s, struct front_target *t)
{
    struct str rest, ns = part(s, '/', &rest), name;

    if (!rest.n)
        return;
    name = part((struct str){rest.at + 1, rest.n - 1}, '/', &rest);
    if (set_key(t, ns, name))
        t->path = rest.n ? rest : STR("/");
}

static void parse_invoke(struct str s, struct front_target *t)
{
    char text[FRONT_KEY_MAX];
    struct str rest, name = part(s, '/', &rest), ns;
    int n = http_percent_decode(name, text, sizeof(text));

    if (!str_eq(rest, "/invocations") || n < 0)
        return;
    ns = part((struct str){text, (size_t)n}, ':', &rest);
    if (rest.n) {
        name = (struct str){rest.at + 1, rest.n - 1};
    } else {
        name = ns;
        ns = STR("default");
    }
    if (!set_key(t, ns, name))
        return;
    t->raw = true;
    t->path = STR("/");
}

void front_target_parse(struct str path, struct front_target *ret)
{
    char buffer[HTTP_TARGET_MAX];
    struct str rest = path, canonical;

    *ret = (struct front_target){.path = path};
    /* The activator has no function for such a path, by its name neither. */
    if (path.n > sizeof(buffer) || route_path_canonical(path, buffer, &canonical) < 0)
        return;
    if (take_prefix(&rest, "/function/"))
        parse_function(rest, ret);
    else if (take_prefix(&rest, "/2015-03-31/functions/"))
        parse_invoke(rest, ret);
}

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
