#include "invoke/text.h"

#include <errno.h>
#include <string.h>

/* Bytes that follow the lead byte, or -1; *ret_low and *ret_high bound the first of them (RFC 3629,
 * section 4). */
static int utf8_tail(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *ret_high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef)
        return 2;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 3;
    return -1;
}

bool utf8_valid(const uint8_t *s, size_t n)
{
    size_t i = 0;

    while (i < n) {
        uint8_t low, high;
        uint64_t eight;
        int tail;

        while (n - i >= 8) {
            memcpy(&eight, s + i, 8);
            if (eight & 0x8080808080808080ull)
                break;
            i += 8;
        }
        if (i == n)
            break;
        if (s[i] < 0x80) {
            i++;
            continue;
        }
        tail = utf8_tail(s[i], &low, &high);
        if (tail < 0 || n - i <= (size_t)tail || s[i + 1] < low || s[i + 1] > high)
            return false;
        for (int k = 2; k <= tail; k++)
            if ((s[i + (size_t)k] & 0xc0) != 0x80)
                return false;
        i += (size_t)tail + 1;
    }
    return true;
}

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
