/* trace.c - see the header. Pure, any thread. */
#include "http/trace.h"

#include <stdio.h>

enum {
    PARENT_SIZE = 55,
    STATE_MAX = 8192, /* far above the 512 that everybody has to pass on */
    STATE_MEMBERS_MAX = 32,
    STATE_TEXT_MAX = 256,
};

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* `n` digits, and with `some` not all of them zero. */
static bool hex_run(const char *p, size_t n, bool some)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_lower_hex(p[i]))
            return false;
        some &= p[i] == '0';
    }
    return !some;
}

bool http_trace_parent_ok(struct str s)
{
    const char *p = s.at;

    if (s.n < PARENT_SIZE || p[2] != '-' || p[35] != '-' || p[52] != '-' || !hex_run(p, 2, false) ||
        !hex_run(p + 3, 32, true) || !hex_run(p + 36, 16, true) || !hex_run(p + 53, 2, false))
        return false;
    if (p[0] == 'f' && p[1] == 'f')
        return false;
    /* A later version may say more, behind another dash. */
    return p[0] == '0' && p[1] == '0' ? s.n == PARENT_SIZE
                                      : s.n == PARENT_SIZE || p[PARENT_SIZE] == '-';
}

static bool key_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/' || c == '@';
}

/* "key=value" without white space around it. */
static bool member_ok(const char *p, const char *end)
{
    const char *key = p, *value;
    unsigned systems = 0;

    for (; p < end && key_octet(*p); p++)
        systems += *p == '@';
    if (p == key || p == end || *p != '=' || p - key > STATE_TEXT_MAX || systems > 1 ||
        !((*key >= 'a' && *key <= 'z') || (*key >= '0' && *key <= '9')))
        return false;
    value = ++p;
    while (p < end && *p >= ' ' && *p <= '~' && *p != '=' && *p != ',')
        p++;
    return p == end && p > value && p - value <= STATE_TEXT_MAX;
}

bool http_trace_state_ok(struct str s)
{
    const char *p = s.at, *end = s.at + s.n;
    unsigned members = 0;

    if (s.n > STATE_MAX)
        return false;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        const char *next = comma ? comma + 1 : end;

        while (p < stop && (*p == ' ' || *p == '\t'))
            p++;
        while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        if (p < stop && (++members > STATE_MEMBERS_MAX || !member_ok(p, stop)))
            return false;
        p = next;
    }
    return true;
}

static void put_hex(char *to, uint64_t v)
{
    static const char digits[] = "0123456789abcdef";

    for (int shift = 60; shift >= 0; shift -= 4)
        *to++ = digits[v >> shift & 15];
}

bool http_trace_of(const struct http_head *h, const uint64_t random[3], char out[HTTP_TRACE_SIZE])
{
    const struct str *parent = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < h->header_count; i++) {
        if (!str_ieq(h->headers[i].name, "traceparent"))
            continue;
        parent = &h->headers[i].value;
        count++;
    }
    out[PARENT_SIZE] = '\0';
    if (count == 1 && http_trace_parent_ok(*parent)) {
        memcpy(out, parent->at, PARENT_SIZE);
        return true;
    }
    memcpy(out, "00-................................-................-01", PARENT_SIZE);
    put_hex(out + 3, random[0]);
    put_hex(out + 19, random[1] | 1); /* all zero is invalid */
    put_hex(out + 36, random[2] | 1);
    return false;
}

void http_trace_xray(const char *traceparent, char out[HTTP_XRAY_SIZE])
{
    struct str s = str_of(traceparent);

    out[0] = '\0';
    if (http_trace_parent_ok(s))
        snprintf(out, HTTP_XRAY_SIZE, "Root=1-%.8s-%.24s;Parent=%.16s;Sampled=%d", s.at + 3,
                 s.at + 11, s.at + 36, (s.at[54] & 1) ^ (s.at[54] >= 'a'));
}
