/* utf8.c - see utf8.h. */
#include "sdk/utf8.h"

bool utf8_valid(const void *data, size_t n)
{
    const uint8_t *p = data, *end = p + n;

    while (p < end) {
        uint8_t c = *p++, low = 0x80, high = 0xbf;
        int more;

        if (c < 0x80)
            continue;
        if (c < 0xc2 || c > 0xf4)
            return false;
        more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0xe0)
            low = 0xa0;
        else if (c == 0xed)
            high = 0x9f;
        else if (c == 0xf0)
            low = 0x90;
        else if (c == 0xf4)
            high = 0x8f;
        if (end - p < more)
            return false;
        for (; more; more--, low = 0x80, high = 0xbf) {
            c = *p++;
            if (c < low || c > high)
                return false;
        }
    }
    return true;
}
