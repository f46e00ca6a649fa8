#include "pool/internal.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 384 };

static size_t key_of(char out[KEY_MAX], const char *function_key, const char *revision)
{
    size_t a = strlen(function_key), b = strlen(revision);

    if (a + b + 1 > KEY_MAX)
        return 0;
    memcpy(out, function_key, a + 1);
    memcpy(out + a + 1, revision, b);
    return a + 1 + b;
}

struct revision *revision_find(struct pool *p, const char *function_key, const char *revision)
{
    char key[KEY_MAX];
    size_t n = key_of(key, function_key, revision);
    struct map_node *node = n ? map_get(&p->revisions, key, n) : NULL;

    return node ? map_entry(node, struct revision, node) : NULL;
}

struct revision *revision_free(struct revision *r)
{
    if (!r)
        return NULL;
    loop_timer_cancel(r->pool->loop, &r->fork_timer);
    if (r->spec)
        rouse__control__v1__revision_spec__free_unpacked(r->spec, NULL);
    free((char *)r->name);
    free((char *)r->namespace);
    free(r->key);
    free(r);
    return NULL;
}

static int split_key(struct revision *r)
{
    const char *slash = strchr(r->function_key, '/');

    r->namespace =
        slash ? strndup(r->function_key, (size_t)(slash - r->function_key)) : strdup("default");
    r->name = strdup(slash ? slash + 1 : r->function_key);
    return r->name && r->namespace ? 0 : -ENOMEM;
}

struct revision *revision_get(struct pool *p, const char *function_key, const char *revision)
{
    struct revision *r = revision_find(p, function_key, revision);
    char key[KEY_MAX];
    size_t n = key_of(key, function_key, revision);

    if (r || !n)
        return r;
    if (p->revisions.count >= REVISIONS_MAX)
        revision_drop_unused(p);
    if (p->revisions.count >= REVISIONS_MAX)
        return NULL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->pool = p;
    r->hint = slot_hint_place(function_key, revision);
    list_init(&r->instances);
    list_init(&r->free);
    template_init(r);
    r->key = malloc(n + 1);
    if (r->key) {
        memcpy(r->key, key, n);
        r->key[n] = '\0';
        r->function_key = r->key;
        r->revision = r->key + strlen(function_key) + 1;
    }
    if (!r->key || split_key(r) < 0 || map_put(&p->revisions, &r->node, r->key, n) < 0)
        return revision_free(r);
    return r;
}

int revision_learn(struct pool *p, const Rouse__Control__V1__RevisionSpec *spec)
{
    struct revision *r = revision_get(p, spec->function_key, spec->revision);
    size_t n = rouse__control__v1__revision_spec__get_packed_size(spec);
    uint8_t *bytes;

    if (!r)
        return -ENOMEM;
    if (r->spec) /* a revision is immutable */
        return 0;
    bytes = malloc(n ? n : 1);
    if (!bytes)
        return -ENOMEM;
    rouse__control__v1__revision_spec__pack(spec, bytes);
    r->spec = rouse__control__v1__revision_spec__unpack(NULL, n, bytes);
    free(bytes);
    if (!r->spec)
        return -ENOMEM;
    if (!r->spec->concurrency)
        r->spec->concurrency = 1;
    if (!r->spec->timeout_ms)
        r->spec->timeout_ms = 3000;
    return 0;
}

void revision_drop_unused(struct pool *p)
{
    map_for_each(it, &p->revisions)
    {
        struct revision *r = map_entry(it, struct revision, node);

        if (r->count || r->wanted || r->templates)
            continue;
        map_del(&p->revisions, &r->node);
        revision_free(r);
    }
}
