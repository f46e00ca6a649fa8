/* scheduler.h - on which node an instance goes.
 *
 * Filter: is open (ready, not cordoned), has the runtime and the labels, its
 * taints are tolerated, free memory and cpu. Score: free share (spread) or used
 * share (pack), the entry's node of the first waiting request, nodes that have
 * the code already, few instances of the same function. Equal scores: the less
 * used (pack: the more used), then the one with more (less) free memory, then the
 * older (younger).
 *
 * The nodes between which no demand can tell (of equal traits) are a class; a
 * class keeps its open nodes in a tree ordered by used share, whose subtrees
 * know the most that one of their nodes has free. A choice matches each class
 * once, descends to the first node with room, and looks at a bounded number of
 * nodes that are special to the request. Pure, one thread. */
#pragma once
#include "base/map.h"
#include "scheduler/traits.h"
#include <stdint.h>

enum {
    PLACEMENT_LOOK = 32
}; /* nodes with the code that are looked at, and passed over in a tree */

struct placement_class;
struct placement_most {
    uint64_t memory, cpu;
};
struct placement_node { /* embed; zero-initialised is on no list */
    /* Changed by placement_set() alone. */
    uint64_t allocatable_memory, reserved_memory; /* bytes */
    uint64_t allocatable_cpu, reserved_cpu; /* thousandths; the agent's own overcommit included */
    uint64_t order;                         /* the older, the smaller; never used twice */
    bool open;
    /* the index's */
    struct placement_class *of;
    struct placement_node *left, *right;
    uint64_t priority;
    double used;                          /* share, of whatever is scarcer */
    struct placement_most free, capacity; /* the most in this subtree */
};

struct placement_index;
int placement_index_new(struct placement_index **ret);
struct placement_index *placement_index_free(struct placement_index *x);
size_t placement_classes(const struct placement_index *x);

/* Puts the node into the class of these traits, closed; or moves it there. -ENOMEM: it is where it
 * was. */
int placement_put(struct placement_index *x, struct placement_node *n, const struct node_traits *t);
void placement_del(struct placement_index *x, struct placement_node *n); /* no-op if not put */
struct placement_amounts {
    uint64_t allocatable_memory, reserved_memory, allocatable_cpu, reserved_cpu;
    bool open;
};
void placement_set(struct placement_index *x, struct placement_node *n,
                   const struct placement_amounts *a); /* after placement_put() */

enum placement_policy { PLACEMENT_SPREAD, PLACEMENT_PACK };
struct placement_here { /* of the request's function, on a node */
    bool code;          /* was here */
    uint32_t same;      /* instances */
};
struct placement_request {
    uint64_t memory, cpu;
    enum placement_policy policy;
    struct placement_demand demand;
    bool pinned;                  /* `only` or none */
    struct placement_node *only;  /* pinned: NULL is a node that is not there */
    struct placement_node *entry; /* where the first waiting request came in, or NULL */
    /* Nodes that have the code; PLACEMENT_LOOK of them are looked at. */
    struct placement_node *const *known;
    size_t known_count;
    struct placement_here (*here)(void *user, const struct placement_node *n); /* NULL: nothing */
    void *user;
};
/* 0 and the node; -ENOENT: no node is open; -ENXIO: fits on none of them even when empty;
 * -ENOSPC: full now. */
int placement_find(struct placement_index *x, const struct placement_request *q,
                   struct placement_node **ret);

/* Is it open, and could it be there, were it empty? */
bool placement_admits(const struct placement_request *r, const struct placement_node *n);
/* Could it be there, were the node empty, and is there room now? Numbers only. */
bool placement_possible(const struct placement_request *r, const struct placement_node *n);
bool placement_fits(const struct placement_request *r, const struct placement_node *n);
double placement_score(const struct placement_request *r, const struct placement_node *n,
                       bool entry, struct placement_here here);
/* Does it come before the other of the same score? */
bool placement_before(const struct placement_node *a, const struct placement_node *b);
