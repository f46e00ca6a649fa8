/* chunk.c - a connection's bytes in user space, recycled through its loop. On the loop's thread. */
#include "reactor/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COMMON = 4096 - sizeof(struct chunk) - 16, SMALL = 256, KEPT_MAX = 256 };

static struct chunk *chunk_new(struct loop *l, size_t want)
{
    struct chunk *k = l->chunks;

    if (want == COMMON && k) {
        l->chunks = k->next;
        l->chunk_count--;
    } else {
        k = malloc(sizeof(*k) + want);
        if (!k)
            return NULL;
        k->capacity = want;
    }
    k->start = k->end = 0;
    return k;
}

uint8_t *chunk_reserve(struct loop *l, struct chunk **at, size_t n, int small)
{
    struct chunk *k = *at, *grown;
    size_t live = chunk_size(k), want = small ? SMALL : COMMON;

    if (k && k->capacity - k->end >= n)
        return k->data + k->end;
    if (n > SIZE_MAX / 4 - live)
        return NULL;
    if (k && k->capacity - live >= n && live <= k->capacity / 2) {
        memmove(k->data, k->data + k->start, live);
        k->start = 0;
        k->end = live;
        return k->data + live;
    }
    if (k && k->capacity > want)
        want = k->capacity;
    while (want < live + n)
        want *= 2;
    grown = chunk_new(l, want);
    if (!grown)
        return NULL;
    if (live)
        memcpy(grown->data, k->data + k->start, live);
    grown->end = live;
    chunk_free(l, at);
    *at = grown;
    return grown->data + live;
}

int chunk_append(struct loop *l, struct chunk **k, const void *data, size_t n, int small)
{
    uint8_t *to;

    if (!n)
        return 0;
    to = chunk_reserve(l, k, n, small);
    if (!to)
        return -ENOMEM;
    memcpy(to, data, n);
    (*k)->end += n;
    return 0;
}

void chunk_consume(struct loop *l, struct chunk **k, size_t n)
{
    if (!*k)
        return;
    (*k)->start += n;
    if ((*k)->start == (*k)->end)
        chunk_free(l, k);
}

void chunk_free(struct loop *l, struct chunk **at)
{
    struct chunk *k = *at;

    *at = NULL;
    if (!k)
        return;
    if (k->capacity == COMMON && l->chunk_count < KEPT_MAX) {
        k->next = l->chunks;
        l->chunks = k;
        l->chunk_count++;
    } else {
        free(k);
    }
}

void chunks_done(struct loop *l)
{
    struct chunk *k;

    while ((k = l->chunks)) {
        l->chunks = k->next;
        free(k);
    }
}
