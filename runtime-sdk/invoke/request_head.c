#include "invoke/request_head.h"
#include "invoke/event_internal.h"
#include "invoke/text.h"

#include <inttypes.h>

static int put_str(struct buffer *to, struct str s)
{
    return json_string_append(to, s.at, s.n);
}

static int put_text(struct buffer *to, const char *name, struct str value)
{
    int e = buffer_puts(to, name);

    return e ? e : put_str(to, value);
}

static int put_pair(struct buffer *to, bool *first, struct str name, struct str value)
{
    int e = buffer_puts(to, *first ? "[" : ",[");

    *first = false;
    if (e == 0)
        e = event_put_lower_name(to, name);
    if (e == 0)
        e = buffer_puts(to, ",");
    if (e == 0)
        e = put_str(to, value);
    return e ? e : buffer_puts(to, "]");
}

static int put_trace(struct buffer *to, bool *first, const struct event_request *r)
{
    return r->trace && *r->trace ? put_pair(to, first, STR("traceparent"), str_of(r->trace)) : 0;
}

static int put_headers(struct buffer *to, const struct event_request *r)
{
    const struct http_head *h = r->head;
    const struct trace_fields fields = event_trace_fields(h);
    bool first = true;
    int e = buffer_puts(to, ",\"headers\":[");

    if (e == 0 && !fields.parent)
        e = put_trace(to, &first, r);
    for (size_t i = 0; i < h->header_count && e == 0; i++)
        if (!event_hides(h->headers[i].name) && !event_hides_trace(&fields, h->headers[i].name))
            e = put_pair(to, &first, h->headers[i].name, h->headers[i].value);
    return e ? e : buffer_puts(to, "]}");
}

/* Whoever ended the client's TLS in front of the gateway knows better than we do. */
static struct str scheme_of(const struct http_head *h)
{
    const struct str *given = http_head_get(h, "x-forwarded-proto");

    return given && str_ieq(*given, "https") ? STR("https") : STR("http");
}

static int put_line(struct buffer *to, const struct event_request *r, struct str method,
                    struct str path, struct str query)
{
    int e = put_text(to, "{\"method\":", method);

    if (e == 0)
        e = put_text(to, ",\"path\":", path);
    if (e == 0)
        e = put_text(to, ",\"query\":", query);
    if (e == 0)
        e = put_text(to, ",\"scheme\":", scheme_of(r->head));
    if (e == 0)
        e = put_text(to, ",\"protocol\":", r->head->minor ? STR("HTTP/1.1") : STR("HTTP/1.0"));
    return e ? e : put_text(to, ",\"sourceIp\":", str_of(r->client_ip));
}

int request_head_append(struct buffer *to, const struct event_request *r)
{
    int e = put_line(to, r, r->head->method, r->raw_path, r->head->query);

    if (e == 0)
        e = event_put_route_key(to, r);
    if (e == 0)
        e = event_put_path_parameters(to, r);
    return e ? e : put_headers(to, r);
}

int request_head_append_direct(struct buffer *to, const struct event_request *r)
{
    bool first = true;
    int e = put_line(to, r, STR("POST"), STR("/"), STR(""));

    if (e == 0)
        e = buffer_puts(to, ",\"routeKey\":\"$default\",\"headers\":[");
    if (e == 0)
        e = put_trace(to, &first, r);
    if (e == 0)
        e = put_pair(to, &first, STR("content-type"), STR("application/json"));
    if (e == 0 && r->head->content_length >= 0)
        e = buffer_printf(to, ",[\"content-length\",\"%" PRId64 "\"]", r->head->content_length);
    return e ? e : buffer_puts(to, "]}");
}
