/* cache.c - which packages are here, who waits for one, who holds one, which goes first.
 *
 * Everything but worker() runs on the loop's thread. Jobs go to the workers
 * through a queue under one mutex and come back as mail. */
#include "code/cache.h"
#include "code/fetch.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/random.h"
#include "package/package.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { WORKERS = 2, WAITERS_MAX = 20000 };
#define SIZE_LIMIT_DEFAULT (10ull << 30)

enum entry_state { ENTRY_FETCHING, ENTRY_PRESENT, ENTRY_FAILED };

struct entry {
    struct map_node node; /* by hex; not in the map once failed */
    struct list lru;      /* in code_cache.lru while present and unheld */
    enum entry_state state;
    unsigned holds, waiters;
    uint64_t size;
    int64_t used;      /* mtime at adoption, to order what an earlier life left */
    struct err *error; /* once failed; NULL: no memory for it */
    char hex[HEX_MAX];
    char dir[];
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
    struct mail mail;
    struct list link;
    struct code_cache *cache;
    enum { JOB_FETCH, JOB_REMOVE } kind;
    char hex[HEX_MAX];
    char dir[PATH_MAX]; /* JOB_REMOVE */
    int result;
    uint64_t size;
    struct err error;
};
struct code_cache {
    struct loop *loop;
    char *dir, *api_url, *token;
    uint64_t size_limit, size;
    struct map entries;
    struct list lru; /* the least recently used first */
    struct list waiters;
    unsigned waiter_count;
    unsigned jobs; /* not yet back on the loop */
    bool closed;   /* freed by the owner; goes with its last job */

    pthread_t threads[WORKERS];
    unsigned thread_count;
    pthread_mutex_t lock; /* guards queue */
    pthread_cond_t wake;
    struct list queue;
    atomic_bool stop;
};

/* ---------------------------------------------------------------- workers */

static void on_job_done(struct mail *m);

static void job_run(struct job *j)
{
    struct fetch_source s = {
        .api_url = j->cache->api_url,
        .token = j->cache->token,
        .cache_dir = j->cache->dir,
        .stop = &j->cache->stop,
    };

    if (j->kind == JOB_FETCH)
        j->result = fetch_package(&s, j->hex, &j->size, &j->error);
    else
        j->result = file_remove_tree(j->dir);
}

static void *worker(void *user)
{
    struct code_cache *c = user;

    for (;;) {
        struct list *l;
        struct job *j;

        pthread_mutex_lock(&c->lock);
        while (list_empty(&c->queue) && !atomic_load(&c->stop))
            pthread_cond_wait(&c->wake, &c->lock);
        l = atomic_load(&c->stop) ? NULL : list_pop_front(&c->queue);
        pthread_mutex_unlock(&c->lock);
        if (!l)
            return NULL;
        j = list_entry(l, struct job, link);
        job_run(j);
        j->mail.fn = on_job_done;
        loop_post(c->loop, &j->mail);
    }
}

static int job_post(struct code_cache *c, int kind, const char *hex, const char *dir)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return -ENOMEM;
    j->cache = c;
    j->kind = kind;
    snprintf(j->hex, sizeof(j->hex), "%s", hex);
    snprintf(j->dir, sizeof(j->dir), "%s", dir);
    c->jobs++;
    pthread_mutex_lock(&c->lock);
    list_push_back(&c->queue, &j->link);
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static int workers_start(struct code_cache *c)
{
    sigset_t all, old;
    int r = 0;

    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (c->thread_count < WORKERS && r == 0) {
        r = pthread_create(&c->threads[c->thread_count], NULL, worker, c);
        if (r == 0)
            c->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

static void workers_stop(struct code_cache *c)
{
    struct list *l;

    pthread_mutex_lock(&c->lock);
    atomic_store(&c->stop, true);
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->thread_count; i++)
        pthread_join(c->threads[i], NULL);
    c->thread_count = 0;
    while ((l = list_pop_front(&c->queue))) {
        free(list_entry(l, struct job, link));
        c->jobs--;
    }
}

/* ---------------------------------------------------------------- entries */

static struct entry *entry_new(struct code_cache *c, const char *hex, enum entry_state state)
{
    size_t dir_size = strlen(c->dir) + 1 + strlen(hex) + 1;
    struct entry *n = calloc(1, sizeof(*n) + dir_size);

    if (!n)
        return NULL;
    list_init(&n->lru);
    n->state = state;
    snprintf(n->hex, sizeof(n->hex), "%s", hex);
    snprintf(n->dir, dir_size, "%s/%s", c->dir, hex);
    if (map_put(&c->entries, &n->node, n->hex, strlen(n->hex)) < 0) {
        free(n);
        return NULL;
    }
    return n;
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
        job_post(c, JOB_REMOVE, n->hex, gone);
    log_debug("code cache: evicted sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
    list_del(&n->lru);
    map_del(&c->entries, &n->node);
    c->size -= n->size;
    entry_free(n);
}

static void evict(struct code_cache *c)
{
    while (c->size > c->size_limit && !list_empty(&c->lru))
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
    evict(c);
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
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c->dir);
    free(c->api_url);
    free(c->token);
    free(c);
}

static void fetched(struct code_cache *c, struct job *j)
{
    struct entry *n = entry_get(c, j->hex);

    if (!n)
        return;
    if (j->result == 0) {
        n->state = ENTRY_PRESENT;
        n->size = j->size;
        c->size += n->size;
        log_debug("code cache: has sha256:%s size=%llu", n->hex, (unsigned long long)n->size);
        if (!n->holds)
            list_push_back(&c->lru, &n->lru);
        evict(c);
        wake_waiters(c, n);
        return;
    }
    log_warn("code cache: %s", j->error.message);
    n->state = ENTRY_FAILED;
    n->error = malloc(sizeof(*n->error));
    if (n->error)
        *n->error = j->error;
    map_del(&c->entries, &n->node);
    if (!n->waiters)
        entry_free(n);
    else
        wake_waiters(c, n);
}

static void on_job_done(struct mail *m)
{
    struct job *j = container_of(m, struct job, mail);
    struct code_cache *c = j->cache;

    c->jobs--;
    if (c->closed) {
        if (!c->jobs)
            cache_destroy(c);
    } else if (j->kind == JOB_FETCH) {
        fetched(c, j);
    } else if (j->result < 0) {
        log_warn("code cache: removing %s: %s", j->dir, strerror(-j->result));
    }
    free(j);
}

/* ---------------------------------------------------------------- start and end */

static int older_first(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

    return (x->used > y->used) - (x->used < y->used);
}

static bool is_hex(const char *name)
{
    char digest[PACKAGE_DIGEST_TEXT + 1];

    return strlen(name) == 64 && snprintf(digest, sizeof(digest), "sha256:%s", name) == 71 &&
           package_digest_valid(digest);
}

/* What an earlier life unpacked is taken over; what it left half done is removed. */
static int adopt(struct code_cache *c, struct err *e)
{
    struct entry **found = NULL;
    size_t count = 0, room = 0;
    struct dirent *d;
    DIR *dir = opendir(c->dir);

    if (!dir)
        return err_errno(e, errno, "code cache: %s", c->dir);
    while ((d = readdir(dir))) {
        char path[PATH_MAX];
        struct stat st;
        struct entry *n;

        if (snprintf(path, sizeof(path), "%s/%s", c->dir, d->d_name) >= (int)sizeof(path))
            continue;
        if (strstr(d->d_name, ".tmp.")) {
            file_remove_tree(path);
            continue;
        }
        if (!is_hex(d->d_name) || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        if (count == room) {
            struct entry **more =
                realloc(found, (room = room ? room * 2 : 64) * sizeof(struct entry *));

            if (!more)
                break;
            found = more;
        }
        n = entry_new(c, d->d_name, ENTRY_PRESENT);
        if (!n)
            break;
        n->used = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        n->size = fetch_tree_size(path);
        c->size += n->size;
        found[count++] = n;
    }
    closedir(dir);
    if (count)
        qsort(found, count, sizeof(struct entry *), older_first);
    for (size_t i = 0; i < count; i++)
        list_push_back(&c->lru, &found[i]->lru);
    free(found);
    return 0;
}

int code_cache_new(const struct code_cache_config *config, struct code_cache **ret, struct err *e)
{
    struct code_cache *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return err_set(e, ENOMEM, "out of memory");
    list_init(&c->lru);
    list_init(&c->waiters);
    list_init(&c->queue);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    c->loop = config->loop;
    c->size_limit = config->size_limit ? config->size_limit : SIZE_LIMIT_DEFAULT;
    c->api_url = strdup(config->api_url);
    c->token = config->token ? strdup(config->token) : NULL;
    if (!c->api_url || (config->token && !c->token) ||
        asprintf(&c->dir, "%s/cache", config->state_dir) < 0) {
        c->dir = NULL;
        cache_destroy(c);
        return err_set(e, ENOMEM, "out of memory");
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r = file_mkdirs(c->dir, 0755);
    r = r < 0 ? err_errno(e, -r, "code cache: %s", c->dir) : adopt(c, e);
    if (r == 0) {
        r = workers_start(c);
        if (r < 0)
            err_errno(e, -r, "code cache: threads");
    }
    if (r < 0) {
        code_cache_free(c);
        return r;
    }
    evict(c);
    *ret = c;
    return 0;
}

struct code_cache *code_cache_free(struct code_cache *c)
{
    if (!c)
        return NULL;
    workers_stop(c);
    while (!list_empty(&c->waiters))
        waiter_free(list_entry(c->waiters.next, struct waiter, link));
    map_for_each(it, &c->entries) entry_free(map_entry(it, struct entry, node));
    map_done(&c->entries);
    c->closed = true;
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
    if (!n) {
        n = entry_new(c, hex, ENTRY_FETCHING);
        if (!n || job_post(c, JOB_FETCH, hex, "") < 0) {
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
