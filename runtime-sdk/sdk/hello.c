/* hello.c - a reader for one flat JSON object: a function links libc and nothing else. */
#include "sdk/hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct reader {
    const char *p, *end;
};

static void skip_space(struct reader *r)
{
    while (r->p < r->end && memchr(" \t\r\n", *r->p, 4))
        r->p++;
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static int read_hex4(struct reader *r, uint32_t *ret)
{
    uint32_t v = 0;

    if (r->end - r->p < 4)
        return -EBADMSG;
    for (int i = 0; i < 4; i++) {
        char c = *r->p++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return -EBADMSG;
    }
    *ret = v;
    return 0;
}

static size_t put_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The character after a backslash, as UTF-8. A NUL cannot be part of a C string. */
static int read_escape(struct reader *r, char out[4], size_t *ret_size)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    uint32_t c, low;

    if (r->p == r->end)
        return -EBADMSG;
    if (*r->p != 'u') {
        at = memchr(from, *r->p, sizeof(from) - 1);
        if (!at)
            return -EBADMSG;
        r->p++;
        out[0] = to[at - from];
        *ret_size = 1;
        return 0;
    }
    r->p++;
    if (read_hex4(r, &c) < 0 || !c || (c >= 0xdc00 && c < 0xe000))
        return -EBADMSG;
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return -EBADMSG;
        r->p += 2;
        if (read_hex4(r, &low) < 0 || low < 0xdc00 || low >= 0xe000)
            return -EBADMSG;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret_size = put_utf8(c, out);
    return 0;
}

static int read_string(struct reader *r, char out[HELLO_TEXT_MAX])
{
    size_t n = 0, size;
    char c[4];

    if (!take(r, '"'))
        return -EBADMSG;
    while (r->p < r->end && *r->p != '"') {
        c[0] = *r->p++;
        size = 1;
        if ((unsigned char)c[0] < 0x20)
            return -EBADMSG;
        if (c[0] == '\\' && read_escape(r, c, &size) < 0)
            return -EBADMSG;
        if (n + size >= HELLO_TEXT_MAX)
            return -EMSGSIZE;
        memcpy(out + n, c, size);
        n += size;
    }
    if (r->p == r->end)
        return -EBADMSG;
    r->p++;
    out[n] = '\0';
    return 0;
}

static int read_number(struct reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    const char *start;

    skip_space(r);
    start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') {
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*r->p - '0'), &v))
            return -EBADMSG;
        r->p++;
    }
    if (r->p == start)
        return -EBADMSG;
    *ret = v;
    return 0;
}

/* Goes to the comma or brace after a value of any kind: only strings and nesting matter. */
static int skip_value(struct reader *r)
{
    size_t depth = 0;
    bool quoted = false;

    for (; r->p < r->end; r->p++) {
        char c = *r->p;

        if (quoted) {
            if (c == '\\' && r->p + 1 < r->end)
                r->p++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']' || c == ',') {
            if (!depth)
                return 0;
            if (c != ',')
                depth--;
        }
    }
    return -EBADMSG;
}

static int read_concurrency(struct reader *r, unsigned *ret)
{
    uint64_t n;
    int e = read_number(r, &n);

    if (e < 0)
        return e;
    if (!n || n > HELLO_CONCURRENCY_MAX)
        return -EMSGSIZE;
    *ret = (unsigned)n;
    return 0;
}

static int read_field(struct reader *r, const char *name, struct hello *h)
{
    if (!strcmp(name, "function"))
        return read_string(r, h->function);
    if (!strcmp(name, "namespace"))
        return read_string(r, h->name_space);
    if (!strcmp(name, "revision"))
        return read_string(r, h->revision);
    if (!strcmp(name, "protocol"))
        return read_number(r, &h->protocol);
    if (!strcmp(name, "memory"))
        return read_number(r, &h->memory);
    if (!strcmp(name, "concurrency"))
        return read_concurrency(r, &h->concurrency);
    return skip_value(r);
}

int hello_parse(const char *json, size_t n, struct hello *ret)
{
    struct reader r = {.p = json, .end = json + n};
    struct hello h = {.concurrency = 1};
    char name[HELLO_TEXT_MAX];
    int e;

    if (!take(&r, '{'))
        return -EBADMSG;
    if (!take(&r, '}')) {
        do {
            e = read_string(&r, name);
            if (e < 0)
                return e;
            if (!take(&r, ':'))
                return -EBADMSG;
            e = read_field(&r, name, &h);
            if (e < 0)
                return e;
        } while (take(&r, ','));
        if (!take(&r, '}'))
            return -EBADMSG;
    }
    skip_space(&r);
    if (r.p != r.end)
        return -EBADMSG;
    *ret = h;
    return 0;
}
