#include "network/idpool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int idpool_init(struct idpool *p, uint32_t size)
{
    *p = (struct idpool){.size = size, .bits = calloc((size + 63) / 64 + 1, sizeof(uint64_t))};
    return p->bits ? 0 : -ENOMEM;
}

int idpool_take(struct idpool *p, uint32_t *ret)
{
    if (p->held == p->size)
        return -ENOSPC;
    while (p->bits[p->next / 64] >> (p->next % 64) & 1)
        p->next = (p->next + 1) % p->size;
    p->bits[p->next / 64] |= 1ull << (p->next % 64);
    p->held++;
    *ret = p->next;
    p->next = (p->next + 1) % p->size;
    return 0;
}

void idpool_give(struct idpool *p, uint32_t n)
{
    assert(n < p->size && (p->bits[n / 64] >> (n % 64) & 1));
    p->bits[n / 64] &= ~(1ull << (n % 64));
    p->held--;
}

void idpool_done(struct idpool *p)
{
    free(p->bits);
    *p = (struct idpool){0};
}
