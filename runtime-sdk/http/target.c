/* target.c - what a request is for: the four forms of a target (RFC 9112 3.2). Pure. */
#include "http/parser.h"

static int refuse(int status, const char *why, const char **ret_why)
{
    *ret_why = why;
    return status;
}

static bool port_ok(const char *p, const char *end)
{
    unsigned port = 0;

    for (; p < end && *p >= '0' && *p <= '9' && port <= 65535; p++)
        port = port * 10 + (unsigned)(*p - '0');
    return p == end && port <= 65535;
}

/* An IPv6 or later literal in brackets. Its groups are not counted: nobody here connects to it. */
static const char *skip_literal(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == ']')
            return p + 1;
        if (!http_is((unsigned char)*p, HTTP_HOSTCHAR) || *p == '[' || *p == '%')
            break;
    }
    return NULL;
}

bool http_authority_ok(struct str authority)
{
    const char *p = authority.at, *end = p + authority.n;

    if (authority.n && *p == '[') {
        p = skip_literal(p, end);
        if (!p)
            return false;
    } else {
        while (p < end && http_is((unsigned char)*p, HTTP_REGNAME))
            p++;
        if (p == authority.at)
            return false;
    }
    return p == end || (*p == ':' && port_ok(p + 1, end));
}

static int take_authority(struct http_head *h, const char **ret_why)
{
    const char *colon = memrchr(h->target.at, ':', h->target.n);

    if (!http_authority_ok(h->target) || !colon || colon + 1 == h->target.at + h->target.n ||
        h->target.at[h->target.n - 1] == ']')
        return refuse(400, "CONNECT needs host:port", ret_why);
    h->host = h->target;
    h->path = h->target;
    return 0;
}

/* "http://host/path" -> host, "/path". */
static int take_absolute(struct http_head *h, const char **ret_why)
{
    struct str t = h->target;
    size_t scheme = 0, authority;

    if (t.n > 7 && str_ieq((struct str){t.at, 7}, "http://"))
        scheme = 7;
    else if (t.n > 8 && str_ieq((struct str){t.at, 8}, "https://"))
        scheme = 8;
    if (!scheme)
        return refuse(400, "the target is neither a path nor a URL", ret_why);
    for (authority = scheme; authority < t.n && t.at[authority] != '/' && t.at[authority] != '?';
         authority++)
        ;
    h->host = (struct str){t.at + scheme, authority - scheme};
    if (!http_authority_ok(h->host))
        return refuse(400, "the target's host is not a host", ret_why);
    t = (struct str){t.at + authority, t.n - authority};
    if (t.n && t.at[0] == '?') /* its path "/" is not among the bytes */
        return refuse(400, "the target has no path", ret_why);
    if (!t.n)
        t = str_eq(h->method, "OPTIONS") ? STR("*") : STR("/"); /* RFC 9112 3.2.4 */
    h->target = t;
    return 0;
}

int http_take_target(struct http_head *h, const char **ret_why)
{
    const char *mark;
    int r;

    if (str_eq(h->method, "CONNECT"))
        return take_authority(h, ret_why);
    if (str_eq(h->target, "*") && !str_eq(h->method, "OPTIONS"))
        return refuse(400, "the target '*' is for OPTIONS", ret_why);
    if (h->target.at[0] != '/' && !str_eq(h->target, "*")) {
        r = take_absolute(h, ret_why);
        if (r)
            return r;
    }
    mark = memchr(h->target.at, '?', h->target.n);
    h->path = (struct str){h->target.at, mark ? (size_t)(mark - h->target.at) : h->target.n};
    h->query = mark ? (struct str){mark + 1, h->target.n - h->path.n - 1} : (struct str){0};
    return 0;
}
