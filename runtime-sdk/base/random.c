#include "base/random.h"
#include "base/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *to, size_t n)
{
    uint8_t *p = to;

    while (n) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;

    random_bytes(&v, sizeof(v));
    return v;
}

void random_hex(char *out, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        uint8_t raw[32];
        size_t take = n - i < sizeof(raw) ? n - i : sizeof(raw);

        random_bytes(raw, take);
        hex_encode(out + 2 * i, raw, take);
    }
    out[2 * n] = '\0';
}

void random_uuid(char out[37])
{
    uint8_t r[16];
    char h[33];

    random_bytes(r, sizeof(r));
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    hex_encode(h, r, sizeof(r));
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}
