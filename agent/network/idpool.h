/* idpool.h - small numbers, each held by one sandbox: uid ranges, address pairs.
 *
 * Next-fit: a number that was just given back is the last to be handed out
 * again, so that nothing late meets its old owner's successor. Not thread safe. */
#pragma once
#include <stdint.h>

struct idpool {
    uint64_t *bits; /* set: held */
    uint32_t size, held, next;
};

int idpool_init(struct idpool *p, uint32_t size); /* -ENOMEM */
int idpool_take(struct idpool *p, uint32_t *ret); /* -ENOSPC */
void idpool_give(struct idpool *p, uint32_t n);   /* `n` must be held */
void idpool_done(struct idpool *p);
