/* forward.c - see the header. Pure, any thread. */
#include "http/forward.h"
#include "base/cleanup.h"
#include "http/parser.h"
#include "http/trace.h"

#include <errno.h>
#include <strings.h>

/* Does one of the lines in `set` have this name? */
static bool lines_have(const char *set, struct str name)
{
    for (const char *p = set; p && *p;) {
        const char *end = strchr(p, '\n');

        if (http_lower((unsigned char)*p) == http_lower((unsigned char)*name.at) &&
            !strncasecmp(p, name.at, name.n) && p[name.n] == ':')
            return true;
        p = end ? end + 1 : NULL;
    }
    return false;
}

/* What a hop says to the next one alone. Content-Length is written anew by whoever frames the body. */
static bool of_this_hop(struct str name)
{
    switch (name.n) {
    case 2:
        return str_ieq(name, "te");
    case 6:
        return str_ieq(name, "expect");
    case 7:
        return str_ieq(name, "upgrade");
    case 10:
        return str_ieq(name, "connection") || str_ieq(name, "keep-alive");
    case 14:
        return str_ieq(name, "content-length");
    case 16:
        return str_ieq(name, "proxy-connection");
    case 17:
        return str_ieq(name, "transfer-encoding");
    case 18:
        return str_ieq(name, "proxy-authenticate");
    case 19:
        return str_ieq(name, "proxy-authorization");
    default:
        return false;
    }
}

/* What of a message's Connection fields has to be looked up for every field: most name nothing else
 * than what never goes on anyway. */
static bool names_more(struct str list)
{
    struct str item;

    while (http_list_next(&list, &item)) {
        if (!of_this_hop(item) && !str_ieq(item, "close"))
            return true;
    }
    return false;
}

static bool list_names(struct str list, struct str name)
{
    struct str item;

    while (http_list_next(&list, &item)) {
        if (str_ieq_n(item, name))
            return true;
    }
    return false;
}

static bool any_names_more(const struct http_head *h)
{
    for (size_t i = 0; i < h->header_count; i++) {
        if (str_ieq(h->headers[i].name, "connection") && names_more(h->headers[i].value))
            return true;
    }
    return false;
}

static bool any_names(const struct http_head *h, struct str name)
{
    for (size_t i = 0; i < h->header_count; i++) {
        if (str_ieq(h->headers[i].name, "connection") && list_names(h->headers[i].value, name))
            return true;
    }
    return false;
}

static bool is_platform_header(struct str name)
{
    return name.n >= 6 && str_ieq((struct str){name.at, 6}, "rouse-");
}

static int add_line(struct buffer *b, struct str name, struct str value)
{
    uint8_t *to = buffer_reserve(b, name.n + value.n + 4);

    if (!to)
        return -ENOMEM;
    memcpy(to, name.at, name.n);
    to += name.n;
    memcpy(to, ": ", 2);
    memcpy(to + 2, value.at, value.n);
    memcpy(to + 2 + value.n, "\r\n", 2);
    buffer_commit(b, name.n + value.n + 4);
    return 0;
}

/* Trace fields that whoever reads them next would have to refuse. */
static bool is_broken_trace(const struct http_header *field, bool kept)
{
    if (str_ieq(field->name, "traceparent"))
        return !kept;
    return str_ieq(field->name, "tracestate") && !(kept && http_trace_state_ok(field->value));
}

/* `skip`, lower case, is written by the caller. */
static int add_fields(struct buffer *b, const struct http_head *h, const struct http_forward *f,
                      const char *skip)
{
    bool more = any_names_more(h);
    char own_trace[HTTP_TRACE_SIZE];
    bool kept = f->trace && http_trace_of(h, (const uint64_t[3]){0}, own_trace);
    int e = 0;

    for (size_t i = 0; i < h->header_count; i++) {
        struct str name = h->headers[i].name;

        if (str_ieq(name, skip) || (!f->trailers && str_ieq(name, "trailer")) ||
            (of_this_hop(name) && !(f->upgrade && str_ieq(name, "upgrade"))) ||
            (!f->own && is_platform_header(name)) || (more && any_names(h, name)) ||
            (f->trace && is_broken_trace(&h->headers[i], kept)) || lines_have(f->set, name))
            continue;
        e |= add_line(b, name, h->headers[i].value);
    }
    if (f->trace && !kept)
        e |= add_line(b, STR("traceparent"), str_of(f->trace));
    if (f->set)
        e |= buffer_puts(b, f->set);
    return e;
}

static bool takes_trailers(const struct http_head *h)
{
    for (size_t i = 0; i < h->header_count; i++) {
        if (str_ieq(h->headers[i].name, "te") && http_list_has(h->headers[i].value, "trailers"))
            return true;
    }
    return false;
}

int http_forward_request(struct buffer *b, const struct http_head *h, const struct http_forward *f)
{
    bool te = takes_trailers(h);
    int e = 0;

    if (!lines_have(f->set, STR("Host")))
        e |= add_line(b, STR("Host"), h->host.n ? h->host : STR("localhost"));
    e |= add_fields(b, h, f, "host");
    if (te)
        e |= buffer_puts(b, "TE: trailers\r\n");
    if (te || f->upgrade)
        e |= buffer_puts(b, !te          ? "Connection: Upgrade\r\n"
                            : f->upgrade ? "Connection: Upgrade, TE\r\n"
                                         : "Connection: TE\r\n");
    return e ? -ENOMEM : buffer_append(b, "", 1);
}

int http_forward_answer(struct buffer *b, const struct http_head *h, const struct http_forward *f)
{
    int e = add_fields(b, h, f, "date");

    if (f->upgrade && h->status != 101) /* there http_upgrade() writes it */
        e |= buffer_puts(b, "Connection: Upgrade\r\n");

    return e ? -ENOMEM : buffer_append(b, "", 1);
}

int http_forward_trailers(struct buffer *b, const struct http_head *h)
{
    int e = 0;

    for (size_t i = 0; i < h->trailer_count; i++) {
        const struct http_header *t = &h->headers[h->header_count + i];

        e |= add_line(b, t->name, t->value);
    }
    return e ? -ENOMEM : buffer_append(b, "", 1);
}
