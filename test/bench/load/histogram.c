/* histogram.c - see histogram.h. */
#include "bench/load/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    unsigned power;

    if (value < 2 * HISTOGRAM_SUB)
        return (unsigned)value;
    power = 63 - (unsigned)__builtin_clzll(value); /* 8 to 63 */
    return 2 * HISTOGRAM_SUB + (power - 8) * HISTOGRAM_SUB + (unsigned)(value >> (power - 7)) -
           HISTOGRAM_SUB;
}

static uint64_t top_of(unsigned bucket)
{
    unsigned power, sub;

    if (bucket < 2 * HISTOGRAM_SUB)
        return bucket;
    power = (bucket - 2 * HISTOGRAM_SUB) / HISTOGRAM_SUB + 8;
    sub = (bucket - 2 * HISTOGRAM_SUB) % HISTOGRAM_SUB + HISTOGRAM_SUB;
    return ((uint64_t)sub << (power - 7)) + ((1ULL << (power - 7)) - 1);
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    h->sum += (double)value;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_at(const struct histogram *h, double fraction)
{
    double exact = fraction * (double)h->count;
    uint64_t rank = (uint64_t)exact, seen = 0, top;

    if ((double)rank < exact || !rank)
        rank++;
    if (rank > h->count)
        rank = h->count;
    if (!rank)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            top = top_of(i);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}
