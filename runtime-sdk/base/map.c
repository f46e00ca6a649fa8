#include "base/map.h"
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t sip_key[2];

static void sip_init(void)
{
    random_bytes(sip_key, sizeof(sip_key));
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3, Aumasson and Bernstein 2012. */
uint32_t map_hash(const void *key, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const uint8_t *p = key;
    uint64_t last = (uint64_t)n << 56, h;
    uint64_t v[4];

    pthread_once(&once, sip_init);
    v[0] = sip_key[0] ^ 0x736f6d6570736575ull;
    v[1] = sip_key[1] ^ 0x646f72616e646f6dull;
    v[2] = sip_key[0] ^ 0x6c7967656e657261ull;
    v[3] = sip_key[1] ^ 0x7465646279746573ull;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t m;

        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ h >> 32);
}

struct map_node *map_get(const struct map *m, const void *key, size_t n)
{
    uint32_t hash;

    if (!m->count)
        return NULL;
    hash = map_hash(key, n);
    for (struct map_node *it = m->buckets[hash & m->mask]; it; it = it->next)
        if (it->hash == hash && it->key_size == n && !memcmp(it->key, key, n))
            return it;
    return NULL;
}

struct map_node *map_get_str(const struct map *m, const char *key)
{
    return map_get(m, key, strlen(key));
}

static int grow(struct map *m)
{
    size_t size = m->buckets ? (m->mask + 1) * 2 : 16;
    struct map_node **to = calloc(size, sizeof(*to));

    if (!to)
        return -ENOMEM;
    for (size_t i = 0; m->buckets && i <= m->mask; i++) {
        for (struct map_node *it = m->buckets[i], *next; it; it = next) {
            next = it->next;
            it->next = to[it->hash & (size - 1)];
            to[it->hash & (size - 1)] = it;
        }
    }
    free(m->buckets);
    m->buckets = to;
    m->mask = size - 1;
    return 0;
}

int map_put(struct map *m, struct map_node *node, const char *key, size_t n)
{
    if (!m->buckets || m->count > m->mask) {
        int r = grow(m);

        if (r < 0 && !m->buckets)
            return r;
    }
    node->key = key;
    node->key_size = (uint32_t)n;
    node->hash = map_hash(key, n);
    node->next = m->buckets[node->hash & m->mask];
    m->buckets[node->hash & m->mask] = node;
    m->count++;
    return 0;
}

void map_del(struct map *m, struct map_node *node)
{
    struct map_node **at = &m->buckets[node->hash & m->mask];

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    m->count--;
}

void map_done(struct map *m)
{
    free(m->buckets);
    *m = (struct map){0};
}
