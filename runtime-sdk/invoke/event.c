/* event.c - no tree, no allocation but the buffer's: every warm request comes through here. */
#include "invoke/event_internal.h"
#include "http/route_pattern.h"
#include "http/trace.h"
#include "base/utf8.h"
#include "invoke/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    PARAMETERS_MAX = 1024
}; /* of one query string; what follows is left in rawQueryString alone */

static int puts_literal(struct buffer *to, const char *s, size_t n)
{
    return buffer_append(to, s, n);
}
#define PUT(to, literal) puts_literal((to), (literal), sizeof(literal) - 1)

static int put_str(struct buffer *to, struct str s)
{
    return json_string_append(to, s.at, s.n);
}

static bool same_name(struct str a, struct str b)
{
    return a.n == b.n && !strncasecmp(a.at, b.at, a.n);
}

bool event_hides(struct str name)
{
    static const char *const hidden[] = {"connection",
                                         "transfer-encoding",
                                         "keep-alive",
                                         "proxy-connection",
                                         "proxy-authorization",
                                         "te",
                                         "trailer",
                                         "upgrade",
                                         "expect"};

    if (name.n > 6 && !strncasecmp(name.at, "rouse-", 6))
        return true;
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (str_ieq(name, hidden[i]))
            return true;
    return false;
}

int event_put_lower_name(struct buffer *to, struct str name)
{
    uint8_t *out = buffer_reserve(to, name.n + 2);

    if (!out)
        return -ENOMEM;
    *out++ = '"';
    /* A header's name is a token: nothing in it needs an escape. */
    for (size_t i = 0; i < name.n; i++)
        *out++ = (uint8_t)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 0x20 : name.at[i]);
    *out = '"';
    buffer_commit(to, name.n + 2);
    return 0;
}

static bool seen_before(const struct http_head *h, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same_name(h->headers[k].name, h->headers[i].name))
            return true;
    return false;
}

static int put_values(struct buffer *to, const struct http_head *h, size_t first)
{
    struct buffer joined = {0};
    bool several = false;
    int r = 0;

    for (size_t i = first + 1; i < h->header_count && !several; i++)
        several = same_name(h->headers[i].name, h->headers[first].name);
    if (!several)
        return put_str(to, h->headers[first].value);
    for (size_t i = first; i < h->header_count && r == 0; i++) {
        if (!same_name(h->headers[i].name, h->headers[first].name))
            continue;
        if (i != first)
            r = PUT(&joined, ",");
        if (r == 0)
            r = buffer_append(&joined, h->headers[i].value.at, h->headers[i].value.n);
    }
    if (r == 0)
        r = json_string_append(to, buffer_bytes(&joined), buffer_size(&joined));
    buffer_done(&joined);
    return r;
}

struct trace_fields event_trace_fields(const struct http_head *h)
{
    char trace[HTTP_TRACE_SIZE];
    struct trace_fields f = {.parent = http_trace_of(h, (const uint64_t[3]){0}, trace)};

    f.state = f.parent;
    for (size_t i = 0; i < h->header_count && f.state; i++)
        if (str_ieq(h->headers[i].name, "tracestate"))
            f.state = http_trace_state_ok(h->headers[i].value);
    return f;
}

bool event_hides_trace(const struct trace_fields *f, struct str name)
{
    return (!f->parent && str_ieq(name, "traceparent")) || (!f->state && str_ieq(name, "tracestate"));
}

static int put_headers(struct buffer *to, const struct http_head *h, const char *trace)
{
    const struct trace_fields fields = event_trace_fields(h);
    bool first = true;
    int r = PUT(to, ",\"headers\":{");

    if (r == 0 && !fields.parent && trace && *trace) {
        r = PUT(to, "\"traceparent\":");
        if (r == 0)
            r = put_str(to, str_of(trace));
        first = false;
    }
    for (size_t i = 0; i < h->header_count && r == 0; i++) {
        struct str name = h->headers[i].name;

        if (event_hides(name) || str_ieq(name, "cookie") || event_hides_trace(&fields, name) ||
            seen_before(h, i))
            continue;
        if (!first)
            r = PUT(to, ",");
        first = false;
        if (r == 0)
            r = event_put_lower_name(to, name);
        if (r == 0)
            r = PUT(to, ":");
        if (r == 0)
            r = put_values(to, h, i);
    }
    return r == 0 ? PUT(to, "}") : r;
}

static int put_cookies(struct buffer *to, const struct http_head *h)
{
    bool any = false;
    int r = 0;

    for (size_t i = 0; i < h->header_count && r == 0; i++) {
        struct str v = h->headers[i].value;

        if (!str_ieq(h->headers[i].name, "cookie"))
            continue;
        while (v.n && r == 0) {
            const char *semi = memchr(v.at, ';', v.n);
            struct str one = {v.at, semi ? (size_t)(semi - v.at) : v.n};

            v.at += one.n + (semi ? 1 : 0);
            v.n -= one.n + (semi ? 1 : 0);
            while (one.n && one.at[0] == ' ') {
                one.at++;
                one.n--;
            }
            if (!one.n)
                continue;
            r = any ? PUT(to, ",") : PUT(to, ",\"cookies\":[");
            any = true;
            if (r == 0)
                r = put_str(to, one);
        }
    }
    return any && r == 0 ? PUT(to, "]") : r;
}

/* ---------------------------------------------------------------- query */

struct parameter {
    uint32_t name, name_size, value, value_size; /* in the decoded text */
    uint32_t hash;
    bool taken;
};

static size_t form_decode(struct str in, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        unsigned v;
        char hex[3] = {0};

        if (in.at[i] == '%' && in.n - i > 2) {
            memcpy(hex, in.at + i + 1, 2);
            if (strspn(hex, "0123456789abcdefABCDEF") == 2 && sscanf(hex, "%x", &v) == 1) {
                out[n++] = (char)v;
                i += 2;
                continue;
            }
        }
        out[n++] = in.at[i] == '+' ? ' ' : in.at[i];
    }
    return n;
}

static uint32_t fnv1a(const char *s, size_t n)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h;
}

static size_t split_query(struct str q, char *text, struct parameter *all)
{
    size_t count = 0, used = 0;

    while (q.n && count < PARAMETERS_MAX) {
        const char *amp = memchr(q.at, '&', q.n);
        struct str pair = {q.at, amp ? (size_t)(amp - q.at) : q.n};
        const char *eq = memchr(pair.at, '=', pair.n);
        struct str name = {pair.at, eq ? (size_t)(eq - pair.at) : pair.n};
        struct str value = {eq ? eq + 1 : "", eq ? pair.n - name.n - 1 : 0};
        struct parameter *p = &all[count];

        q.at += pair.n + (amp ? 1 : 0);
        q.n -= pair.n + (amp ? 1 : 0);
        if (!pair.n)
            continue;
        p->name = (uint32_t)used;
        p->name_size = (uint32_t)form_decode(name, text + used);
        used += p->name_size;
        p->value = (uint32_t)used;
        p->value_size = (uint32_t)form_decode(value, text + used);
        used += p->value_size;
        p->hash = fnv1a(text + p->name, p->name_size);
        p->taken = false;
        count++;
    }
    return count;
}

static bool same_parameter(const char *text, const struct parameter *a, const struct parameter *b)
{
    return a->hash == b->hash && a->name_size == b->name_size &&
           !memcmp(text + a->name, text + b->name, a->name_size);
}

static int put_parameter(struct buffer *to, const char *text, struct parameter *all, size_t count,
                         size_t at)
{
    char joined[HTTP_TARGET_MAX + PARAMETERS_MAX];
    size_t n = 0;
    int r;

    for (size_t i = at; i < count; i++) {
        if (all[i].taken || !same_parameter(text, &all[i], &all[at]))
            continue;
        all[i].taken = true;
        if (i != at)
            joined[n++] = ',';
        memcpy(joined + n, text + all[i].value, all[i].value_size);
        n += all[i].value_size;
    }
    r = json_string_append(to, text + all[at].name, all[at].name_size);
    if (r == 0)
        r = PUT(to, ":");
    return r == 0 ? json_string_append(to, joined, n) : r;
}

static int put_query(struct buffer *to, struct str query)
{
    char text[HTTP_TARGET_MAX];
    struct parameter all[PARAMETERS_MAX];
    size_t count;
    bool first = true;
    int r;

    if (!query.n || query.n > sizeof(text))
        return 0;
    count = split_query(query, text, all);
    if (!count)
        return 0;
    r = PUT(to, ",\"queryStringParameters\":{");
    for (size_t i = 0; i < count && r == 0; i++) {
        if (all[i].taken)
            continue;
        if (!first)
            r = PUT(to, ",");
        first = false;
        if (r == 0)
            r = put_parameter(to, text, all, count, i);
    }
    return r == 0 ? PUT(to, "}") : r;
}

/* ---------------------------------------------------------------- the route */

/* "GET /users/{id}"; "ANY ..." of a trigger that takes all methods. */
int event_put_route_key(struct buffer *to, const struct event_request *r)
{
    struct str method = r->route_any ? STR("ANY") : r->head->method;
    int e;

    if (!r->route.n)
        return PUT(to, ",\"routeKey\":\"$default\"");
    e = PUT(to, ",\"routeKey\":\"");
    if (e == 0)
        e = buffer_json_string(to, method.at, method.n);
    if (e == 0)
        e = PUT(to, " ");
    if (e == 0)
        e = buffer_json_string(to, r->route.at, r->route.n);
    return e == 0 ? PUT(to, "\"") : e;
}

int event_put_path_parameters(struct buffer *to, const struct event_request *r)
{
    struct route_param params[ROUTE_PARAMS_MAX];
    size_t count;
    int e;

    if (!r->route.n || !memchr(r->route.at, '{', r->route.n))
        return 0;
    count = route_params(r->route, r->raw_path, params);
    if (!count)
        return 0;
    e = PUT(to, ",\"pathParameters\":{");
    for (size_t i = 0; i < count && e == 0; i++) {
        char text[HTTP_TARGET_MAX];
        struct str value = params[i].value;
        int n = value.n <= sizeof(text) ? http_percent_decode(value, text, sizeof(text)) : -EINVAL;

        if (i)
            e = PUT(to, ",");
        if (e == 0)
            e = put_str(to, params[i].name);
        if (e == 0)
            e = PUT(to, ":");
        if (e == 0)
            e = put_str(to, n < 0 ? value : (struct str){text, (size_t)n});
    }
    return e == 0 ? PUT(to, "}") : e;
}

/* ---------------------------------------------------------------- context and body */

static const char *time_text(struct event_clock *c, uint64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;

    if (c->second != now_ms / 1000 || !c->text[0]) {
        gmtime_r(&seconds, &tm);
        strftime(c->text, sizeof(c->text), "%d/%b/%Y:%H:%M:%S +0000", &tm);
        c->second = now_ms / 1000;
    }
    return c->text;
}

static int put_context(struct buffer *to, const struct event_request *r)
{
    const struct str *agent = http_head_get(r->head, "user-agent");
    struct str domain = r->head->host, prefix = domain;
    const char *dot = memchr(domain.at ? domain.at : "", '.', domain.n);
    int e;

    if (dot)
        prefix.n = (size_t)(dot - domain.at);
    e = PUT(to, ",\"requestContext\":{\"accountId\":\"anonymous\",\"apiId\":");
    if (e == 0)
        e = json_string_append(to, r->function, strlen(r->function));
    if (e == 0)
        e = PUT(to, ",\"domainName\":");
    if (e == 0)
        e = put_str(to, domain);
    if (e == 0)
        e = PUT(to, ",\"domainPrefix\":");
    if (e == 0)
        e = put_str(to, prefix);
    if (e == 0)
        e = PUT(to, ",\"http\":{\"method\":");
    if (e == 0)
        e = put_str(to, r->head->method);
    if (e == 0)
        e = PUT(to, ",\"path\":");
    if (e == 0)
        e = put_str(to, r->raw_path);
    if (e == 0)
        e = r->head->minor ? PUT(to, ",\"protocol\":\"HTTP/1.1\",\"sourceIp\":")
                           : PUT(to, ",\"protocol\":\"HTTP/1.0\",\"sourceIp\":");
    if (e == 0)
        e = json_string_append(to, r->client_ip, strlen(r->client_ip));
    if (e == 0)
        e = PUT(to, ",\"userAgent\":");
    if (e == 0)
        e = put_str(to, agent ? *agent : STR(""));
    if (e == 0)
        e = PUT(to, "},\"requestId\":");
    if (e == 0)
        e = json_string_append(to, r->request_id, strlen(r->request_id));
    if (e == 0)
        e = event_put_route_key(to, r);
    if (e == 0)
        e = buffer_printf(to, ",\"stage\":\"$default\",\"time\":\"%s\",\"timeEpoch\":%llu}",
                          time_text(r->clock, r->now_ms), (unsigned long long)r->now_ms);
    return e;
}

static int put_body(struct buffer *to, const struct event_request *r)
{
    bool text = !http_head_get(r->head, "content-encoding") && utf8_valid(r->body, r->body_size);
    int e;

    if (!r->body_size)
        return PUT(to, ",\"isBase64Encoded\":false}");
    e = PUT(to, ",\"body\":\"");
    if (e == 0)
        e = text ? buffer_json_string(to, (const char *)r->body, r->body_size)
                 : base64_append(to, r->body, r->body_size);
    if (e == 0)
        e = text ? PUT(to, "\",\"isBase64Encoded\":false}") : PUT(to, "\",\"isBase64Encoded\":true}");
    return e;
}

int event_append(struct buffer *to, const struct event_request *r)
{
    int e = PUT(to, "{\"version\":\"2.0\"");

    if (e == 0)
        e = event_put_route_key(to, r);
    if (e == 0)
        e = PUT(to, ",\"rawPath\":");
    if (e == 0)
        e = put_str(to, r->raw_path);
    if (e == 0)
        e = PUT(to, ",\"rawQueryString\":");
    if (e == 0)
        e = put_str(to, r->head->query);
    if (e == 0)
        e = put_cookies(to, r->head);
    if (e == 0)
        e = put_headers(to, r->head, r->trace);
    if (e == 0)
        e = put_query(to, r->head->query);
    if (e == 0)
        e = event_put_path_parameters(to, r);
    if (e == 0)
        e = put_context(to, r);
    return e == 0 ? put_body(to, r) : e;
}
