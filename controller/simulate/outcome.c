#include "simulate/outcome.h"
#include "base/clock.h"

#include <math.h>

/* Bucket 0 is "not at all"; bucket n ends at 1 us x 1.07^n: the last one is more than a week. */
#define BASE 1.07

void outcome_began(struct outcome *o, uint64_t waited_ns, bool cold)
{
    size_t at = 0;

    if (waited_ns)
        at = 1 + (size_t)fmax(0, log((double)waited_ns / NS_PER_US) / log(BASE));
    o->waits[at < WAIT_BUCKETS ? at : WAIT_BUCKETS - 1]++;
    o->calls++;
    o->cold += cold;
}

void outcome_start(struct outcome *o, uint32_t memory)
{
    o->starts++;
    o->memory_now += memory;
    if (o->memory_peak < o->memory_now)
        o->memory_peak = o->memory_now;
}

void outcome_end(struct outcome *o, uint32_t memory, uint64_t lived_ns, uint64_t busy_ns)
{
    double lived = (double)lived_ns / NS_PER_S;

    o->memory_now -= memory;
    o->instance_s += lived;
    o->busy_s += (double)busy_ns / NS_PER_S;
    o->memory_s += lived * memory;
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
