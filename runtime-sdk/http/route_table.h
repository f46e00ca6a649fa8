/* route_table.h - from (host, method, path) to a value, in time that does not grow with the routes.
 *
 * One compact radix tree over bytes, not a hash by host or segment: it can be
 * shared between versions by copying the few nodes on the way to a change (the
 * hash table of a level with ten thousand siblings cannot), a look-up's steps
 * are bounded by the length of host and path, and patterns are plain keys in it:
 * host, NUL, path, with one byte for a parameter and one for the rest.
 *
 * The best pattern of a request is that of the most particular host (its own
 * name, then *.parent, then any); then one that matches the whole path before
 * one that ends in *; of the former a plain segment before a parameter, the
 * first segment that differs decides; of the latter the longest, then likewise.
 * The method is asked last, of that pattern alone: 405 with what it takes.
 * Only where a plain segment and a parameter both go on is more than one way
 * tried; steps never exceed those of the patterns that begin like the path.
 *
 * A table is a value, two pointers wide, and immutable once published; changes
 * are made in an epoch edit by the domain's owner (base/epoch.h). A reader on
 * any thread looks through a snapshot between epoch_enter() and epoch_leave().
 * After -ENOMEM the edit is given up: route_table_abandon(). */
#pragma once
#include "base/radix.h"
#include "http/route_pattern.h"

struct route_table { /* zero-initialised is empty */
    struct radix_node *root;
    size_t patterns; /* pairs of host and pattern */
};

enum route_found { ROUTE_FOUND, ROUTE_WRONG_METHOD, ROUTE_UNKNOWN };
struct route_match {
    void *value;
    struct str pattern; /* as it was added */
    bool any_method;    /* it takes all methods */
    uint32_t allow;     /* with ROUTE_WRONG_METHOD: those of the pattern, of all its values */
    unsigned visited;   /* nodes looked at, in all cases */
};
/* `host` and `path` as they were sent. *ret's other fields are set with ROUTE_FOUND only. */
enum route_found route_table_match(const struct route_table *t, struct str host, struct str method,
                                   struct str path, struct route_match *ret);

/* `host` is empty for any; `methods` are bits. `value` belongs to the caller and outlives every
 * version that has it. -EEXIST: another value has one of the methods there, *ret_holder (may be NULL). -EINVAL:
 * no pattern or host. -ENOMEM. */
int route_table_add(struct epoch_edit *e, struct route_table *t, struct str host,
                    struct str pattern, uint32_t methods, void *value, void **ret_holder);
/* All that `value` has of that pattern. -ENOENT, -ENOMEM. */
int route_table_del(struct epoch_edit *e, struct route_table *t, struct str host,
                    struct str pattern, const void *value);
void route_table_retire(struct epoch_edit *e, struct route_table *t); /* all of it; empty afterwards */
/* Frees what this edit made of `t`; the version before is whole. */
void route_table_abandon(const struct epoch_edit *e, struct route_table *t);
void route_table_free(struct route_table *t); /* nobody reads it any more */
