/* cache.c - which packages are here, who waits for one, who holds one, which goes first. The loop's thread. */
#include "code/cache_internal.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { WAITERS_MAX = 20000 };

/* One code_cache_get(); its timer delivers, so that no callback runs under its caller. */
struct waiter {
    struct loop_timer timer;
    struct list link;
    struct code_cache *cache;
    struct entry *entry;
    void (*on_ready)(void *user, const char *dir, const struct err *e);
    void *user;
};

/* ---------------------------------------------------------------- entries */

struct entry *cache_entry_new(struct code_cache *c, const char *hex, enum entry_state state)
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

void cache_entry_present(struct code_cache *c, struct entry *n, uint64_t size)
{
    char name[SHELF_NAME_MAX];

    shelf_name(name, n->hex, size);
    sprintf(n->dir, "%s/%s", c->dir, name);
    n->state = ENTRY_PRESENT;
    n->size = size;
    c->size += size;
}

void cache_entry_free(struct entry *n)
{
    if (n)
        free(n->error);
    free(n);
}

struct entry *cache_entry_get(const struct code_cache *c, const char *hex)
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
        cache_post_remove(c, gone);
    log_debug("code cache: evicted sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
    list_del(&n->lru);
    map_del(&c->entries, &n->node);
    c->size -= n->size;
    c->evictions++;
    cache_entry_free(n);
}

void cache_evict_to(struct code_cache *c, uint64_t limit)
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
    cache_evict_to(c, c->size_limit);
}

/* ---------------------------------------------------------------- waiters */

static void waiter_free(struct waiter *w)
{
    struct entry *n = w->entry;

    loop_timer_cancel(w->cache->loop, &w->timer);
    list_del(&w->link);
    w->cache->waiter_count--;
    if (!--n->waiters && n->state == ENTRY_FAILED)
        cache_entry_free(n);
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
        cache_entry_free(n);
    else
        wake_waiters(c, n);
}

void cache_fetched(struct code_cache *c, const char *hex, int result, uint64_t size,
                   const struct err *e)
{
    struct entry *n = cache_entry_get(c, hex);

    if (!n)
        return;
    if ((result == -ENOSPC || result == -EDQUOT) && !n->again && !list_empty(&c->lru)) {
        n->again = true;
        cache_evict_to(c, 0);
        if (cache_post_fetch(c, n->hex, true) == 0)
            return;
    }
    if (result < 0) {
        failed(c, n, e);
        return;
    }
    cache_entry_present(c, n, size);
    log_debug("code cache: has sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
    c->unsettled++;
    cache_post_settle(c);
    if (!n->holds)
        list_push_back(&c->lru, &n->lru);
    cache_evict_to(c, c->size_limit);
    wake_waiters(c, n);
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
    n = cache_entry_get(c, hex);
    if (n && n->state == ENTRY_PRESENT)
        c->hits++;
    else
        c->misses++;
    if (!n) {
        n = cache_entry_new(c, hex, ENTRY_FETCHING);
        if (!n || cache_post_fetch(c, hex, false) < 0) {
            if (n)
                map_del(&c->entries, &n->node);
            cache_entry_free(n);
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
    struct entry *n =
        package_digest_valid(digest) ? cache_entry_get(c, digest + strlen("sha256:")) : NULL;

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

void cache_forget_all(struct code_cache *c)
{
    while (!list_empty(&c->waiters))
        waiter_free(list_entry(c->waiters.next, struct waiter, link));
    map_for_each(it, &c->entries) cache_entry_free(map_entry(it, struct entry, node));
    map_done(&c->entries);
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
