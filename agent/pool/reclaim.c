/* reclaim.c - see the header. */
#include "pool/reclaim.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "pool/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For each period. A write of 64 MiB to a fast disk takes some 100 ms; the kernel's own work per page is less. */
#define BYTES_MAX (64ull << 20)
#define TIME_MAX  (200 * NS_PER_MS)
enum { INSTANCES_A_PERIOD = 64 };

struct reclaim {
    const struct launcher *launcher;
    unsigned percent;
    char *cgroup, *proc;
    uint64_t period_ns;
    atomic_ullong bytes, instances;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    struct list waiting; /* frozen, nothing taken yet; the one that is frozen longest comes first */
    struct reclaim_entry *busy; /* the one that is taken from, as long as it stays frozen */
    bool stop;
};

/* ---------------------------------------------------------------- the pools' side */

void reclaim_frozen(struct reclaim *r, struct reclaim_entry *e, const char *cgroup)
{
    if (!r)
        return;
    snprintf(e->cgroup, sizeof(e->cgroup), "%s", cgroup);
    atomic_store(&e->taken, false);
    pthread_mutex_lock(&r->lock);
    if (list_empty(&r->waiting))
        pthread_cond_signal(&r->wake);
    list_push_back(&r->waiting, &e->link);
    e->listed = true;
    pthread_mutex_unlock(&r->lock);
}

void reclaim_thawed(struct reclaim *r, struct reclaim_entry *e)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (e->listed)
        list_del(&e->link);
    e->listed = false;
    if (r->busy == e)
        r->busy = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* ---------------------------------------------------------------- the thread */

/* The one that is frozen longest; it may thaw meanwhile, which only makes the work vain. */
static bool take_first(struct reclaim *r, char ret_cgroup[CGROUP_NAME_MAX])
{
    struct reclaim_entry *e;
    struct list *l;

    pthread_mutex_lock(&r->lock);
    l = list_pop_front(&r->waiting);
    if (l) {
        e = r->busy = list_entry(l, struct reclaim_entry, link);
        e->listed = false;
        memcpy(ret_cgroup, e->cgroup, CGROUP_NAME_MAX);
    }
    pthread_mutex_unlock(&r->lock);
    return l != NULL;
}

static void took(struct reclaim *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->busy)
        atomic_store(&r->busy->taken, true);
    r->busy = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* False: the kernel has no way. */
static bool take_some(struct reclaim *r)
{
    uint64_t until = clock_monotonic_ns() + TIME_MAX, left = BYTES_MAX;
    char cgroup[CGROUP_NAME_MAX];

    for (int n = 0; n < INSTANCES_A_PERIOD && left && clock_monotonic_ns() < until; n++) {
        uint64_t freed = 0;
        int e;

        if (!take_first(r, cgroup))
            break;
        e = launcher_reclaim(r->launcher, cgroup, left, &freed);
        took(r);
        if (e == -EOPNOTSUPP) {
            log_warn("memory of frozen instances is not reclaimed: this kernel has no way");
            return false;
        }
        if (e < 0 && e != -ENOENT)
            log_warn("reclaim from %s: %s", cgroup, strerror(-e));
        atomic_fetch_add(&r->bytes, freed);
        atomic_fetch_add(&r->instances, e == 0);
        left -= freed < left ? freed : left;
    }
    return true;
}

/* Until something is frozen and the period has passed; false: the end. */
static bool wait_a_period(struct reclaim *r)
{
    uint64_t due = clock_monotonic_ns() + r->period_ns;
    struct timespec at = {.tv_sec = (time_t)(due / NS_PER_S), .tv_nsec = (long)(due % NS_PER_S)};
    bool stop;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && pthread_cond_timedwait(&r->wake, &r->lock, &at) != ETIMEDOUT)
        ;
    while (!r->stop && list_empty(&r->waiting))
        pthread_cond_wait(&r->wake, &r->lock);
    stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return !stop;
}

static void *watcher(void *user)
{
    struct reclaim *r = user;

    while (wait_a_period(r)) {
        struct memory_state m;

        if (memory_look(r->proc, r->cgroup, &m) == 0 && memory_short(&m, r->percent) && !take_some(r))
            break;
    }
    return NULL;
}

/* ---------------------------------------------------------------- life */

static int start(struct reclaim *r)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return thread_start(&r->thread, watcher, r);
}

static void release(struct reclaim *r)
{
    free(r->cgroup);
    free(r->proc);
    free(r);
}

int reclaim_new(const struct reclaim_config *c, struct reclaim **ret)
{
    struct reclaim *r = calloc(1, sizeof(*r));
    int e;

    if (!r)
        return -ENOMEM;
    r->launcher = c->launcher;
    r->percent = c->below_percent;
    r->period_ns = c->period_ns ? c->period_ns : NS_PER_S;
    r->cgroup = c->cgroup ? strdup(c->cgroup) : NULL;
    r->proc = strdup(c->proc ? c->proc : "/proc");
    list_init(&r->waiting);
    e = !r->proc || (c->cgroup && !r->cgroup) ? -ENOMEM : start(r);
    if (e < 0) {
        release(r);
        return e;
    }
    *ret = r;
    return 0;
}

struct reclaim *reclaim_free(struct reclaim *r)
{
    if (!r)
        return NULL;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    release(r);
    return NULL;
}

void reclaim_metrics(const struct reclaim *r, struct buffer *out)
{
    if (!r)
        return;
    metrics_family(out, "rouse_reclaimed_bytes_total", "counter",
                   "Memory that frozen instances gave back while the node was short of it.");
    metrics_sample(out, "rouse_reclaimed_bytes_total", (double)atomic_load(&r->bytes), NULL);
    metrics_family(out, "rouse_reclaimed_instances_total", "counter",
                   "Frozen instances that were asked for memory.");
    metrics_sample(out, "rouse_reclaimed_instances_total", (double)atomic_load(&r->instances), NULL);
}
