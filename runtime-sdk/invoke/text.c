#include "invoke/text.h"

#include "base/utf8.h"

#include <errno.h>

static int latin1_append(struct buffer *to, const uint8_t *s, size_t n)
{
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        char two[2] = {(char)(0xc0 | s[i] >> 6), (char)(0x80 | (s[i] & 0x3f))};

        r = s[i] < 0x80 ? buffer_json_string(to, (const char *)s + i, 1) : buffer_append(to, two, 2);
    }
    return r;
}

int json_string_append(struct buffer *to, const void *s, size_t n)
{
    int r = buffer_append(to, "\"", 1);

    if (r == 0 && n)
        r = utf8_valid(s, n) ? buffer_json_string(to, s, n) : latin1_append(to, s, n);
    return r == 0 ? buffer_append(to, "\"", 1) : r;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_append(struct buffer *to, const uint8_t *s, size_t n)
{
    size_t size = (n + 2) / 3 * 4;
    uint8_t *out = buffer_reserve(to, size + 1);
    size_t i = 0;

    if (!out)
        return to->limit ? -ENOBUFS : -ENOMEM;
    for (; n - i >= 3; i += 3) {
        uint32_t v = (uint32_t)s[i] << 16 | (uint32_t)s[i + 1] << 8 | s[i + 2];

        *out++ = (uint8_t)alphabet[v >> 18];
        *out++ = (uint8_t)alphabet[v >> 12 & 63];
        *out++ = (uint8_t)alphabet[v >> 6 & 63];
        *out++ = (uint8_t)alphabet[v & 63];
    }
    if (i < n) {
        uint32_t v = (uint32_t)s[i] << 16 | (n - i == 2 ? (uint32_t)s[i + 1] << 8 : 0);

        *out++ = (uint8_t)alphabet[v >> 18];
        *out++ = (uint8_t)alphabet[v >> 12 & 63];
        *out++ = n - i == 2 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
        *out = '=';
    }
    buffer_commit(to, size);
    return 0;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct buffer *to, const char *s, size_t n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t size = 0;
    uint8_t *out;

    if (n % 4 == 0)
        for (int i = 0; i < 2 && n && s[n - 1] == '='; i++)
            n--;
    out = buffer_reserve(to, n / 4 * 3 + 3);
    if (!out)
        return to->limit ? -ENOBUFS : -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int d = digit(s[i]);

        if (d < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[size++] = (uint8_t)(bits >> have);
        }
    }
    if (n % 4 == 1 || (bits & ((1u << have) - 1)))
        return -EINVAL;
    buffer_commit(to, size);
    return 0;
}
