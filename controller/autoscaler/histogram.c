#include "autoscaler/histogram.h"
#include "base/clock.h"

#define MINUTE_NS (60 * NS_PER_S)

static void fade(struct idle_histogram *h)
{
    h->within = 0;
    for (int i = 0; i < IDLE_MINUTES; i++) {
        h->minutes[i] /= 2;
        h->within += h->minutes[i];
    }
    h->beyond /= 2;
}

void idle_histogram_add(struct idle_histogram *h, uint64_t idle_ns)
{
    uint64_t minute = idle_ns / MINUTE_NS;

    if (h->within + h->beyond >= IDLE_TIMES_MAX)
        fade(h);
    if (minute < IDLE_MINUTES) {
        h->minutes[minute]++;
        h->within++;
    } else {
        h->beyond++;
    }
}

/* The bin in which the given share of the times is reached. */
static uint32_t percentile(const struct idle_histogram *h, uint32_t percent)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < IDLE_MINUTES; i++) {
        sum += h->minutes[i];
        if (sum * 100 >= (uint64_t)h->within * percent)
            return i;
    }
    return IDLE_MINUTES - 1;
}

/* (standard deviation / mean)^2 of the bins is at least 4. With n bins of sum s and sum of squares
 * q that is n q / s^2 - 1. */
static bool has_shape(const struct idle_histogram *h)
{
    uint64_t squares = 0, sum = h->within;

    for (int i = 0; i < IDLE_MINUTES; i++)
        squares += (uint64_t)h->minutes[i] * h->minutes[i];
    return IDLE_MINUTES * squares >= 5 * sum * sum;
}

struct idle_plan idle_histogram_plan(const struct idle_histogram *h)
{
    struct idle_plan p = {0};

    if (h->within < IDLE_TIMES_MIN || h->beyond > h->within || !has_shape(h))
        return p;
    p.known = true;
    /* the head is rounded down to the minute, the tail up */
    p.wake_ns = percentile(h, 5) * MINUTE_NS / 10 * 9;
    p.keep_ns = (percentile(h, 99) + 1) * MINUTE_NS / 10 * 11;
    return p;
}

bool idle_plan_awake(const struct idle_plan *p, uint64_t idle_ns, uint64_t settle_ns)
{
    return idle_ns < settle_ns || (idle_ns >= p->wake_ns && idle_ns < p->keep_ns);
}
