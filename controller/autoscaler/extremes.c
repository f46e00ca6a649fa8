#include "autoscaler/extremes.h"
#include "base/clock.h"

#include <stdbool.h>

enum { SLOTS = EXTREMES_BUCKETS + 1 };

void extremes_init(struct extremes *e, uint32_t seconds)
{
    uint64_t width = (seconds + EXTREMES_BUCKETS - 2) / (EXTREMES_BUCKETS - 1);

    *e = (struct extremes){.window_ns = seconds * NS_PER_S,
                           .width_ns = (width ? width : 1) * NS_PER_S};
}

static uint64_t number_at(const struct extremes *e, uint64_t ns)
{
    return ns / e->width_ns + 1;
}

/* The first bucket of the window: what was said exactly a window ago has just left it. */
static uint64_t first_at(const struct extremes *e, uint64_t now_ns)
{
    return now_ns < e->window_ns ? 1 : number_at(e, now_ns - e->window_ns + 1);
}

void extremes_record(struct extremes *e, uint64_t now_ns, uint32_t value)
{
    uint64_t n = number_at(e, now_ns);

    if (n < e->newest)
        n = e->newest;
    e->newest = n;
    if (e->buckets[n % SLOTS].number != n) {
        e->buckets[n % SLOTS].number = n;
        e->buckets[n % SLOTS].high = e->buckets[n % SLOTS].low = value;
    }
    if (e->buckets[n % SLOTS].high < value)
        e->buckets[n % SLOTS].high = value;
    if (e->buckets[n % SLOTS].low > value)
        e->buckets[n % SLOTS].low = value;
}

uint32_t extremes_high(const struct extremes *e, uint64_t now_ns, uint32_t none)
{
    uint64_t first = first_at(e, now_ns);
    bool any = false;
    uint32_t high = 0;

    for (int i = 0; i < SLOTS; i++) {
        if (!e->buckets[i].number || e->buckets[i].number < first)
            continue;
        if (e->buckets[i].high > high)
            high = e->buckets[i].high;
        any = true;
    }
    return any ? high : none;
}

uint32_t extremes_low(const struct extremes *e, uint64_t now_ns, uint32_t none)
{
    uint64_t first = first_at(e, now_ns);
    uint32_t low = UINT32_MAX;

    for (int i = 0; i < SLOTS; i++)
        if (e->buckets[i].number && e->buckets[i].number >= first && e->buckets[i].low < low)
            low = e->buckets[i].low;
    return low == UINT32_MAX ? none : low;
}
