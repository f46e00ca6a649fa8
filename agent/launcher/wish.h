/* wish.h - a CREATE that waits for a sandbox of its kind to be built: first come, first served. Launcher only. */
#pragma once
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"

#include <stddef.h>
#include <stdint.h>

struct kind;
struct server;

struct wish {
    struct map_node node; /* by id */
    struct list link;     /* in kind.waiting */
    struct kind *kind;
    uint64_t arrived;
    unsigned lost; /* how often what was built for it was lost */
    char id[64];
    size_t size;
    uint8_t bytes[]; /* the CREATE message */
};

/* `bytes` is the CREATE message; copied. -errno */
int wish_new(struct kind *k, const char *id, const void *bytes, size_t size, uint64_t arrived);
struct wish *wish_find(const struct server *s, const char *id);
struct wish *wish_first(const struct kind *k);       /* the oldest; NULL: nobody waits */
void wish_leave(struct wish *w);                     /* out of its queue; the caller frees it */
void wish_fail(struct wish *w, const struct err *e); /* FAILED to the agent; freed */
