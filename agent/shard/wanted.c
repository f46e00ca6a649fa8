/* wanted.c - see the header. */
#include "shard/wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 384 };

struct wish {
    struct map_node node; /* by function key, NUL, revision */
    uint32_t count;
    char key[];
};

static size_t key_of(char out[KEY_MAX], const char *function_key, const char *revision)
{
    size_t a = strlen(function_key) + 1, b = strlen(revision);

    if (a + b > KEY_MAX)
        return 0;
    memcpy(out, function_key, a);
    memcpy(out + a, revision, b);
    return a + b;
}

static void drop(struct wanted *w, struct wish *i)
{
    map_del(&w->revisions, &i->node);
    free(i);
}

int wanted_set(struct wanted *w, const char *function_key, const char *revision, uint32_t count)
{
    char key[KEY_MAX];
    size_t n = key_of(key, function_key, revision);
    struct map_node *had = n ? map_get(&w->revisions, key, n) : NULL;
    struct wish *i = had ? map_entry(had, struct wish, node) : NULL;

    if (!n)
        return -EINVAL;
    if (i && count)
        i->count = count;
    else if (i)
        drop(w, i);
    if (i || !count)
        return 0;
    i = calloc(1, sizeof(*i) + n);
    if (!i)
        return -ENOMEM;
    i->count = count;
    memcpy(i->key, key, n);
    if (map_put(&w->revisions, &i->node, i->key, n) < 0) {
        free(i);
        return -ENOMEM;
    }
    return 0;
}

bool wanted_take(struct wanted *w, const char *function_key, const char *revision)
{
    char key[KEY_MAX];
    size_t n = key_of(key, function_key, revision);
    struct map_node *had = n ? map_get(&w->revisions, key, n) : NULL;
    struct wish *i = had ? map_entry(had, struct wish, node) : NULL;

    if (!i)
        return false;
    if (!--i->count)
        drop(w, i);
    return true;
}

void wanted_clear(struct wanted *w)
{
    map_for_each(it, &w->revisions) drop(w, map_entry(it, struct wish, node));
    map_done(&w->revisions);
    *w = (struct wanted){0};
}
