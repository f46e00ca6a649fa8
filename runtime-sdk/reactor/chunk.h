/* chunk.h - a connection's bytes in user space: one pointer, NULL while there are none.
 *
 * Belongs to a loop, on its thread. Chunks of the common size are kept by the
 * loop for the next connection that needs one, so that a request in the steady
 * state neither allocates nor frees. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct loop;
struct chunk {
    struct chunk *next; /* while the loop keeps it */
    size_t start, end, capacity;
    uint8_t data[];
};

static inline size_t chunk_size(const struct chunk *k)
{
    return k ? k->end - k->start : 0;
}
static inline uint8_t *chunk_bytes(struct chunk *k)
{
    return k ? k->data + k->start : NULL;
}
/* Room for `n` more bytes behind what *k holds; *k may change. NULL: no memory, *k as it was.
 * `small`: grows from 256 bytes, for what is kept for long; else from the common size. */
uint8_t *chunk_reserve(struct loop *l, struct chunk **k, size_t n, int small);
int chunk_append(struct loop *l, struct chunk **k, const void *data, size_t n, int small);
void chunk_consume(struct loop *l, struct chunk **k, size_t n); /* freed when it is empty */
void chunk_free(struct loop *l, struct chunk **k);              /* *k becomes NULL */
