/* parser.c - request and response heads by RFC 9112, strict. Pure. */
#include "http/parser.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

enum { METHOD_MAX = 32 };

#define T  (HTTP_TOKEN | HTTP_TEXT | HTTP_TARGET)
#define TH (T | HTTP_HOSTCHAR | HTTP_REGNAME)
#define V  (HTTP_TEXT | HTTP_TARGET)
#define VH (V | HTTP_HOSTCHAR)
#define VN (VH | HTTP_REGNAME)
/* Tokens are RFC 9110's tchar; text is what a field value may hold (no CTL but HTAB); a target may
 * hold every visible octet of ASCII but '#', which begins a fragment and is never sent. */
/* clang-format off */
const uint8_t http_octets[256] = {
    ['\t'] = HTTP_TEXT, [' '] = HTTP_TEXT,
    ['!'] = TH, ['"'] = V, ['#'] = HTTP_TOKEN | HTTP_TEXT, ['$'] = TH, ['%'] = TH, ['&'] = TH,
    ['\''] = TH, ['('] = VN, [')'] = VN, ['*'] = TH, ['+'] = TH, [','] = VN, ['-'] = TH, ['.'] = TH,
    ['/'] = V, ['0' ... '9'] = TH, [':'] = VH, [';'] = VN, ['<'] = V, ['='] = VN, ['>'] = V,
    ['?'] = V, ['@'] = V, ['A' ... 'Z'] = TH, ['['] = VH, ['\\'] = V, [']'] = VH, ['^'] = T,
    ['_'] = TH, ['`'] = T, ['a' ... 'z'] = TH, ['{'] = V, ['|'] = T, ['}'] = V, ['~'] = TH,
    [0x80 ... 0xff] = HTTP_TEXT,
};
/* clang-format on */
#undef T
#undef TH
#undef V
#undef VH
#undef VN

static int refuse(int status, const char *why, const char **ret_why)
{
    *ret_why = why;
    return status;
}

int http_scan_head(struct http_scan *s, const uint8_t *in, size_t n, size_t *ret_size,
                   const char **ret_why)
{
    size_t limit = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX, seen = s->seen, line = s->line;

    *ret_size = 0;
    while (seen < limit) {
        const uint8_t *lf = memchr(in + seen, '\n', limit - seen);
        size_t at;

        if (!lf) {
            seen = limit;
            break;
        }
        at = (size_t)(lf - in);
        if (at == line || lf[-1] != '\r')
            return refuse(400, "a line ends without CR", ret_why);
        seen = at + 1;
        if (at == line + 1) { /* only the CR before it */
            *ret_size = at + 1;
            return 0;
        }
        line = at + 1;
    }
    s->seen = (uint32_t)seen;
    s->line = (uint32_t)line;
    if (line == 0 && seen > HTTP_TARGET_MAX + METHOD_MAX + 16)
        return refuse(414, "the request line is too long", ret_why);
    if (seen >= HTTP_HEAD_MAX)
        return refuse(431, "the head is larger than 32 KiB", ret_why);
    return 0;
}

/* ---- fields */

bool http_list_next(struct str *list, struct str *ret)
{
    const char *at = list->at, *end = list->at + list->n, *comma, *stop;

    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    if (at == end)
        return false;
    for (comma = at; comma < end && *comma != ','; comma++)
        ;
    for (stop = comma; stop[-1] == ' ' || stop[-1] == '\t'; stop--)
        ;
    *ret = (struct str){at, (size_t)(stop - at)};
    *list = (struct str){comma, (size_t)(end - comma)};
    return true;
}

bool http_list_has(struct str list, const char *token)
{
    struct str item;

    while (http_list_next(&list, &item)) {
        if (str_ieq(item, token))
            return true;
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
    if (v.n && !http_authority_ok(v))
        return refuse(400, "Host is not a host", ret_why);
    f->host = true;
    /* Whoever routes by the one and whoever routes by the other would part ways here. */
    if (h->host.at && !str_ieq_n(h->host, v))
        return refuse(400, "Host is not the target's", ret_why);
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

static void connection_options(struct framing *f, struct str list)
{
    struct str item;

    while (http_list_next(&list, &item)) {
        f->close |= str_ieq(item, "close");
        f->keep_alive |= str_ieq(item, "keep-alive");
        f->upgrade_token |= str_ieq(item, "upgrade");
    }
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
        if (str_ieq(name, "connection"))
            connection_options(f, v);
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

#define OCTETS(c) ((uint64_t)(c) * (~(uint64_t)0 / 255))

/* How many of the eight octets at `p` come before the first that is below 0x20 or 0x7f. The borrow of a
 * subtraction only ever spoils what lies above an octet that was found: the lowest one is right. */
static unsigned plain_octets(const char *p)
{
    uint64_t x, del, found;

    memcpy(&x, p, 8);
    x = le64toh(x);
    del = x ^ OCTETS(0x7f);
    found = (((x - OCTETS(0x20)) & ~x) | ((del - OCTETS(1)) & ~del)) & OCTETS(0x80);
    return found ? (unsigned)__builtin_ctzll(found) / 8 : 8;
}

/* The first octet that a field value does not hold; LF is one, and is the last before `end`. */
static const char *skip_text(const char *p, const char *end)
{
    for (;;) {
        unsigned n = 8;

        while (n == 8 && end - p >= 8) {
            n = plain_octets(p);
            p += n;
        }
        while (http_is((unsigned char)*p, HTTP_TEXT) && *p != '\t')
            p++;
        if (*p != '\t')
            return p;
        p++;
    }
}

/* One "Name: value" line with its CRLF; LF is among the octets up to `end`. Its size, or 0. */
static int field_line(const char *at, const char *end, struct http_header *ret,
                      const char **ret_next, const char **ret_why)
{
    const char *p = at, *stop;

    while (http_is((unsigned char)*p, HTTP_TOKEN))
        p++;
    if (p == at)
        return refuse(400, *at == ' ' || *at == '\t' ? "a header is folded" : "a header has no name",
                      ret_why);
    if (*p != ':')
        return refuse(400, "a header's name holds a forbidden octet", ret_why);
    ret->name = (struct str){at, (size_t)(p - at)};
    p++;
    while (*p == ' ' || *p == '\t')
        p++;
    stop = skip_text(p, end);
    if (*stop == '\n')
        return refuse(400, "a line ends without CR", ret_why);
    if (*stop != '\r' || stop[1] != '\n')
        return refuse(400, "a header's value holds a control octet", ret_why);
    *ret_next = stop + 2;
    while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    ret->value = (struct str){p, (size_t)(stop - p)};
    return 0;
}

/* What of a trailer section is left out (RFC 9110 6.5.1): routing, request modifiers,
 * authentication, response control data, the content's format; and the platform's own. */
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
                                          "set-cookie2",
                                          "content-encoding",
                                          "content-type",
                                          "content-range",
                                          "content-location",
                                          "content-disposition",
                                          "cache-control",
                                          "range",
                                          "max-forwards",
                                          "pragma",
                                          "age",
                                          "expires",
                                          "date",
                                          "location",
                                          "retry-after",
                                          "vary",
                                          "warning",
                                          "forwarded",
                                          "origin",
                                          "referer",
                                          "traceparent",
                                          "tracestate",
                                          "www-authenticate",
                                          "authentication-info"};
    static const char *const families[] = {"rouse-", "proxy-",       "if-",
                                           "accept", "x-forwarded-", "access-control-",
                                           "sec-",   "x-amz",        "x-real-ip"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (str_ieq(name, refused[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        size_t n = strlen(families[i]);

        if (name.n >= n && str_ieq((struct str){name.at, n}, families[i]))
            return false;
    }
    return true;
}

/* All fields up to the empty line. `f` NULL: trailers. */
static int fields(struct http_head *h, struct framing *f, const char *at, const char *end,
                  const char **ret_why)
{
    while (at < end) {
        struct http_header field;
        int r;

        if (*at == '\r' && end - at >= 2 && at[1] == '\n')
            return at + 2 == end ? 0 : refuse(400, "bytes after the head", ret_why);
        if (*at == '\n')
            return refuse(400, "a line ends without CR", ret_why);
        r = field_line(at, end, &field, &at, ret_why);
        if (r == 0 && f)
            r = framing_field(h, f, field.name, field.value, ret_why);
        if (r)
            return r;
        if (!f && (str_ieq(field.name, "content-length") || str_ieq(field.name, "transfer-encoding")))
            return refuse(400, "a trailer frames the body", ret_why);
        if (!f && !trailer_allowed(field.name))
            continue;
        if (h->header_count + h->trailer_count == HTTP_HEADERS_MAX)
            return refuse(431, "more than 100 headers", ret_why);
        h->headers[h->header_count + h->trailer_count] = field;
        if (f)
            h->header_count++;
        else
            h->trailer_count++;
    }
    return refuse(400, "the head does not end", ret_why);
}

/* The loops over octets stop at the last LF, which no octet class holds. */
static bool ends_in_lf(const char *in, size_t n, const char **ret_why)
{
    if (n && in[n - 1] == '\n')
        return true;
    refuse(400, "the head does not end", ret_why);
    return false;
}

int http_parse_trailers(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    if (!n)
        return 0;
    return ends_in_lf(in, n, ret_why) ? fields(h, NULL, in, in + n, ret_why) : 400;
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
    h->header_count = h->trailer_count = 0;
    h->content_length = -1;
    h->chunked = h->keep_alive = h->expect_continue = h->upgrade = false;
}

/* "HTTP/1.1" -> minor. A later 1.x would have to be read as 1.1 (RFC 9110 2.5), but does not exist:
 * who sends one means to be read in two ways. */
static int version(struct http_head *h, const char *v, const char **ret_why)
{
    if (memcmp(v, "HTTP/", 5) || v[5] < '0' || v[5] > '9' || v[6] != '.' || v[7] < '0' || v[7] > '9')
        return refuse(400, "the first line has no HTTP version", ret_why);
    if (v[5] != '1' || v[7] > '1')
        return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here", ret_why);
    h->minor = v[7] - '0';
    return 0;
}

/* ---- requests */

/* What a request's method allows. */
static int conclude_request(struct http_head *h, const struct framing *f, const char **ret_why)
{
    if (!f->host && h->minor > 0)
        return refuse(400, "Host is missing", ret_why);
    if (str_eq(h->method, "CONNECT") && (h->chunked || h->content_length > 0))
        return refuse(400, "CONNECT has no body", ret_why); /* to some the tunnel begins here */
    if (!h->chunked && h->content_length <= 0)
        h->expect_continue = false;
    return 0;
}

int http_parse_request(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    const char *end = in + n, *p = in, *start;
    struct framing f = {0};
    int r;

    head_init(h);
    if (!ends_in_lf(in, n, ret_why))
        return 400;
    while (http_is((unsigned char)*p, HTTP_TOKEN))
        p++;
    h->method = (struct str){in, (size_t)(p - in)};
    if (p == in || *p != ' ')
        return refuse(400, "the request line has no method", ret_why);
    if (h->method.n > METHOD_MAX)
        return refuse(501, "the method is longer than any", ret_why); /* RFC 9112 3 */
    start = ++p;
    while (http_is((unsigned char)*p, HTTP_TARGET))
        p++;
    h->target = (struct str){start, (size_t)(p - start)};
    if (p == start || *p != ' ')
        return refuse(400, "the request line has no target", ret_why);
    if (h->target.n > HTTP_TARGET_MAX)
        return refuse(414, "the target is longer than 8 KiB", ret_why);
    p++;
    if (end - p < 10 || p[8] != '\r' || p[9] != '\n')
        return refuse(400, "the request line has no HTTP version", ret_why);
    r = version(h, p, ret_why);
    if (r == 0)
        r = http_take_target(h, ret_why);
    if (r == 0)
        r = fields(h, &f, p + 10, end, ret_why);
    if (r == 0)
        r = conclude(h, &f, ret_why);
    return r ? r : conclude_request(h, &f, ret_why);
}

/* ---- responses */

int http_parse_response(struct http_head *h, const char *in, size_t n, const char **ret_why)
{
    const char *end = in + n, *p;
    struct framing f = {0};
    int r;

    head_init(h);
    if (!ends_in_lf(in, n, ret_why))
        return 400;
    if (n < 15) /* "HTTP/1.1 200" and two CRLF, less one */
        return refuse(400, "the status line is too short", ret_why);
    r = version(h, in, ret_why);
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
    p = skip_text(p, end);
    h->reason.n = (size_t)(p - h->reason.at);
    if (*p != '\r' || p[1] != '\n')
        return refuse(400, "the status line holds a control octet", ret_why);
    r = fields(h, &f, p + 2, end, ret_why);
    if (r == 0)
        r = conclude(h, &f, ret_why);
    /* No 1xx and no 204 has a body (RFC 9112 6.3); what claims one would be taken for the next answer. */
    if (r == 0 && (h->status < 200 || h->status == 204) && (h->chunked || h->content_length > 0))
        h->keep_alive = false;
    return r;
}

bool http_answer_is_bare(struct str method, int status)
{
    return (status >= 100 && status < 200) || status == 204 || status == 304 ||
           str_eq(method, "HEAD");
}
