#include "cgroup/freezer.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct change {
    struct list link;
    uint64_t asked;
    char cgroup[CGROUP_NAME_MAX];
};

struct freezer {
    const struct cgroups *cgroups;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    struct list thaws, freezes; /* struct change, the oldest first */
    struct histogram thaw_seconds;
    bool stop;
};

static const double bounds[HISTOGRAM_BUCKETS] = {
    5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1,
};

/* ---- the thread */
static struct change *next(struct freezer *f, bool *ret_frozen)
{
    struct list *l;

    pthread_mutex_lock(&f->lock);
    while (list_empty(&f->thaws) && list_empty(&f->freezes) && !f->stop)
        pthread_cond_wait(&f->wake, &f->lock);
    l = f->stop ? NULL : list_pop_front(&f->thaws);
    *ret_frozen = !l;
    if (!l && !f->stop)
        l = list_pop_front(&f->freezes);
    pthread_mutex_unlock(&f->lock);
    return l ? list_entry(l, struct change, link) : NULL;
}

static void *writer(void *user)
{
    struct freezer *f = user;
    struct change *c;
    bool frozen;

    while ((c = next(f, &frozen))) {
        int r = cgroup_freeze(f->cgroups, c->cgroup, frozen);

        if (r < 0 && r != -ENOENT)
            log_warn("%s %s: %s", frozen ? "freeze" : "thaw", c->cgroup, strerror(-r));
        if (!frozen) {
            double took = (double)(clock_monotonic_ns() - c->asked) / (double)NS_PER_S;

            pthread_mutex_lock(&f->lock);
            histogram_observe(&f->thaw_seconds, took);
            pthread_mutex_unlock(&f->lock);
        }
        free(c);
    }
    return NULL;
}

/* ---- from any other */
static void forget(struct list *changes, const char *cgroup)
{
    list_for_each(it, changes)
    {
        struct change *c = list_entry(it, struct change, link);

        if (cgroup && strcmp(c->cgroup, cgroup))
            continue;
        list_del(&c->link);
        free(c);
    }
}

int freezer_set(struct freezer *f, const char *cgroup, bool frozen)
{
    int r = cgroup_may_freeze(f->cgroups, cgroup);
    struct change *c = r == 0 ? calloc(1, sizeof(*c)) : NULL;

    if (!c)
        return r < 0 ? r : -ENOMEM;
    snprintf(c->cgroup, sizeof(c->cgroup), "%s", cgroup);
    c->asked = clock_monotonic_ns();
    pthread_mutex_lock(&f->lock);
    /* The thaw is written all the same: there may have been a freeze before that one. */
    if (!frozen)
        forget(&f->freezes, cgroup);
    list_push_back(frozen ? &f->freezes : &f->thaws, &c->link);
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    return 0;
}

void freezer_metrics(struct freezer *f, struct buffer *out)
{
    struct histogram h;

    pthread_mutex_lock(&f->lock);
    h = f->thaw_seconds;
    pthread_mutex_unlock(&f->lock);
    metrics_family(out, "rouse_thaw_seconds", "histogram",
                   "Time from the wish for an instance that is frozen to its thaw.");
    metrics_histogram(out, "rouse_thaw_seconds", &h, NULL);
}

/* ---- life */
int freezer_new(const struct cgroups *c, struct freezer **ret)
{
    struct freezer *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    f->cgroups = c;
    list_init(&f->thaws);
    list_init(&f->freezes);
    histogram_init(&f->thaw_seconds, bounds);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    r = thread_start(&f->thread, writer, f);
    if (r < 0) {
        free(f);
        return r;
    }
    *ret = f;
    return 0;
}

struct freezer *freezer_free(struct freezer *f)
{
    if (!f)
        return NULL;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    forget(&f->thaws, NULL);
    forget(&f->freezes, NULL);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return NULL;
}
