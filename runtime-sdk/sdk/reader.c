/* reader.c - see reader.h. */
#include "sdk/reader.h"

#include <errno.h>
#include <string.h>

enum { REPLACEMENT = 0xfffd };

void reader_skip_space(struct reader *r)
{
    while (r->p < r->end && memchr(" \t\r\n", *r->p, 4))
        r->p++;
}

bool reader_take(struct reader *r, char c)
{
    reader_skip_space(r);
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
    if (read_hex4(r, &c) < 0 || (!c && !r->lenient) || (c >= 0xdc00 && c < 0xe000))
        return -EBADMSG;
    if (!c)
        c = REPLACEMENT;
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

bool reader_end(struct reader *r)
{
    reader_skip_space(r);
    return r->p == r->end;
}

int reader_string(struct reader *r, char *out, size_t room)
{
    size_t n = 0, size;
    char c[4];

    if (!reader_take(r, '"'))
        return -EBADMSG;
    while (r->p < r->end && *r->p != '"') {
        c[0] = *r->p++;
        size = 1;
        if ((unsigned char)c[0] < 0x20)
            return -EBADMSG;
        if (c[0] == '\\' && read_escape(r, c, &size) < 0)
            return -EBADMSG;
        if (n + size >= room)
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

/* No escape is shorter than what it stands for, and the quotes leave room for the NUL. */
int reader_string_here(struct reader *r, char **ret)
{
    char *out;
    int e;

    reader_skip_space(r);
    if (r->p == r->end)
        return -EBADMSG;
    out = (char *)(uintptr_t)r->p;
    e = reader_string(r, out, SIZE_MAX);
    if (e == 0)
        *ret = out;
    return e;
}

int reader_number(struct reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    const char *start;

    reader_skip_space(r);
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

/* Goes to the comma or brace after it. */
int reader_skip(struct reader *r)
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
