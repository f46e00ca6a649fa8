/* code.c - the pools' bridge to the code cache, which is the main loop's.
 *
 * A wish stays with its shard, the request for it with the main loop; letters
 * bring the number of the wish there and back. A package is held for the wish
 * until the instance gives it back, or at once if nobody waits any more. */
#include "code/cache.h"
#include "base/list.h"
#include "shard/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_MAX = 80 };

struct code_wish { /* the shard's */
    struct list link;
    void (*on_ready)(void *user, const char *dir, const struct err *e);
    void *of; /* NULL: forgotten */
};
struct code_request { /* the main loop's, while the cache has it */
    struct list link;
    struct shard *shard;
    struct code_wish *wish;
    char digest[DIGEST_MAX];
};
struct code_letter {
    struct letter letter;
    struct shard *shard;
    struct code_wish *wish;
    char digest[DIGEST_MAX];
    bool failed;
    union {
        char dir[PATH_MAX];
        struct err error;
    };
};

static struct code_letter *letter_of(struct shard *s, struct code_wish *w, const char *digest)
{
    struct code_letter *l = letter_make(sizeof(*l));

    l->shard = s;
    l->wish = w;
    snprintf(l->digest, sizeof(l->digest), "%s", digest);
    return l;
}

/* ---------------------------------------------------------------- back on the shard's loop */
static void on_answer(struct letter *letter, bool late)
{
    struct code_letter *l = (struct code_letter *)letter;
    struct code_wish w;

    if (late) /* the wish is freed, and the cache goes too */
        return;
    w = *l->wish;
    list_del(&l->wish->link);
    free(l->wish);
    if (w.of)
        w.on_ready(w.of, l->failed ? NULL : l->dir, l->failed ? &l->error : NULL);
    else if (!l->failed)
        code_release(l->shard, l->digest);
}

/* ---------------------------------------------------------------- the main loop */
static void answer(struct code_request *r, const char *dir, const struct err *e)
{
    struct code_letter *l = letter_of(r->shard, r->wish, r->digest);

    l->failed = e != NULL;
    if (e)
        l->error = *e;
    else
        snprintf(l->dir, sizeof(l->dir), "%s", dir);
    list_del(&r->link);
    free(r);
    letter_post(&l->shard->box, &l->letter, on_answer);
}

static void on_ready(void *user, const char *dir, const struct err *e)
{
    answer(user, dir, e);
}

static void on_wanted(struct letter *letter, bool late)
{
    struct code_letter *l = (struct code_letter *)letter;
    struct shards *all = l->shard->all;
    struct code_request *q = letter_make(sizeof(*q));
    struct err e;
    int r;

    (void)late;
    q->shard = l->shard;
    q->wish = l->wish;
    memcpy(q->digest, l->digest, sizeof(q->digest));
    list_push_back(&all->code_requests, &q->link);
    r = code_cache_get(all->config.code, q->digest, on_ready, q);
    if (r == 0)
        return;
    err_set(&e, -r, "%s", r == -EINVAL ? "its package has no valid digest" : strerror(-r));
    answer(q, NULL, &e);
}

static void on_released(struct letter *letter, bool late)
{
    struct code_letter *l = (struct code_letter *)letter;

    (void)late;
    if (l->shard->all->config.code)
        code_cache_release(l->shard->all->config.code, l->digest);
}

void code_done(struct shards *all)
{
    struct list *l;

    while ((l = list_pop_front(&all->code_requests))) {
        struct code_request *q = list_entry(l, struct code_request, link);

        code_cache_forget(all->config.code, q);
        free(q);
    }
    all->config.code = NULL;
}

/* ---------------------------------------------------------------- the shard's loop */
int code_get(void *user, const char *digest,
             void (*on_ready_here)(void *user, const char *dir, const struct err *e), void *of)
{
    struct shard *s = user;
    struct code_letter *l;
    struct code_wish *w;

    if (is_main(s))
        return code_cache_get(s->all->config.code, digest, on_ready_here, of);
    if (strlen(digest) >= DIGEST_MAX)
        return -EINVAL;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->on_ready = on_ready_here;
    w->of = of;
    list_push_back(&s->code_wishes, &w->link);
    l = letter_of(s, w, digest);
    letter_post(&s->all->box, &l->letter, on_wanted);
    return 0;
}

void code_release(void *user, const char *digest)
{
    struct shard *s = user;
    struct code_letter *l;

    if (is_main(s)) {
        code_cache_release(s->all->config.code, digest);
        return;
    }
    l = letter_of(s, NULL, digest);
    letter_post(&s->all->box, &l->letter, on_released);
}

void code_forget(void *user, void *of)
{
    struct shard *s = user;

    if (is_main(s)) {
        code_cache_forget(s->all->config.code, of);
        return;
    }
    list_for_each(it, &s->code_wishes)
    {
        struct code_wish *w = list_entry(it, struct code_wish, link);

        if (w->of == of)
            w->of = NULL;
    }
}

void code_shard_done(struct shard *s)
{
    struct list *l;

    while ((l = list_pop_front(&s->code_wishes)))
        free(list_entry(l, struct code_wish, link));
}
