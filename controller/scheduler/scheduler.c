#include "scheduler/scheduler.h"

#include <errno.h>

/* What each wish weighs beside the free share, which is 0 to 1. */
static const double entry_weight = 0.3, code_weight = 0.2, same_weight = 0.5;

bool placement_possible(const struct placement_request *r, const struct placement_node *n)
{
    return n->has_runtime && r->memory <= n->allocatable_memory && r->cpu <= n->allocatable_cpu;
}

static bool fits(const struct placement_request *r, const struct placement_node *n)
{
    return placement_possible(r, n) && n->reserved_memory <= n->allocatable_memory - r->memory &&
           n->reserved_cpu <= n->allocatable_cpu - r->cpu;
}

static double share(uint64_t used, uint64_t of)
{
    return of ? (double)used / (double)of : 1;
}

static double score(const struct placement_request *r, const struct placement_node *n)
{
    double memory = share(n->reserved_memory + r->memory, n->allocatable_memory);
    double cpu = share(n->reserved_cpu + r->cpu, n->allocatable_cpu);
    double used = memory > cpu ? memory : cpu;
    double s = r->policy == PLACEMENT_PACK ? used : 1 - used;

    if (n->entry)
        s += entry_weight;
    if (n->has_code)
        s += code_weight;
    if (r->policy == PLACEMENT_SPREAD)
        s -= same_weight * (double)n->same / (double)(n->same + 1);
    return s;
}

int placement_choose(const struct placement_request *r, const struct placement_node *nodes,
                     size_t n, size_t *ret_index)
{
    bool ready = false, possible = false, found = false;
    double best = 0;

    for (size_t i = 0; i < n; i++) {
        double s;

        if (!nodes[i].ready || nodes[i].cordoned)
            continue;
        ready = true;
        possible = possible || placement_possible(r, &nodes[i]);
        if (!fits(r, &nodes[i]))
            continue;
        s = score(r, &nodes[i]);
        if (!found || s > best) {
            found = true;
            best = s;
            *ret_index = i;
        }
    }
    if (found)
        return 0;
    return !ready ? -ENOENT : possible ? -ENOSPC : -ENXIO;
}
