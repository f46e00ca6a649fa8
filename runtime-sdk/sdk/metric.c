/* metric.c - rouse_metric_set(): the instance's gauges, as the agent has them. Any thread. */
#include "sdk/metric.h"

#include "rouse/rouse.h"
#include "sched/lock.h"
#include "wire/gauge.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { CLOSE_TRIES = 100 };

/* Queued under the lock: in the order of the values, and never once it is closed. */
static struct {
    struct spin lock;
    struct outbox *outbox;     /* NULL: closed */
    _Atomic unsigned flushing; /* who has queued and is not done with the outbox */
    struct gauges gauges;
} metrics;

void metric_open(struct outbox *o)
{
    spin_acquire(&metrics.lock);
    metrics.outbox = o;
    metrics.gauges = (struct gauges){0};
    spin_release(&metrics.lock);
}

/* All tasks have ended. A thread may wait for the agent to read: then the connection ends, since the outbox is freed next. */
bool metric_close(void)
{
    struct outbox *o = metrics.outbox;

    spin_acquire(&metrics.lock);
    metrics.outbox = NULL;
    spin_release(&metrics.lock);
    for (int i = 0; atomic_load(&metrics.flushing); i++) {
        if (i == CLOSE_TRIES)
            outbox_give_up(o);
        if (i == 2 * CLOSE_TRIES)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

/* What the agent has already is not told again. Kept once it is queued. */
static int set(const char *name, size_t n, double value, struct outbox **ret_flush)
{
    const struct gauge *had = gauges_find(&metrics.gauges, name, n);
    struct outbox *o = metrics.outbox;
    uint8_t payload[FRAME_METRIC_MAX];
    int r;

    if (!o)
        return -ENOTCONN;
    if (!had && metrics.gauges.count == GAUGES_MAX)
        return -ENOSPC;
    if (had && had->value == value)
        return 0;
    if (atomic_load(&o->waiting) >= OUTBOX_ROOM)
        return -EAGAIN;
    r = outbox_queue(o, FRAME_METRIC, 0, 0, payload, frame_metric_put(payload, name, n, value));
    if (r < 0)
        return r;
    (void)gauges_set(&metrics.gauges, name, n, value, NULL);
    atomic_fetch_add(&metrics.flushing, 1);
    *ret_flush = o;
    return 0;
}

int rouse_metric_set(const char *name, double value)
{
    size_t n = strnlen(name, GAUGE_NAME_MAX + 1);
    struct outbox *flush = NULL;
    int r;

    if (gauge_refusal(name, n, value))
        return -EINVAL;
    spin_acquire(&metrics.lock);
    r = set(name, n, value, &flush);
    spin_release(&metrics.lock);
    if (flush) {
        outbox_flush_soon(flush);
        atomic_fetch_sub(&metrics.flushing, 1);
    }
    return r;
}
