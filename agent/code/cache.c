/* cache.c - which packages are here, who waits for one, who holds one, which goes first.
 *
 * All of it runs on the loop's thread; what waits is workers.h's. */
#include "code/cache.h"
#include "code/fetch.h"
#include "code/shelf.h"
#include "code/workers.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/random.h"
#include "package/package.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum { WAITERS_MAX = 20000 };

enum entry_state { ENTRY_FETCHING, ENTRY_PRESENT, ENTRY_FAILED };

struct entry {
    struct map_node node; /* by hex; not in the map once failed */
    struct list lru;      /* in code_cache.lru while present and unheld */
    enum entry_state state;
    unsigned holds, waiters;
    bool settled; /* synced, or about to be */
    bool again;   /* the disk was full: fetched once more, after all that is not held has gone */
    uint64_t size;
    int64_t used;      /* of an earlier life, to order what it left */
    struct err *error; /* once failed; NULL: no memory for it */
    char hex[SHELF_HEX + 1];
    char dir[]; /* once present */
};
/* One code_cache_get(); its timer delivers, so that no callback runs under its caller. */
struct waiter {
    struct loop_timer timer;
    struct list link;
    struct code_cache *cache;
    struct entry *entry;
    void (*on_ready)(void *user, const char *dir, const struct err *e);
    void *user;
};
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
struct code_cache {
    struct loop *loop;
    struct workers *workers;
    char *dir, *api_url, *token, *unpack_program;
    int stop_fd; /* readable once the end has begun: fetches give up */
    uint64_t size_limit, size;
    uint64_t hits, misses, evictions, failures;
    struct map entries;
    struct list lru; /* the least recently used first */
    struct list waiters;
    unsigned waiter_count;
    unsigned jobs; /* not yet back on the loop */
    unsigned unsettled;
    bool settling; /* one sync at a time, for all that came meanwhile */
    bool closed;   /* freed by the owner; goes with its last job */
};

/* ---------------------------------------------------------------- jobs */
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

/* One that is tried again is a chore: after the removals that make room for it. */
static int post_fetch(struct code_cache *c, const char *hex, bool again)
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

static void post_remove(struct code_cache *c, const char *dir)
{
    struct job *j = job_new(c, JOB_REMOVE);

    if (!j)
        return; /* the next life's */
    snprintf(j->dir, sizeof(j->dir), "%s", dir);
    workers_chore(c->workers, &j->base);
}

static void post_settle(struct code_cache *c)
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

/* ---------------------------------------------------------------- entries */

static struct entry *entry_new(struct code_cache *c, const char *hex, enum entry_state state)
{
    struct entry *n = calloc(1, sizeof(*n) + strlen(c->dir) + 1 + SHELF_NAME_MAX);

    if (!n)
        return NULL;
    list_init(&n->lru);
    n->state = state;
    snprintf(n->hex, sizeof(n->hex), "%s", hex);
    if (map_put(&c->entries, &n->node, n->hex, strlen(n->hex)) < 0) {
        free(n);
        return NULL;
    }
    return n;
}

static void entry_present(struct code_cache *c, struct entry *n, uint64_t size)
{
    char name[SHELF_NAME_MAX];

    shelf_name(name, n->hex, size);
    sprintf(n->dir, "%s/%s", c->dir, name);
    n->state = ENTRY_PRESENT;
    n->size = size;
    c->size += size;
}

static void entry_free(struct entry *n)
{
    if (n)
        free(n->error);
    free(n);
}

static struct entry *entry_get(const struct code_cache *c, const char *hex)
{
    struct map_node *n = map_get_str(&c->entries, hex);

    return n ? map_entry(n, struct entry, node) : NULL;
}

/* Out of the way at once by a rename; the deletion itself takes a worker's time. */
static void entry_evict(struct code_cache *c, struct entry *n)
{
    char gone[PATH_MAX], salt[17];

    random_hex(salt, 8);
    if (snprintf(gone, sizeof(gone), "%s/%s.tmp.%s", c->dir, n->hex, salt) < (int)sizeof(gone) &&
        rename(n->dir, gone) == 0)
        post_remove(c, gone);
    log_debug("code cache: evicted sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
    list_del(&n->lru);
    map_del(&c->entries, &n->node);
    c->size -= n->size;
    c->evictions++;
    entry_free(n);
}

static void evict_to(struct code_cache *c, uint64_t limit)
{
    while (c->size > limit && !list_empty(&c->lru))
        entry_evict(c, list_entry(c->lru.next, struct entry, lru));
}

static void entry_hold(struct entry *n)
{
    n->holds++;
    list_del(&n->lru);
}

static void entry_unhold(struct code_cache *c, struct entry *n)
{
    if (!n->holds || --n->holds || n->state != ENTRY_PRESENT)
        return;
    utimensat(AT_FDCWD, n->dir, NULL, 0);
    list_push_back(&c->lru, &n->lru);
    evict_to(c, c->size_limit);
}

/* ---------------------------------------------------------------- waiters */

static void waiter_free(struct waiter *w)
{
    struct entry *n = w->entry;

    loop_timer_cancel(w->cache->loop, &w->timer);
    list_del(&w->link);
    w->cache->waiter_count--;
    if (!--n->waiters && n->state == ENTRY_FAILED)
        entry_free(n);
    free(w);
}

static void on_waiter_due(struct loop_timer *t)
{
    struct waiter *w = container_of(t, struct waiter, timer);
    struct entry *n = w->entry;
    bool failed = n->state == ENTRY_FAILED;
    struct err e = {.code = ENOMEM, .message = "out of memory"};
    void (*on_ready)(void *, const char *, const struct err *) = w->on_ready;
    void *user = w->user;

    if (n->error)
        e = *n->error;
    waiter_free(w);
    /* A present entry is held by this wish, so it outlives the call. */
    on_ready(user, failed ? NULL : n->dir, failed ? &e : NULL);
}

static void wake_waiters(struct code_cache *c, struct entry *n)
{
    list_for_each(it, &c->waiters)
    {
        struct waiter *w = list_entry(it, struct waiter, link);

        if (w->entry == n)
            loop_timer_set(c->loop, &w->timer, loop_now(c->loop));
    }
}

static void cache_destroy(struct code_cache *c)
{
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    free(c->dir);
    free(c->api_url);
    free(c->token);
    free(c->unpack_program);
    free(c);
}

static void failed(struct code_cache *c, struct entry *n, const struct err *e)
{
    log_warn("code cache: %s", e->message);
    c->failures++;
    n->state = ENTRY_FAILED;
    n->error = malloc(sizeof(*n->error));
    if (n->error)
        *n->error = *e;
    map_del(&c->entries, &n->node);
    if (!n->waiters)
        entry_free(n);
    else
        wake_waiters(c, n);
}

static void fetched(struct code_cache *c, struct job *j)
{
    struct entry *n = entry_get(c, j->hex);

    if (!n)
        return;
    if ((j->result == -ENOSPC || j->result == -EDQUOT) && !n->again && !list_empty(&c->lru)) {
        n->again = true;
        evict_to(c, 0);
        if (post_fetch(c, n->hex, true) == 0)
            return;
    }
    if (j->result < 0) {
        failed(c, n, &j->error);
        return;
    }
    entry_present(c, n, j->size);
    log_debug("code cache: has sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
    c->unsettled++;
    post_settle(c);
    if (!n->holds)
        list_push_back(&c->lru, &n->lru);
    evict_to(c, c->size_limit);
    wake_waiters(c, n);
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
        fetched(c, j);
    } else {
        if (j->result < 0)
            log_warn("code cache: %s %s: %s", j->kind == JOB_REMOVE ? "removing" : "syncing",
                     j->kind == JOB_REMOVE ? j->dir : c->dir, strerror(-j->result));
        if (j->kind == JOB_SETTLE) {
            c->settling = false;
            post_settle(c);
        }
    }
    job_free(j);
}

/* ---------------------------------------------------------------- start and end */

struct adoption {
    struct code_cache *cache;
    struct entry **found;
    size_t count, room;
};

static int older_first(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

    return (x->used > y->used) - (x->used < y->used);
}

static void on_rest(void *user, const char *path)
{
    struct adoption *a = user;

    post_remove(a->cache, path);
}

static void on_item(void *user, const struct shelf_item *i)
{
    struct adoption *a = user;
    struct code_cache *c = a->cache;
    struct entry *n;

    if (a->count == a->room) {
        size_t want = a->room ? a->room * 2 : 64;
        struct entry **more = realloc(a->found, want * sizeof(struct entry *));

        if (!more)
            return;
        a->found = more;
        a->room = want;
    }
    if (entry_get(c, i->hex))
        return;
    n = entry_new(c, i->hex, ENTRY_PRESENT);
    if (!n)
        return;
    entry_present(c, n, i->size);
    n->settled = true;
    n->used = i->used;
    a->found[a->count++] = n;
}

/* What an earlier life unpacked is taken over; what it left half done is removed. */
static int adopt(struct code_cache *c, struct err *e)
{
    struct adoption a = {.cache = c};
    int r = shelf_scan(c->dir, on_item, on_rest, &a);

    if (a.count)
        qsort(a.found, a.count, sizeof(struct entry *), older_first);
    for (size_t i = 0; i < a.count; i++)
        list_push_back(&c->lru, &a.found[i]->lru);
    free(a.found);
    return r < 0 ? err_errno(e, -r, "code cache: %s", c->dir) : 0;
}

int code_cache_new(const struct code_cache_config *config, struct code_cache **ret, struct err *e)
{
    struct code_cache *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return err_set(e, ENOMEM, "out of memory");
    list_init(&c->lru);
    list_init(&c->waiters);
    c->loop = config->loop;
    c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->api_url = strdup(config->api_url);
    c->token = config->token ? strdup(config->token) : NULL;
    c->unpack_program = strdup(config->unpack_program);
    if (c->stop_fd < 0 || !c->api_url || (config->token && !c->token) || !c->unpack_program ||
        asprintf(&c->dir, "%s/cache", config->state_dir) < 0) {
        c->dir = NULL;
        cache_destroy(c);
        return err_set(e, ENOMEM, "out of memory");
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r = file_mkdirs(c->dir, 0755);
    if (r < 0)
        err_errno(e, -r, "code cache: %s", c->dir);
    else if ((r = workers_new(c->loop, &c->workers)) < 0)
        err_errno(e, -r, "code cache: threads");
    else
        r = adopt(c, e);
    if (r < 0) {
        code_cache_free(c);
        return r;
    }
    c->size_limit = config->size_limit ? config->size_limit : shelf_default_limit(c->dir);
    evict_to(c, c->size_limit);
    *ret = c;
    return 0;
}

struct code_cache *code_cache_free(struct code_cache *c)
{
    if (!c)
        return NULL;
    c->closed = true;
    eventfd_write(c->stop_fd, 1);
    c->jobs++; /* until the workers are gone, so that the last undone job does not end it */
    workers_free(c->workers);
    c->workers = NULL;
    c->jobs--;
    while (!list_empty(&c->waiters))
        waiter_free(list_entry(c->waiters.next, struct waiter, link));
    map_for_each(it, &c->entries) entry_free(map_entry(it, struct entry, node));
    map_done(&c->entries);
    if (!c->jobs)
        cache_destroy(c);
    return NULL;
}

/* ---------------------------------------------------------------- wishes */

int code_cache_get(struct code_cache *c, const char *digest,
                   void (*on_ready)(void *user, const char *dir, const struct err *e), void *user)
{
    const char *hex = digest + strlen("sha256:");
    struct entry *n;
    struct waiter *w;

    if (!package_digest_valid(digest))
        return -EINVAL;
    if (c->waiter_count >= WAITERS_MAX)
        return -ENOBUFS;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    n = entry_get(c, hex);
    if (n && n->state == ENTRY_PRESENT)
        c->hits++;
    else
        c->misses++;
    if (!n) {
        n = entry_new(c, hex, ENTRY_FETCHING);
        if (!n || post_fetch(c, hex, false) < 0) {
            if (n)
                map_del(&c->entries, &n->node);
            entry_free(n);
            free(w);
            return -ENOMEM;
        }
    }
    entry_hold(n);
    n->waiters++;
    *w = (struct waiter){.cache = c, .entry = n, .on_ready = on_ready, .user = user};
    w->timer.fn = on_waiter_due;
    list_push_back(&c->waiters, &w->link);
    c->waiter_count++;
    if (n->state == ENTRY_PRESENT)
        loop_timer_set(c->loop, &w->timer, loop_now(c->loop));
    return 0;
}

void code_cache_release(struct code_cache *c, const char *digest)
{
    struct entry *n = package_digest_valid(digest) ? entry_get(c, digest + strlen("sha256:")) : NULL;

    if (n)
        entry_unhold(c, n);
}

void code_cache_forget(struct code_cache *c, void *user)
{
    list_for_each(it, &c->waiters)
    {
        struct waiter *w = list_entry(it, struct waiter, link);
        struct entry *n = w->entry;
        bool failed = n->state == ENTRY_FAILED;

        if (w->user != user)
            continue;
        waiter_free(w);
        if (!failed)
            entry_unhold(c, n);
    }
}

/* ---------------------------------------------------------------- figures */

void code_cache_metrics(const struct code_cache *c, struct buffer *out)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        {"rouse_code_cache_bytes", "gauge", "What unpacked packages take on disk.", (double)c->size},
        {"rouse_code_cache_limit_bytes", "gauge", "Beyond it packages that are not in use go.",
         (double)c->size_limit},
        {"rouse_code_cache_packages", "gauge", "Packages here or on their way.",
         (double)c->entries.count},
        {"rouse_code_cache_hits_total", "counter", "Starts that found their package.",
         (double)c->hits},
        {"rouse_code_cache_misses_total", "counter", "Starts that waited for their package.",
         (double)c->misses},
        {"rouse_code_cache_evictions_total", "counter", "Packages removed to make room.",
         (double)c->evictions},
        {"rouse_code_cache_failures_total", "counter", "Packages that could not be had.",
         (double)c->failures},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metrics_family(out, all[i].name, all[i].type, all[i].help);
        metrics_sample(out, all[i].name, all[i].value, NULL);
    }
}
