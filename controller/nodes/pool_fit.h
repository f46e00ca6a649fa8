/* pool_fit.h - does it fit? First fit, the largest first, of needs on bins. Pure. */
#pragma once
#include "nodes/pool.h"

struct bin {
    uint64_t memory, cpu;         /* free */
    size_t node;                  /* of the input, or SIZE_MAX */
    const struct pool_spec *pool; /* its template, if it is no node yet */
};
struct bins { /* zero-initialise; free(all) */
    struct bin *all;
    size_t count, capacity;
};
int bins_add(struct bins *b, const struct bin *one);

/* A copy of needs, the largest (as a share of `memory` and `cpu`) first. The caller frees; NULL: no memory. */
struct pool_need *needs_sorted(const struct pool_need *needs, size_t n, uint64_t memory,
                               uint64_t cpu);
/* Puts as many of needs[i].count as fit into the bins, which get smaller; the counts become what is left.
 * How many were put. */
uint32_t bins_put(struct bins *b, const struct pool_input *in, struct pool_need *needs, size_t n);
/* Would one of it fit into some bin? */
bool bins_take(const struct bins *b, const struct pool_input *in, const struct pool_need *need);
