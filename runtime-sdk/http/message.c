/* message.c - small values of HTTP: views, status texts, percent-decoding. Pure, any thread. */
#include "http/message.h"
#include "base/hex.h"
#include "http/parser.h"

#include <errno.h>
#include <string.h>

struct str str_of(const char *s)
{
    return (struct str){s, strlen(s)};
}

bool str_ieq_n(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        unsigned char differs = (unsigned char)(a.at[i] ^ b.at[i]);

        if (differs && (differs != 0x20 ||
                        http_lower((unsigned char)a.at[i]) != http_lower((unsigned char)b.at[i])))
            return false;
    }
    return true;
}

static const struct str *find(const struct http_header *at, size_t n, const char *name)
{
    struct str wanted = str_of(name);

    for (size_t i = 0; i < n; i++) {
        if (str_ieq_n(at[i].name, wanted))
            return &at[i].value;
    }
    return NULL;
}

const struct str *http_head_get(const struct http_head *h, const char *name)
{
    return find(h->headers, h->header_count, name);
}

const struct str *http_head_trailer(const struct http_head *h, const char *name)
{
    return find(h->headers + h->header_count, h->trailer_count, name);
}

const char *http_status_text(int status)
{
    static const char *const texts[600] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [418] = "I'm a teapot",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [423] = "Locked",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [507] = "Insufficient Storage",
        [511] = "Network Authentication Required",
    };

    return status >= 0 && status < 600 && texts[status] ? texts[status] : "Unknown";
}

int http_percent_decode(struct str in, char *out, size_t n)
{
    size_t to = 0;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.at[i];

        if (c == '%') {
            int high = in.n - i > 2 ? hex_digit(in.at[i + 1]) : -1;
            int low = in.n - i > 2 ? hex_digit(in.at[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (to == n)
            return -EINVAL;
        out[to++] = c;
    }
    return (int)to;
}
