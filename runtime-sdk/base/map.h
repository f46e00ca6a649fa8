/* map.h - intrusive hash map; keys are byte strings held by the entries.
 *
 * Not thread safe. Keys come from peers, so the hash is SipHash-1-3 with a
 * random key per process. The map grows by doubling and never shrinks. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct map_node { /* embed; `key` points into the entry and must outlive it in the map */
    struct map_node *next;
    const char *key;
    uint32_t key_size;
    uint32_t hash;
};

struct map { /* zero-initialised is empty */
    struct map_node **buckets;
    size_t mask; /* buckets - 1 */
    size_t count;
};

uint32_t map_hash(const void *key, size_t n);
/* NULL if absent. */
struct map_node *map_get(const struct map *m, const void *key, size_t n);
struct map_node *map_get_str(const struct map *m, const char *key);
/* Puts `node` under (key, n), which must not be in the map. -ENOMEM. */
int map_put(struct map *m, struct map_node *node, const char *key, size_t n);
/* Takes `node` out; it must be in the map. */
void map_del(struct map *m, struct map_node *node);
void map_done(struct map *m); /* frees the table, not the entries */

/* Walks all; the body may delete the current node and no other. */
#define map_for_each(it, m)                                                                        \
    for (size_t it##_b = 0; (m)->buckets && it##_b <= (m)->mask; it##_b++)                         \
        for (struct map_node *it = (m)->buckets[it##_b], *it##_n = it ? it->next : NULL; it;       \
             it = it##_n, it##_n = it ? it->next : NULL)
#define map_entry(n, type, member) ((type *)((char *)(n)-offsetof(type, member)))
