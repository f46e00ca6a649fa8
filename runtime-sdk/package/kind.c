/* kind.c - what the first bytes say. Pure. */
#include "package/package.h"

#include <string.h>

enum { BLOCK = PACKAGE_HEAD, CHECKSUM = 148, CHECKSUM_SIZE = 8 };

/* The sum of the header's bytes with its own field as blanks stands there in octal: true of every tar,
 * also of those without "ustar". */
static bool is_tar(const uint8_t *p)
{
    uint64_t sum = 0, said = 0;
    size_t i = CHECKSUM;

    for (size_t k = 0; k < BLOCK; k++)
        sum += k - CHECKSUM < CHECKSUM_SIZE ? ' ' : p[k];
    while (i < CHECKSUM + CHECKSUM_SIZE && p[i] == ' ')
        i++;
    for (; i < CHECKSUM + CHECKSUM_SIZE && p[i] >= '0' && p[i] <= '7'; i++)
        said = said * 8 + (uint64_t)(p[i] - '0');
    return p[0] && said == sum;
}

const char *package_kind(const void *head, size_t n)
{
    static const struct {
        const char *name, *magic;
        size_t size;
    } kinds[] = {
        {"zip", "PK\3\4", 4},
        {"gzip", "\x1f\x8b", 2},
        {"xz",
         "\xfd"
         "7zXZ\0",
         6},
        {"zstd", "\x28\xb5\x2f\xfd", 4},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (n >= kinds[i].size && !memcmp(head, kinds[i].magic, kinds[i].size))
            return kinds[i].name;
    return n >= BLOCK && is_tar(head) ? "tar" : NULL;
}
