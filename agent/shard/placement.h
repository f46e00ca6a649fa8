/* placement.h - which loop an instance goes to. Pure.
 *
 * The one with the fewest of its revision, so that a function's load is spread
 * over all loops; among equals the one with the fewest at all. An instance stays
 * where it was put as long as it is wanted. */
#pragma once
#include "base/map.h"
#include "router/siblings.h"

struct placement { /* zero-initialise but for `count` */
    unsigned count;
    struct map instances, revisions;
    unsigned loads[LOOPS_MAX];
    uint64_t round; /* of placement_keep() */
};

void placement_done(struct placement *p);
/* Where it is, or is put now. -ENOMEM. */
int placement_put(struct placement *p, const char *function_key, const char *revision,
                  const char *id);
void placement_remove(struct placement *p, const char *id); /* an unknown one is fine */
/* Between the two, what is not put (again) is not wanted any more: it is forgotten. */
void placement_keep_begin(struct placement *p);
void placement_keep_end(struct placement *p);
