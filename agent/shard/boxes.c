/* boxes.c - the pools' bridge to the launcher, which is the main loop's.
 *
 * A wish for a sandbox crosses in the launcher's own encoding. Whose it is is
 * kept here by its id until it is gone, so that what the launcher says finds its
 * pool. Descriptors are the letter's until the pool has them. */
#include "base/cleanup.h"
#include "base/log.h"
#include "launcher/launcher.h"
#include "sandbox/message.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BOX_ID_MAX = 64 };

struct box {
    struct map_node node; /* in shards.boxes, by id */
    struct shard *shard;
    char id[BOX_ID_MAX];
};

static struct box *box_find(const struct shards *all, const char *id)
{
    struct map_node *n = map_get_str(&all->boxes, id);

    return n ? map_entry(n, struct box, node) : NULL;
}

static struct shard *box_forget(struct shards *all, const char *id)
{
    struct box *b = box_find(all, id);
    struct shard *s = b ? b->shard : NULL;

    if (b)
        map_del(&all->boxes, &b->node);
    free(b);
    return s;
}

void boxes_done(struct shards *all)
{
    map_for_each(it, &all->boxes)
    {
        struct box *b = map_entry(it, struct box, node);

        map_del(&all->boxes, it);
        free(b);
    }
    map_done(&all->boxes);
}

/* ---------------------------------------------------------------- from the launcher */
struct news {
    struct letter letter;
    struct shard *shard;
    enum { NEWS_STARTED, NEWS_FAILED, NEWS_EXIT } kind;
    union {
        struct sandbox_started started;
        struct sandbox_exit exit;
        struct err failed;
    };
    char id[BOX_ID_MAX];
};

static void close_all(const struct sandbox_started *s)
{
    const int fds[] = {s->stdout_fd, s->stderr_fd, s->frames_listen_fd, s->api_listen_fd};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void tell_pool(const struct news *n)
{
    struct pool *p = n->shard->pool;

    switch (n->kind) {
    case NEWS_STARTED:
        pool_launcher_ops.on_started(p, n->id, &n->started);
        break;
    case NEWS_FAILED:
        pool_launcher_ops.on_failed(p, n->id, &n->failed);
        break;
    case NEWS_EXIT:
        pool_launcher_ops.on_exit(p, n->id, &n->exit);
        break;
    }
}

static void on_news(struct letter *l, bool late)
{
    struct news *n = (struct news *)l;

    if (!late)
        tell_pool(n);
    else if (n->kind == NEWS_STARTED)
        close_all(&n->started);
}

static void publish(struct shard *s, const struct news *n, const char *id)
{
    struct news *copy;

    if (!s || (is_main(s) && s->ended)) {
        if (n->kind == NEWS_STARTED)
            close_all(&n->started);
        return;
    }
    copy = letter_make(sizeof(*copy));
    *copy = *n;
    copy->shard = s;
    memcpy(copy->id, id, strlen(id) + 1); /* the launcher's, so it is short */
    if (!is_main(s)) {
        letter_post(&s->box, &copy->letter, on_news);
        return;
    }
    tell_pool(copy);
    free(copy);
}

static void on_started(void *user, const char *id, const struct sandbox_started *s)
{
    const struct box *b = box_find(user, id);

    publish(b ? b->shard : NULL, &(struct news){.kind = NEWS_STARTED, .started = *s}, id);
}

static void on_failed(void *user, const char *id, const struct err *e)
{
    publish(box_forget(user, id), &(struct news){.kind = NEWS_FAILED, .failed = *e}, id);
}

static void on_exit_of(void *user, const char *id, const struct sandbox_exit *e)
{
    publish(box_forget(user, id), &(struct news){.kind = NEWS_EXIT, .exit = *e}, id);
}

static void on_lost(void *user)
{
    struct shards *all = user;

    log_error("the launcher ended: so does the agent");
    loop_stop(all->config.loop);
}

const struct launcher_ops boxes_launcher_ops = {
    .on_started = on_started, .on_failed = on_failed, .on_exit = on_exit_of, .on_lost = on_lost};

/* ---------------------------------------------------------------- to the launcher */
/* A CREATE or an ADOPT: what the launcher says of that id is the shard's. */
static int ask(struct shard *s, const struct message *m)
{
    struct shards *all = s->all;
    struct box *b;
    int r;

    if (strlen(m->id) >= BOX_ID_MAX)
        return -EINVAL;
    if (box_find(all, m->id))
        return -EEXIST;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->shard = s;
    memcpy(b->id, m->id, strlen(m->id) + 1);
    r = map_put(&all->boxes, &b->node, b->id, strlen(b->id));
    if (r < 0) {
        free(b);
        return r;
    }
    r = m->type == MESSAGE_CREATE ? launcher_create(all->config.launcher, &m->spec)
                                  : launcher_adopt(all->config.launcher, &m->adoption);
    if (r < 0)
        box_forget(all, m->id);
    return r;
}

struct wish { /* for a sandbox, or for the end of one */
    struct letter letter;
    struct shard *shard;
    size_t size;
    uint8_t bytes[];
};

static void on_wish(struct letter *l, bool late)
{
    struct wish *w = (struct wish *)l;
    struct message m;
    struct err e;
    int r = message_decode(w->bytes, w->size, &m);

    (void)late;
    if (r < 0) {
        log_error("a sandbox that cannot be asked for: %s", strerror(-r));
        return;
    }
    if (m.type == MESSAGE_STOP) {
        launcher_stop_sandbox(w->shard->all->config.launcher, m.id, m.grace_ns);
    } else {
        r = ask(w->shard, &m);
        if (r < 0) {
            err_set(&e, -r, "%s", strerror(-r));
            publish(w->shard, &(struct news){.kind = NEWS_FAILED, .failed = e}, m.id);
        }
    }
    message_done(&m);
}

static int post(struct shard *s, const struct message *m)
{
    cleanup_buffer struct buffer b = {0};
    int r = message_encode(&b, m);
    struct wish *w;

    if (r < 0)
        return r;
    w = letter_new(sizeof(*w) + buffer_size(&b));
    if (!w)
        return -ENOMEM;
    w->shard = s;
    w->size = buffer_size(&b);
    memcpy(w->bytes, buffer_bytes(&b), w->size);
    letter_post(&s->all->box, &w->letter, on_wish);
    return 0;
}

int boxes_create(void *user, const struct sandbox_spec *spec)
{
    struct shard *s = user;
    const struct message m = {.type = MESSAGE_CREATE, .id = spec->id, .spec = *spec};

    if (is_main(s))
        return ask(s, &m);
    return strlen(spec->id) < BOX_ID_MAX ? post(s, &m) : -EINVAL;
}

int boxes_adopt(void *user, const struct sandbox_adoption *a)
{
    struct shard *s = user;
    const struct message m = {.type = MESSAGE_ADOPT, .id = a->id, .adoption = *a};

    return is_main(s) ? ask(s, &m) : post(s, &m);
}

int boxes_stop(void *user, const char *id, uint64_t grace_ns)
{
    struct shard *s = user;
    const struct message m = {.type = MESSAGE_STOP, .id = id, .grace_ns = grace_ns};

    if (is_main(s))
        return launcher_stop_sandbox(s->all->config.launcher, id, grace_ns);
    return post(s, &m);
}
