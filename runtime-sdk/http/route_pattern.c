/* route_pattern.c - patterns, hosts and paths, checked and brought to one form. Pure. */
#include "http/route_pattern.h"
#include "base/hex.h"
#include "http/parser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const reserved[] = {"/function/", "/2015-03-31/"};

/* ---------------------------------------------------------------- paths */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* -EINVAL: a malformed escape. */
static int unescape(struct str in, char *out, struct str *ret)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        int high, low, c;

        if (in.at[i] != '%') {
            out[n++] = in.at[i];
            continue;
        }
        high = in.n - i > 2 ? hex_digit(in.at[i + 1]) : -1;
        low = in.n - i > 2 ? hex_digit(in.at[i + 2]) : -1;
        if (high < 0 || low < 0)
            return -EINVAL;
        c = high << 4 | low;
        i += 2;
        if (is_unreserved((unsigned char)c)) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[high];
            out[n++] = digits[low];
        }
    }
    *ret = (struct str){out, n};
    return 0;
}

/* Bytes of what ends a part at `at`, 0 if nothing does. */
static size_t part_end(struct str s, size_t at)
{
    if (s.at[at] == '/' || s.at[at] == '\\')
        return 1;
    if (s.at[at] == '%' && s.n - at > 2 &&
        (!memcmp(s.at + at, "%2F", 3) || !memcmp(s.at + at, "%5C", 3)))
        return 3;
    return 0;
}

/* Of a canonical path: a control character or a part that is "." or "..". */
static bool is_hostile(struct str s)
{
    size_t part = 0, dots = 0; /* bytes of the part so far; how many of them are dots */

    for (size_t i = 0; i <= s.n; i++) {
        size_t end = i < s.n ? part_end(s, i) : 1;

        if (end) {
            if (part && part == dots && part <= 2)
                return true;
            part = dots = 0;
            i += end - 1;
            continue;
        }
        if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f)
            return true;
        part++;
        dots += s.at[i] == '.';
    }
    return false;
}

int route_path_canonical(struct str path, char *buffer, struct str *ret)
{
    struct str made = path;

    if (!path.n || path.at[0] != '/')
        return -EINVAL;
    if (memchr(path.at, '%', path.n) && unescape(path, buffer, &made) < 0)
        return -EINVAL;
    if (is_hostile(made))
        return -EINVAL;
    *ret = made;
    return 0;
}

bool route_path_reserved(struct str canonical)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        size_t n = strlen(reserved[i]);

        if (canonical.n >= n && !memcmp(canonical.at, reserved[i], n))
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- patterns */

static int __attribute__((format(printf, 2, 3))) wrong(char *why, const char *fmt, ...)
{
    va_list ap;

    if (why) {
        va_start(ap, fmt);
        vsnprintf(why, ROUTE_WHY_MAX, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

/* The segment at `at`, which is just behind a '/'. */
static struct str segment_at(struct str s, size_t at)
{
    const char *end = at < s.n ? memchr(s.at + at, '/', s.n - at) : NULL;

    return (struct str){s.at + at, end ? (size_t)(end - (s.at + at)) : s.n - at};
}

static bool is_param(struct str segment)
{
    return segment.n > 2 && segment.at[0] == '{';
}

static struct str param_name(struct str segment)
{
    return (struct str){segment.at + 1, segment.n - 2};
}

static bool is_rest(struct str segment)
{
    return segment.n == 1 && segment.at[0] == '*';
}

static int shown(struct str s)
{
    return s.n < 48 ? (int)s.n : 48;
}
#define SHOW(s) shown(s), (s).at

static int check_param(struct str segment, const struct str *names, size_t count, char *why)
{
    const char *end = memchr(segment.at, '}', segment.n);
    struct str name;

    if (!end)
        return wrong(why, "\"%.*s\" is not closed by }", SHOW(segment));
    if (segment.at[0] != '{' || end != segment.at + segment.n - 1)
        return wrong(why, "\"%.*s\": a parameter takes a whole segment", SHOW(segment));
    name = param_name(segment);
    if (!name.n)
        return wrong(why, "a parameter has no name");
    if (name.n > ROUTE_PARAM_NAME_MAX)
        return wrong(why, "a parameter's name is longer than %d bytes", ROUTE_PARAM_NAME_MAX);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i && c >= '0' && c <= '9')))
            return wrong(why, "\"%.*s\": a parameter's name is letters, digits and _, no digit first",
                         SHOW(segment));
    }
    for (size_t i = 0; i < count; i++)
        if (names[i].n == name.n && !memcmp(names[i].at, name.at, name.n))
            return wrong(why, "two parameters are called \"%.*s\"", SHOW(name));
    return count == ROUTE_PARAMS_MAX ? wrong(why, "more than %d parameters", ROUTE_PARAMS_MAX) : 0;
}

static int check_plain(struct str segment, bool is_last, char *why)
{
    if (!segment.n)
        return is_last ? 0 : wrong(why, "an empty segment");
    if (memchr(segment.at, '}', segment.n))
        return wrong(why, "\"%.*s\": a } without its {", SHOW(segment));
    if (memchr(segment.at, '*', segment.n))
        return wrong(why, "\"%.*s\": * is a segment of its own", SHOW(segment));
    for (size_t i = 0; i < segment.n; i++)
        if (segment.at[i] <= ' ' || segment.at[i] > '~' || segment.at[i] == '?' ||
            segment.at[i] == '#')
            return wrong(why, "a character that no path has: escape it as %%XX");
    return 0;
}

int route_pattern_check(struct str pattern, char why[ROUTE_WHY_MAX])
{
    struct str names[ROUTE_PARAMS_MAX], canonical;
    char buffer[ROUTE_PATTERN_MAX];
    size_t count = 0, segments = 0;
    int r;

    if (!pattern.n || pattern.at[0] != '/')
        return wrong(why, "a path begins with /");
    if (pattern.n > ROUTE_PATTERN_MAX)
        return wrong(why, "longer than %d bytes", ROUTE_PATTERN_MAX);
    for (size_t at = 1; at <= pattern.n;) {
        struct str segment = segment_at(pattern, at);

        at += segment.n + 1;
        if (++segments > ROUTE_SEGMENTS_MAX)
            return wrong(why, "more than %d segments", ROUTE_SEGMENTS_MAX);
        if (is_rest(segment)) {
            if (at <= pattern.n)
                return wrong(why, "* is not the last segment");
        } else if (segment.n && memchr(segment.at, '{', segment.n)) {
            r = check_param(segment, names, count, why);
            if (r < 0)
                return r;
            names[count++] = param_name(segment);
        } else {
            r = check_plain(segment, at > pattern.n, why);
            if (r < 0)
                return r;
        }
    }
    if (memchr(pattern.at, '%', pattern.n) && unescape(pattern, buffer, &canonical) < 0)
        return wrong(why, "%% is not followed by two hexadecimal digits");
    if (route_path_canonical(pattern, buffer, &canonical) < 0)
        return wrong(why, "a segment is . or ..: no request with one is passed on");
    if (route_path_reserved(canonical))
        return wrong(why, "paths below /function/ and /2015-03-31/ are the platform's own");
    return 0;
}

int route_key(struct str host, struct str pattern, char out[ROUTE_KEY_MAX])
{
    char buffer[ROUTE_PATTERN_MAX];
    struct str canonical;
    size_t n = 0;

    if (route_pattern_check(pattern, NULL) < 0 || (host.n && route_host_check(host, NULL) < 0) ||
        route_path_canonical(pattern, buffer, &canonical) < 0)
        return -EINVAL;
    if (host.n && host.at[0] == '*') {
        out[n++] = ROUTE_KEY_ANY_LABEL;
        host = (struct str){host.at + 2, host.n - 2};
    }
    if (host.n)
        memcpy(out + n, host.at, host.n);
    n += host.n;
    out[n++] = ROUTE_KEY_HOST_END;
    for (size_t at = 1; at <= canonical.n;) {
        struct str segment = segment_at(canonical, at);

        at += segment.n + 1;
        out[n++] = '/';
        if (is_param(segment)) {
            out[n++] = ROUTE_KEY_PARAM;
        } else if (is_rest(segment)) {
            out[n++] = ROUTE_KEY_REST;
        } else {
            memcpy(out + n, segment.at, segment.n);
            n += segment.n;
        }
    }
    return (int)n;
}

size_t route_params(struct str pattern, struct str path, struct route_param ret[ROUTE_PARAMS_MAX])
{
    size_t count = 0;

    for (size_t at = 1, in = 1; at <= pattern.n && in <= path.n && count < ROUTE_PARAMS_MAX;) {
        struct str segment = segment_at(pattern, at), value = segment_at(path, in);

        at += segment.n + 1;
        in += value.n + 1;
        if (is_param(segment))
            ret[count++] = (struct route_param){param_name(segment), value};
    }
    return count;
}

/* ---------------------------------------------------------------- hosts */

int route_host_check(struct str host, char why[ROUTE_WHY_MAX])
{
    struct str rest = host;

    if (!host.n)
        return wrong(why, "a host has a name");
    if (host.n > ROUTE_HOST_MAX)
        return wrong(why, "longer than %d bytes", ROUTE_HOST_MAX);
    if (host.n > 1 && host.at[0] == '*' && host.at[1] == '.')
        rest = (struct str){host.at + 2, host.n - 2};
    if (!rest.n)
        return wrong(why, "*. is followed by a name");
    for (size_t i = 0, label = 0; i <= rest.n; i++) {
        char c = i < rest.n ? rest.at[i] : '.';

        if (c == '.') {
            if (!label)
                return wrong(why, "an empty label");
            if (rest.at[i - 1] == '-')
                return wrong(why, "a label ends with -");
            label = 0;
            continue;
        }
        if (c == '*')
            return wrong(why, "* stands for a whole first label only: *.example.com");
        if (c == ':')
            return wrong(why, "a host is named without a port");
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && label)))
            return wrong(why, "a host name is lower-case letters, digits, - and dots");
        if (++label > 63)
            return wrong(why, "a label is longer than 63 bytes");
    }
    return 0;
}

struct str route_host_canonical(struct str host, char buffer[ROUTE_HOST_MAX])
{
    const char *colon = host.n && host.at[0] != '[' ? memchr(host.at, ':', host.n) : NULL;

    if (colon)
        host.n = (size_t)(colon - host.at);
    if (host.n && host.at[host.n - 1] == '.')
        host.n--;
    if (!host.n || host.n > ROUTE_HOST_MAX)
        return STR("");
    for (size_t i = 0; i < host.n; i++) {
        if ((unsigned char)host.at[i] <= ' ')
            return STR("");
        buffer[i] = (char)http_lower((unsigned char)host.at[i]);
    }
    return (struct str){buffer, host.n};
}

/* ---------------------------------------------------------------- methods */

static const char *const methods_known[] = {"GET",   "HEAD",   "POST",   "PUT",
                                            "PATCH", "DELETE", "OPTIONS"};
enum { METHODS_KNOWN = sizeof(methods_known) / sizeof(methods_known[0]) };

uint32_t route_method(struct str method)
{
    for (uint32_t i = 0; i < METHODS_KNOWN; i++)
        if (str_eq(method, methods_known[i]))
            return 1u << i;
    return 1u << 31;
}

void route_methods_text(uint32_t methods, char out[ROUTE_METHODS_TEXT])
{
    size_t n = 0;

    *out = '\0';
    for (uint32_t i = 0; i < METHODS_KNOWN && methods != ROUTE_METHODS_ALL; i++)
        if (methods & 1u << i)
            n += (size_t)snprintf(out + n, ROUTE_METHODS_TEXT - n, "%s%s", n ? ", " : "",
                                  methods_known[i]);
}
