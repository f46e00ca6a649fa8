#include "flow/window.h"
#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct bucket {
    double sum;
    uint32_t records;
};
struct window {
    uint32_t seconds;
    bool used;
    uint64_t first, last; /* seconds of the first and the last record of this run */
    struct bucket buckets[];
};

int window_new(uint32_t seconds, struct window **ret)
{
    struct window *w;

    if (!seconds || seconds > WINDOW_SECONDS_MAX)
        return -EINVAL;
    w = calloc(1, sizeof(*w) + seconds * sizeof(w->buckets[0]));
    if (!w)
        return -ENOMEM;
    w->seconds = seconds;
    *ret = w;
    return 0;
}

struct window *window_free(struct window *w)
{
    free(w);
    return NULL;
}

void window_record(struct window *w, uint64_t now_ns, double value)
{
    uint64_t second = now_ns / NS_PER_S;
    struct bucket *b;

    if (!w->used || second >= w->last + w->seconds) {
        for (uint32_t i = 0; i < w->seconds; i++)
            w->buckets[i] = (struct bucket){0};
        w->used = true;
        w->first = w->last = second;
    }
    while (w->last < second)
        w->buckets[++w->last % w->seconds] = (struct bucket){0};
    b = &w->buckets[w->last % w->seconds];
    b->sum += value;
    b->records++;
}

/* The mean with each second weighing `decay` of the one after it. */
static double average(const struct window *w, uint64_t now_ns, uint32_t seconds, double decay)
{
    uint64_t now = now_ns / NS_PER_S, from;
    double total = 0, weights = 0;

    if (!w->used || !seconds)
        return 0;
    if (now < w->last)
        now = w->last;
    if (now - w->last >= seconds)
        return 0;
    from = now + 1 > seconds ? now + 1 - seconds : 0;
    if (from < w->first)
        from = w->first;
    for (uint64_t s = from; s <= w->last; s++) {
        const struct bucket *b = &w->buckets[s % w->seconds];

        total = total * decay + (b->records ? b->sum / b->records : 0);
        weights = weights * decay + 1;
    }
    return total / weights;
}

double window_average(const struct window *w, uint64_t now_ns, uint32_t seconds)
{
    return average(w, now_ns, seconds < w->seconds ? seconds : w->seconds, 1);
}

double window_weighted(const struct window *w, uint64_t now_ns, uint32_t seconds)
{
    seconds = seconds < w->seconds ? seconds : w->seconds;
    return average(w, now_ns, seconds, seconds / (seconds + 9.0));
}
