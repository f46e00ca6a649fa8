/* cache_jobs.c - fetches, removals and syncs: done by workers.h's threads, back on the loop. */
#include "code/cache_internal.h"
#include "code/fetch.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct worker_job base;
    struct code_cache *cache;
    enum { JOB_FETCH, JOB_REMOVE, JOB_SETTLE } kind;
    char hex[SHELF_HEX + 1];
    char dir[PATH_MAX];            /* to remove */
    char (*names)[SHELF_NAME_MAX]; /* to settle */
    size_t count;
    int result;
    uint64_t size;
    struct err error;
};
static void on_job_done(struct worker_job *base, bool undone);

static void job_run(struct worker_job *base)
{
    struct job *j = container_of(base, struct job, base);
    struct fetch_source s = {
        .api_url = j->cache->api_url,
        .token = j->cache->token,
        .cache_dir = j->cache->dir,
        .unpack_program = j->cache->unpack_program,
        .stop_fd = j->cache->stop_fd,
    };

    if (j->kind == JOB_FETCH)
        j->result = fetch_package(&s, j->hex, &j->size, &j->error);
    else
        j->result = j->kind == JOB_REMOVE ? file_remove_tree(j->dir)
                                          : shelf_settle(j->cache->dir, j->names, j->count);
}

static struct job *job_new(struct code_cache *c, int kind)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->cache = c;
    j->kind = kind;
    j->base.run = job_run;
    j->base.done = on_job_done;
    c->jobs++;
    return j;
}

static void job_free(struct job *j)
{
    free(j->names);
    free(j);
}

int cache_post_fetch(struct code_cache *c, const char *hex, bool again)
{
    struct job *j = job_new(c, JOB_FETCH);

    if (!j)
        return -ENOMEM;
    snprintf(j->hex, sizeof(j->hex), "%s", hex);
    if (again)
        workers_chore(c->workers, &j->base);
    else
        workers_fetch(c->workers, &j->base);
    return 0;
}

void cache_post_remove(struct code_cache *c, const char *dir)
{
    struct job *j = job_new(c, JOB_REMOVE);

    if (!j)
        return; /* the next life's */
    snprintf(j->dir, sizeof(j->dir), "%s", dir);
    workers_chore(c->workers, &j->base);
}

void cache_post_settle(struct code_cache *c)
{
    struct job *j = c->settling || !c->unsettled ? NULL : job_new(c, JOB_SETTLE);

    if (!j)
        return;
    j->names = calloc(c->unsettled, sizeof(*j->names));
    if (!j->names) {
        c->jobs--;
        job_free(j);
        return;
    }
    map_for_each(it, &c->entries)
    {
        struct entry *n = map_entry(it, struct entry, node);

        if (n->state == ENTRY_PRESENT && !n->settled && j->count < c->unsettled) {
            shelf_name(j->names[j->count++], n->hex, n->size);
            n->settled = true;
        }
    }
    c->unsettled = 0;
    c->settling = true;
    workers_chore(c->workers, &j->base);
}

static void on_job_done(struct worker_job *base, bool undone)
{
    struct job *j = container_of(base, struct job, base);
    struct code_cache *c = j->cache;

    c->jobs--;
    if (c->closed) {
        if (!c->jobs)
            cache_destroy(c);
    } else if (undone) {
        /* Only at the end. */
    } else if (j->kind == JOB_FETCH) {
        cache_fetched(c, j->hex, j->result, j->size, &j->error);
    } else {
        if (j->result < 0)
            log_warn("code cache: %s %s: %s", j->kind == JOB_REMOVE ? "removing" : "syncing",
                     j->kind == JOB_REMOVE ? j->dir : c->dir, strerror(-j->result));
        if (j->kind == JOB_SETTLE) {
            c->settling = false;
            cache_post_settle(c);
        }
    }
    job_free(j);
}
