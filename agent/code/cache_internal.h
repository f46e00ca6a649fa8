/* cache_internal.h - what the files of cache.h share. The loop's thread.
 *
 * cache.c       which packages are here, who waits for one, who holds one, which goes first
 * cache_jobs.c  what waits for network or disk, and what comes of it
 * cache_life.c  start, what an earlier life left, end */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "code/cache.h"
#include "code/shelf.h"
#include "code/workers.h"

enum entry_state { ENTRY_FETCHING, ENTRY_PRESENT, ENTRY_FAILED };

struct entry {
    struct map_node node; /* by hex; not in the map once failed */
    struct list lru;      /* in code_cache.lru while present and unheld */
    enum entry_state state;
    unsigned holds, waiters;
    bool settled; /* synced, or about to be */
    bool again;   /* the disk was full: fetched once more, after all that is not held has gone */
    uint64_t size;
    int64_t used;      /* of an earlier life, to order what it left */
    struct err *error; /* once failed; NULL: no memory for it */
    char hex[SHELF_HEX + 1];
    char dir[]; /* once present */
};
struct code_cache {
    struct loop *loop;
    struct workers *workers;
    char *dir, *api_url, *token, *unpack_program;
    int stop_fd; /* readable once the end has begun: fetches give up */
    uint64_t size_limit, size;
    uint64_t hits, misses, evictions, failures;
    struct map entries;
    struct list lru; /* the least recently used first */
    struct list waiters;
    unsigned waiter_count;
    unsigned jobs; /* not yet back on the loop */
    unsigned unsettled;
    bool settling; /* one sync at a time, for all that came meanwhile */
    bool closed;   /* freed by the owner; goes with its last job */
};

/* ---- cache.c */
struct entry *cache_entry_new(struct code_cache *c, const char *hex, enum entry_state state);
void cache_entry_free(struct entry *n);
struct entry *cache_entry_get(const struct code_cache *c, const char *hex);
/* It is here and takes `size` bytes. */
void cache_entry_present(struct code_cache *c, struct entry *n, uint64_t size);
/* Until no more than `limit` bytes are here, or all that is not held has gone. */
void cache_evict_to(struct code_cache *c, uint64_t limit);
/* The end of a fetch: `size` bytes are in its place, or *e says why not. */
void cache_fetched(struct code_cache *c, const char *hex, int result, uint64_t size,
                   const struct err *e);
void cache_forget_all(struct code_cache *c);

/* ---- cache_jobs.c */
/* `again`: after the removals that make room for it. -ENOMEM */
int cache_post_fetch(struct code_cache *c, const char *hex, bool again);
void cache_post_remove(struct code_cache *c, const char *dir);
/* Syncs what is not yet, unless that is going on: then it follows. */
void cache_post_settle(struct code_cache *c);

/* ---- cache_life.c */
void cache_destroy(struct code_cache *c);
