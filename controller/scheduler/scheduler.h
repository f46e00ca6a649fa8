/* scheduler.h - on which node an instance goes. Pure: a view of the nodes in, an index out.
 *
 * Filter: ready, not cordoned, has the runtime, free memory and cpu. Score:
 * free share after the placement (spread) or used share (pack), the entry's
 * node of the first waiting request, nodes that have the code already, few
 * instances of the same revision. Equal scores: the first in the list. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placement_node {
    uint64_t allocatable_memory, reserved_memory; /* bytes */
    uint64_t allocatable_cpu, reserved_cpu; /* thousandths; the agent's own overcommit included */
    bool ready, cordoned, has_runtime;
    bool entry;    /* the first waiting request came in here */
    bool has_code; /* an instance of this revision was here */
    uint32_t same; /* instances of this revision here */
};
enum placement_policy { PLACEMENT_SPREAD, PLACEMENT_PACK };
struct placement_request {
    uint64_t memory;
    uint64_t cpu;
    enum placement_policy policy;
};

/* Could it ever run there, were the node empty? */
bool placement_possible(const struct placement_request *r, const struct placement_node *n);
/* 0 and the index; -ENOENT: no node is ready; -ENXIO: fits on none of them even when empty;
 * -ENOSPC: full now. */
int placement_choose(const struct placement_request *r, const struct placement_node *nodes,
                     size_t n, size_t *ret_index);
