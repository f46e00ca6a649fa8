#include "network/names.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* FNV-1a, 64 bit, folded: collisions only matter between platforms on one machine. */
static uint32_t path_hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
    return (uint32_t)(h ^ (h >> 32));
}

void names_of(const char *real_path, struct names *ret)
{
    uint32_t h = path_hash(real_path);

    *ret = (struct names){0};
    snprintf(ret->id, sizeof(ret->id), "%08x", h);
    snprintf(ret->cgroup, sizeof(ret->cgroup), "rouse-%s", ret->id);
    snprintf(ret->table, sizeof(ret->table), "rouse-%s", ret->id);
    snprintf(ret->link, sizeof(ret->link), "r%06x", h >> 8);
}

int names_init(const char *state_dir, struct names *ret)
{
    cleanup_free char *real = realpath(state_dir, NULL);

    if (!real)
        return -errno;
    names_of(real, ret);
    return 0;
}
