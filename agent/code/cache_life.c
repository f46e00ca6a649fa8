/* cache_life.c - the start, with what an earlier life left, and the end. */
#include "code/cache_internal.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void cache_destroy(struct code_cache *c)
{
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    free(c->dir);
    free(c->api_url);
    free(c->token);
    free(c->unpack_program);
    free(c);
}

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

    cache_post_remove(a->cache, path);
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
    if (cache_entry_get(c, i->hex))
        return;
    n = cache_entry_new(c, i->hex, ENTRY_PRESENT);
    if (!n)
        return;
    cache_entry_present(c, n, i->size);
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
    cache_evict_to(c, c->size_limit);
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
    cache_forget_all(c);
    if (!c->jobs)
        cache_destroy(c);
    return NULL;
}
