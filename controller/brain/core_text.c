/* core_text.c - what others sent, fit to be shown. */
#include "brain/core_internal.h"

/* Length of the UTF-8 sequence at s (RFC 3629, overlong forms let through), 0 if it is none. */
static size_t sequence(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;

    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Texts of agents hold what functions print. They go into JSON, so what is not UTF-8 becomes '?'.
 */
void copy_text(char *to, size_t size, const char *from)
{
    while (*from) {
        size_t n = sequence(from), put = n ? n : 1;

        if (put >= size)
            break;
        memcpy(to, n ? from : "?", put);
        from += put;
        to += put;
        size -= put;
    }
    *to = 0;
}
