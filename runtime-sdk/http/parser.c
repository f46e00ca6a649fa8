/* parser.c - request and response heads by RFC 9112, strict. Pure. */
#include "http/parser.h"

#include <stddef.h>
#include <string.h>

enum { METHOD_MAX = 32 };

#define T  (HTTP_TOKEN | HTTP_TEXT | HTTP_TARGET)
#define TH (T | HTTP_HOSTCHAR)
#define V  (HTTP_TEXT | HTTP_TARGET)
#define VH (V | HTTP_HOSTCHAR)
/* Tokens are RFC 9110's tchar; text is what a field value may hold (no CTL but HTAB); a target may
 * hold every visible octet of ASCII but '#', which begins a fragment and is never sent. */
/* clang-format off */
const uint8_t http_octets[256] = {
    ['\t'] = HTTP_TEXT, [' '] = HTTP_TEXT,
    ['!'] = TH, ['"'] = V, ['#'] = HTTP_TOKEN | HTTP_TEXT, ['$'] = TH, ['%'] = TH, ['&'] = TH,
    ['\''] = TH, ['('] = VH, [')'] = VH, ['*'] = TH, ['+'] = TH, [','] = VH, ['-'] = TH, ['.'] = TH,
    ['/'] = V, ['0' ... '9'] = TH, [':'] = VH, [';'] = VH, ['<'] = V, ['='] = VH, ['>'] = V,
    ['?'] = V, ['@'] = V, ['A' ... 'Z'] = TH, ['['] = VH, ['\\'] = V, [']'] = VH, ['^'] = T,
    ['_'] = TH, ['`'] = T, ['a' ... 'z'] = TH, ['{'] = V, ['|'] = T, ['}'] = V, ['~'] = TH,
    [0x80 ... 0xff] = HTTP_TEXT,
};
/* clang-format on */
#undef T
#undef TH
#undef V
#undef VH

static int refuse(int status, const char *why, const char **ret_why)
{
    *ret_why = why;
    return status;
}

int http_scan_head(struct http_scan *s, const uint8_t *in, size_t n, size_t *ret_size,
                   const char **ret_why)
{
    size_t limit = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;

    *ret_size = 0;
    while (s->seen < limit) {
        const uint8_t *lf = memchr(in + s->seen, '\n', limit - s->seen);
        size_t at;

        if (!lf) {
            s->seen = limit;
            break;
        }
        at = (size_t)(lf - in);
        if (at == s->line || lf[-1] != '\r')
            return refuse(400, "a line ends without CR", ret_why);
        s->seen = at + 1;
        if (at == s->line + 1) { /* only the CR before it */
            *ret_size = at + 1;
            return 0;
        }
        s->line = at + 1;
    }
    if (s->line == 0 && s->seen > HTTP_TARGET_MAX + METHOD_MAX + 16)
        return refuse(414, "the request line is too long", ret_why);
    if (s->seen >= HTTP_HEAD_MAX)
        return refuse(431, "the head is larger than 32 KiB", ret_why);
    return 0;
}

/* ---- fields */

bool http_list_has(struct str list, const char *token)
{
    const char *at = list.at, *end = list.at + list.n;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        struct str item;

        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        item = (struct str){at, (size_t)(stop - at)};
        while (item.n && (item.at[item.n - 1] == ' ' || item.at[item.n - 1] == '\t'))
            item.n--;
        if (str_ieq(item, token))
            return true;
        at = stop + 1;
    }
    return false;
}

/* What the framing fields of one head said. */
struct framing {
    bool host, transfer_encoding, close, keep_alive, upgrade_token, upgrade_field;
};

/* A value lies in its line: white space up to the CR follows it. Some parsers do not take a tab for
 * white space there, and then frame the body otherwise. */
static bool tab_follows(struct str v)
{
    const char *p = v.at + v.n;

    while (*p == ' ')
        p++;
    return *p == '\t';
}

static int content_length(struct http_head *h, struct str v, const char **ret_why)
{
    int64_t n = 0;

    if (h->content_length >= 0)
        return refuse(400, "Content-Length is repeated", ret_why);
    if (!v.n || v.n > 18 || tab_follows(v))
        return refuse(400, "Content-Length is not a number", ret_why);
    for (size_t i = 0; i < v.n; i++) {
        if (v.at[i] < '0' || v.at[i] > '9')
            return refuse(400, "Content-Length is not a number", ret_why);
        n = n * 10 + (v.at[i] - '0');
    }
    h->content_length = n;
    return 0;
}

static int host(struct http_head *h, struct framing *f, struct str v, const char **ret_why)
{
    if (f->host)
        return refuse(400, "Host is repeated", ret_why);
    for (size_t i = 0; i < v.n; i++) {
        if (!http_is((unsigned char)v.at[i], HTTP_HOSTCHAR))
            return refuse(400, "Host is not a host", ret_why);
    }
    f->host = true;
    if (!h->host.at) /* the absolute form's wins (RFC 9112 3.2.2) */
        h->host = v;
    return 0;
}

static int transfer_encoding(struct http_head *h, struct framing *f, struct str v,
                             const char **ret_why)
{
    if (f->transfer_encoding)
        return refuse(400, "Transfer-Encoding is repeated", ret_why);
    f->transfer_encoding = true;
    if (!str_ieq(v, "chunked") || tab_follows(v))
        return refuse(501, "only the transfer coding 'chunked' is understood", ret_why);
    h->chunked = true;
    return 0;
}

/* Notes the fields that frame the message. */
static int framing_field(struct http_head *h, struct framing *f, struct str name, struct str v,
                         const char **ret_why)
{
    switch (name.n) {
    case 4:
        if (!h->status && str_ieq(name, "host"))
            return host(h, f, v, ret_why);
        break;
    case 6:
        if (!h->status && str_ieq(name, "expect")) {
            if (!str_ieq(v, "100-continue"))
                return refuse(417, "only the expectation '100-continue' is understood", ret_why);
            h->expect_continue = h->minor > 0;
        }
        break;
    case 7:
        f->upgrade_field |= str_ieq(name, "upgrade");
        break;
    case 10:
        if (str_ieq(name, "connection")) {
            f->close |= http_list_has(v, "close");
            f->keep_alive |= http_list_has(v, "keep-alive");
            f->upgrade_token |= http_list_has(v, "upgrade");
        }
        break;
    case 14:
        if (str_ieq(name, "content-length"))
            return content_length(h, v, ret_why);
        break;
    case 17:
        if (str_ieq(name, "transfer-encoding"))
            return transfer_encoding(h, f, v, ret_why);
        break;
    default:
        break;
    }
    return 0;
}

/* One "Name: value" line without its CRLF. */
static int field_line(const char *at, const char *end, struct http_header *ret, const char **ret_why)
{
    const char *p = at;

    while (p < end && http_is((unsigned char)*p, HTTP_TOKEN))
        p++;
    if (p == at)
        return refuse(400, *at == ' ' || *at == '\t' ? "a header is folded" : "a header has no name",
                      ret_why);
    if (p == end || *p != ':')
        return refuse(400, "a header's name holds a forbidden octet", ret_why);
    ret->name = (struct str){at, (size_t)(p - at)};
    p++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    ret->value = (struct str){p, (size_t)(end - p)};
    for (; p < end; p++) {
        if (!http_is((unsigned char)*p, HTTP_TEXT))
            return refuse(400, "a header's value holds a control octet", ret_why);
    }
    return 0;
}

static bool trailer_allowed(struct str name)
{
    static const char *const refused[] = {"host",
                                          "connection",
                                          "trailer",
                                          "te",
                                          "upgrade",
                                          "keep-alive",
                                          "expect",
                                          "authorization",
                                          "cookie",
                                          "set-cookie",
                                          "content-encoding",
                                          "content-type",
                                          "content-range",
                                          "cache-control",
                                          "range"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (str_ieq(name, refused[i]))
            return false;
    }
    return true;
}

/* All fields up to the empty line. `f` NULL: trailers. */
static int fields(struct http_head *h, struct framing *f, const char *at, const char *end,
                  const char **ret_why)
{
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        struct http_header field;
        int r;

        if (!lf || lf == at || lf[-1] != '\r')
            return refuse(400, "a line ends without CR", ret_why);
        if (lf - 1 == at)
            return lf + 1 == end ? 0 : refuse(400, "bytes after the head", ret_why);
        r = field_line(at, lf - 1, &field, ret_why);
        if (r == 0 && f)
            r = framing_field(h, f, field.name, field.value, ret_why);
        if (r)
            return r;
        at = lf + 1;
        if (!f && (str_ieq(field.name, "content-length") || str_ieq(field.name, "transfer-encoding")))
            return refuse(400, "a trailer frames the body", ret_why);
        if (!f && !trailer_allowed(field.name))
            continue;
        if (h->header_count == HTTP_HEADERS_MAX)
            return refuse(431, "more than 100 headers", ret_why);
        h->headers[h->header_count++] = field;
    }
    return refuse(400, "the head does not end", ret_why);
}

int http_parse_trailers(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    return n ? fields(h, NULL, in, in + n, ret_why) : 0;
}

/* What requests and responses conclude alike from their framing fields. */
static int conclude(struct http_head *h, const struct framing *f, const char **ret_why)
{
    if (h->chunked && h->content_length >= 0)
        return refuse(400, "both Content-Length and Transfer-Encoding", ret_why);
    if (h->chunked && h->minor == 0)
        return refuse(400, "Transfer-Encoding in HTTP/1.0", ret_why);
    h->keep_alive = !f->close && (h->minor > 0 || f->keep_alive);
    h->upgrade = f->upgrade_token && f->upgrade_field && h->minor > 0;
    return 0;
}

static void head_init(struct http_head *h)
{
    /* The array of headers is written as far as it counts. */
    memset(h, 0, offsetof(struct http_head, headers));
    h->header_count = 0;
    h->content_length = -1;
    h->chunked = h->keep_alive = h->expect_continue = h->upgrade = false;
}

/* "HTTP/1.1" -> minor. */
static int version(struct http_head *h, struct str v, const char **ret_why)
{
    if (v.n != 8 || memcmp(v.at, "HTTP/", 5) || v.at[5] < '0' || v.at[5] > '9' || v.at[6] != '.' ||
        v.at[7] < '0' || v.at[7] > '9')
        return refuse(400, "the request line has no HTTP version", ret_why);
    /* 1.2 does not exist: some take it for 1.1, some refuse it. */
    if (v.at[5] != '1' || v.at[7] > '1')
        return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here", ret_why);
    h->minor = v.at[7] - '0';
    return 0;
}

/* ---- requests */

/* host:port. An address in brackets has colons of its own: the last one counts. */
static bool is_authority(struct str t)
{
    const char *colon = memrchr(t.at, ':', t.n);

    if (!colon || colon == t.at || colon + 1 == t.at + t.n)
        return false;
    for (const char *p = t.at; p < t.at + t.n; p++) {
        if (p > colon ? *p < '0' || *p > '9' : !http_is((unsigned char)*p, HTTP_HOSTCHAR))
            return false;
    }
    return true;
}

static int target(struct http_head *h, const char **ret_why)
{
    struct str t = h->target;
    const char *mark;

    if (str_eq(h->method, "CONNECT")) {
        if (!is_authority(t))
            return refuse(400, "CONNECT needs host:port", ret_why);
        h->host = t;
        h->path = t;
        return 0;
    }
    if (str_eq(t, "*")) {
        if (!str_eq(h->method, "OPTIONS"))
            return refuse(400, "the target '*' is for OPTIONS", ret_why);
        h->path = t;
        return 0;
    }
    if (t.at[0] != '/') {
        size_t scheme = 0, authority;

        if (t.n > 7 && str_ieq((struct str){t.at, 7}, "http://"))
            scheme = 7;
        else if (t.n > 8 && str_ieq((struct str){t.at, 8}, "https://"))
            scheme = 8;
        for (authority = scheme;
             authority < t.n && t.at[authority] != '/' && t.at[authority] != '?'; authority++) {
            if (!http_is((unsigned char)t.at[authority], HTTP_HOSTCHAR))
                return refuse(400, "the target's host is not a host", ret_why);
        }
        if (!scheme || authority == scheme)
            return refuse(400, "the target is neither a path nor a URL", ret_why);
        h->host = (struct str){t.at + scheme, authority - scheme};
        t = (struct str){t.at + authority, t.n - authority};
        if (t.n && t.at[0] == '?') /* its path "/" is not among the bytes */
            return refuse(400, "the target has no path", ret_why);
        if (!t.n)
            t = STR("/");
        h->target = t;
    }
    mark = memchr(t.at, '?', t.n);
    h->path = (struct str){t.at, mark ? (size_t)(mark - t.at) : t.n};
    h->query = mark ? (struct str){mark + 1, t.n - h->path.n - 1} : (struct str){0};
    return 0;
}

int http_parse_request(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    const char *end = in + n, *p = in, *start;
    struct framing f = {0};
    int r;

    head_init(h);
    while (p < end && http_is((unsigned char)*p, HTTP_TOKEN))
        p++;
    h->method = (struct str){in, (size_t)(p - in)};
    if (p == in || p == end || *p != ' ' || h->method.n > METHOD_MAX)
        return refuse(400, "the request line has no method", ret_why);
    start = ++p;
    while (p < end && http_is((unsigned char)*p, HTTP_TARGET))
        p++;
    h->target = (struct str){start, (size_t)(p - start)};
    if (p == start || p == end || *p != ' ')
        return refuse(400, "the request line has no target", ret_why);
    if (h->target.n > HTTP_TARGET_MAX)
        return refuse(414, "the target is longer than 8 KiB", ret_why);
    start = ++p;
    while (p < end && *p != '\r')
        p++;
    if (end - p < 2 || p[1] != '\n')
        return refuse(400, "the request line has no HTTP version", ret_why);
    r = version(h, (struct str){start, (size_t)(p - start)}, ret_why);
    if (r == 0)
        r = target(h, ret_why);
    if (r == 0)
        r = fields(h, &f, p + 2, end, ret_why);
    if (r == 0)
        r = conclude(h, &f, ret_why);
    if (r)
        return r;
    if (!f.host && h->minor > 0)
        return refuse(400, "Host is missing", ret_why);
    /* To some parsers the tunnel begins behind the head (RFC 9110 9.3.6). */
    if ((h->chunked || h->content_length > 0) && str_eq(h->method, "CONNECT"))
        return refuse(400, "CONNECT has no body", ret_why);
    if (!h->chunked && h->content_length <= 0)
        h->expect_continue = false;
    return 0;
}

/* ---- responses */

int http_parse_response(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    const char *end = in + n, *p;
    struct framing f = {0};
    int r;

    head_init(h);
    if (n < 13)
        return refuse(400, "the status line is too short", ret_why);
    r = version(h, (struct str){in, 8}, ret_why);
    if (r)
        return r;
    for (int i = 9; i < 12; i++) {
        if (in[8] != ' ' || in[i] < '0' || in[i] > '9')
            return refuse(400, "the status line has no status", ret_why);
        h->status = h->status * 10 + (in[i] - '0');
    }
    if (h->status < 100 || h->status > 599 || (in[12] != ' ' && in[12] != '\r'))
        return refuse(400, "the status line has no status", ret_why);
    p = in + 12 + (in[12] == ' ');
    h->reason.at = p;
    while (p < end && http_is((unsigned char)*p, HTTP_TEXT))
        p++;
    h->reason.n = (size_t)(p - h->reason.at);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return refuse(400, "the status line holds a control octet", ret_why);
    r = fields(h, &f, p + 2, end, ret_why);
    return r ? r : conclude(h, &f, ret_why);
}

bool http_answer_is_bare(struct str method, int status)
{
    return (status >= 100 && status < 200) || status == 204 || status == 304 ||
           str_eq(method, "HEAD");
}
