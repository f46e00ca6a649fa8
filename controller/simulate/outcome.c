#include "simulate/outcome.h"
#include "base/clock.h"

#include <math.h>

/* Bucket 0 is "not at all"; bucket n ends at 1 us x 1.07^n: the last one is more than a week. */
#define BASE 1.07
/* Of a NodePool: scaleUp.utilization and scaleDown.after. */
#define PACK_SHARE 0.8
#define PACK_NS    (600 * NS_PER_S)

void outcome_begin(struct outcome *o, uint64_t end)
{
    o->slice_ns = end / MEMORY_SLICES + 1;
}

void outcome_began(struct outcome *o, uint64_t waited_ns, bool cold)
{
    size_t at = 0;

    if (waited_ns)
        at = 1 + (size_t)fmax(0, log((double)waited_ns / NS_PER_US) / log(BASE));
    o->waits[at < WAIT_BUCKETS ? at : WAIT_BUCKETS - 1]++;
    o->calls++;
    o->cold += cold;
}

void outcome_start(struct outcome *o)
{
    o->starts++;
}

static size_t slice_of(const struct outcome *o, uint64_t at)
{
    uint64_t s = at / o->slice_ns;

    return s < MEMORY_SLICES ? (size_t)s : MEMORY_SLICES;
}

void outcome_end(struct outcome *o, uint32_t memory, uint64_t from, uint64_t to, uint64_t busy_ns)
{
    size_t first, last;

    if (to <= from)
        return;
    first = slice_of(o, from);
    last = slice_of(o, to);
    o->instance_s += (double)(to - from) / NS_PER_S;
    o->busy_s += (double)busy_ns / NS_PER_S;
    o->memory_s += (double)(to - from) / NS_PER_S * memory;
    if (first == last) {
        o->part[first] += (double)(to - from) * memory;
        return;
    }
    o->part[first] += (double)((first + 1) * o->slice_ns - from) * memory;
    o->part[last] += (double)(to - last * o->slice_ns) * memory;
    o->whole[first + 1] += memory;
    o->whole[last] -= memory;
}

void outcome_node(struct outcome *o, uint64_t from, uint64_t to)
{
    o->node_s += (double)(to - from) / NS_PER_S;
}

/* From differences and parts to MiB, in part[]. */
void outcome_close(struct outcome *o)
{
    double there = 0;

    for (size_t s = 0; s < MEMORY_SLICES; s++) {
        there += o->whole[s];
        o->whole[s] = 0;
        o->part[s] = there + o->part[s] / (double)o->slice_ns;
        o->memory_peak = fmax(o->memory_peak, o->part[s]);
    }
}

void outcome_pack(struct outcome *o, double node_memory)
{
    size_t kept = (size_t)(PACK_NS / o->slice_ns) + 1;

    o->node_s = o->node_peak = 0;
    for (size_t s = 0; s < MEMORY_SLICES; s++) {
        double nodes = 0;

        for (size_t k = s < kept ? 0 : s - kept; k <= s; k++)
            nodes = fmax(nodes, ceil(o->part[k] / (PACK_SHARE * node_memory)));
        o->node_s += nodes * (double)o->slice_ns / NS_PER_S;
        o->node_peak = fmax(o->node_peak, nodes);
    }
}

double outcome_wait(const struct outcome *o, double share)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < WAIT_BUCKETS; i++) {
        seen += o->waits[i];
        if (seen && (double)seen >= share * (double)o->calls)
            return i ? NS_PER_US * pow(BASE, (double)i) : 0;
    }
    return 0;
}
