#include "base/utf8.h"

#include <string.h>

/* Bytes that follow the lead byte, or -1; *ret_low and *ret_high bound the first of them (RFC 3629,
 * section 4). */
static int tail_of(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
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

size_t utf8_length(const uint8_t *s, size_t n)
{
    uint8_t low, high;
    int tail;

    if (*s < 0x80)
        return 1;
    tail = tail_of(*s, &low, &high);
    if (tail < 0 || n <= (size_t)tail || s[1] < low || s[1] > high)
        return 0;
    for (int k = 2; k <= tail; k++)
        if ((s[k] & 0xc0) != 0x80)
            return 0;
    return (size_t)tail + 1;
}

bool utf8_valid(const void *text, size_t n)
{
    const uint8_t *s = text;
    size_t i = 0;

    while (i < n) {
        uint64_t eight;
        size_t length;

        while (n - i >= 8) {
            memcpy(&eight, s + i, 8);
            if (eight & 0x8080808080808080ull)
                break;
            i += 8;
        }
        if (i == n)
            break;
        length = utf8_length(s + i, n - i);
        if (!length)
            return false;
        i += length;
    }
    return true;
}
