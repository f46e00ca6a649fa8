/* route_table.c - see route_table.h: the walk first, then the changes. */
#include "http/route_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one value has of a pattern, and all that have one of it. Immutable, as the nodes are. */
struct entry {
    struct epoch_garbage garbage;
    uint64_t version;
    void *value;
    uint32_t methods;
    uint32_t pattern_size;
    char pattern[];
};
struct leaf {
    struct epoch_garbage garbage;
    uint64_t version;
    size_t count;
    struct entry *entries[];
};

/* ---------------------------------------------------------------- the walk */

struct walk {
    const char *path;
    size_t n;
    unsigned visited;
    const struct leaf *rest; /* the longest pattern with * so far */
    size_t rest_at;          /* where in the path its * begins */
};

static void found_rest(struct walk *w, const struct radix_node *n, size_t at)
{
    if (w->rest && at <= w->rest_at) /* as long: plain segments came first */
        return;
    w->rest = n->value;
    w->rest_at = at;
}

/* Over n's prefix from `off` on. False: this way ends. */
static bool step(struct walk *w, const struct radix_node *n, size_t off, size_t *at)
{
    const uint8_t *prefix = radix_prefix(n);
    size_t i = *at;

    for (; off < n->prefix_size; off++) {
        uint8_t c = prefix[off];

        if (c > ROUTE_KEY_REST) {
            if (i == w->n || (uint8_t)w->path[i++] != c)
                return false;
        } else if (c == ROUTE_KEY_PARAM) {
            size_t start = i;

            while (i < w->n && w->path[i] != '/')
                i++;
            if (i == start)
                return false;
        } else { /* the rest: a key ends with it */
            found_rest(w, n, i);
            return false;
        }
    }
    *at = i;
    return true;
}

/* The pattern that matches the whole path, NULL if none does. */
static const struct leaf *descend(struct walk *w, const struct radix_node *n, size_t off, size_t at)
{
    for (;; off = 0) {
        const struct radix_node *rest, *param, *plain;
        const struct leaf *found;

        w->visited++;
        if (!step(w, n, off, &at))
            return NULL;
        /* The bytes for these two are the lowest: without them the first child says so. */
        param = rest = NULL;
        if (n->child_count && radix_labels(n)[0] <= ROUTE_KEY_REST) {
            param = radix_child(n, ROUTE_KEY_PARAM);
            rest = radix_child(n, ROUTE_KEY_REST);
        }
        if (rest)
            found_rest(w, rest, at);
        if (at == w->n)
            return n->value;
        plain = radix_child(n, (uint8_t)w->path[at]);
        if (plain && param) {
            found = descend(w, plain, 0, at);
            if (found)
                return found;
        }
        n = param ?: plain;
        if (!n)
            return NULL;
    }
}

/* Where the keys of a host begin: the node, and how much of its prefix is the host's. */
static const struct radix_node *find_host(const struct radix_node *n, const char *key, size_t size,
                                          size_t *ret_off, unsigned *visited)
{
    while (n) {
        size_t have = size < n->prefix_size ? size : n->prefix_size;

        ++*visited;
        if (memcmp(key, radix_prefix(n), have) != 0)
            return NULL;
        if (have == size) {
            *ret_off = have;
            return n;
        }
        key += have;
        size -= have;
        n = radix_child(n, (uint8_t)key[0]);
    }
    return NULL;
}

static const struct leaf *match_host(const struct route_table *t, const char *key, size_t size,
                                     struct walk *w)
{
    size_t off;
    const struct radix_node *n = find_host(t->root, key, size, &off, &w->visited);
    const struct leaf *found;

    if (!n)
        return NULL;
    w->rest = NULL;
    found = descend(w, n, off, 0);
    return found ?: w->rest;
}

/* The host's own patterns, then *.parent's, then any host's. */
static const struct leaf *match_hosts(const struct route_table *t, struct str host, struct walk *w)
{
    char name[ROUTE_HOST_MAX], key[ROUTE_HOST_MAX + 2];
    const struct leaf *found = NULL;
    const char *dot;

    host = route_host_canonical(host, name);
    if (host.n) {
        memcpy(key, host.at, host.n);
        key[host.n] = ROUTE_KEY_HOST_END;
        found = match_host(t, key, host.n + 1, w);
        dot = found ? NULL : memchr(host.at, '.', host.n);
        if (dot) {
            size_t rest = host.n - (size_t)(dot + 1 - host.at);

            key[0] = ROUTE_KEY_ANY_LABEL;
            memcpy(key + 1, dot + 1, rest);
            key[1 + rest] = ROUTE_KEY_HOST_END;
            found = match_host(t, key, rest + 2, w);
        }
    }
    key[0] = ROUTE_KEY_HOST_END;
    return found ?: match_host(t, key, 1, w);
}

enum route_found route_table_match(const struct route_table *t, struct str host, struct str method,
                                   struct str path, struct route_match *ret)
{
    char buffer[HTTP_TARGET_MAX];
    uint32_t bit = route_method(method), allow = 0;
    const struct leaf *leaf;
    struct walk w = {0};
    struct str canonical;

    ret->visited = 0;
    if (path.n > sizeof(buffer) || route_path_canonical(path, buffer, &canonical) < 0 ||
        route_path_reserved(canonical))
        return ROUTE_UNKNOWN;
    w.path = canonical.at;
    w.n = canonical.n;
    leaf = match_hosts(t, host, &w);
    ret->visited = w.visited;
    for (size_t i = 0; leaf && i < leaf->count; i++) {
        const struct entry *e = leaf->entries[i];

        if (e->methods & bit) {
            ret->value = e->value;
            ret->pattern = (struct str){e->pattern, e->pattern_size};
            ret->any_method = e->methods == ROUTE_METHODS_ALL;
            return ROUTE_FOUND;
        }
        allow |= e->methods;
    }
    ret->allow = allow;
    return leaf ? ROUTE_WRONG_METHOD : ROUTE_UNKNOWN;
}

/* ---------------------------------------------------------------- changes */

static void leaf_release(struct epoch_garbage *g)
{
    free(g); /* the first member */
}

static void leaf_drop(struct epoch_edit *e, struct leaf *l)
{
    if (l->version == e->version)
        free(l);
    else
        epoch_retire(e, &l->garbage, leaf_release);
}

static void entry_drop(struct epoch_edit *e, struct entry *entry)
{
    if (entry->version == e->version)
        free(entry);
    else
        epoch_retire(e, &entry->garbage, leaf_release);
}

static struct leaf *leaf_new(const struct epoch_edit *e, size_t count)
{
    struct leaf *l = malloc(sizeof(*l) + count * sizeof(l->entries[0]));

    if (l) {
        l->version = e->version;
        l->count = count;
    }
    return l;
}

static struct entry *entry_new(const struct epoch_edit *e, struct str pattern, uint32_t methods,
                               void *value)
{
    struct entry *entry = malloc(sizeof(*entry) + pattern.n);

    if (!entry)
        return NULL;
    entry->version = e->version;
    entry->value = value;
    entry->methods = methods;
    entry->pattern_size = (uint32_t)pattern.n;
    memcpy(entry->pattern, pattern.at, pattern.n);
    return entry;
}

int route_table_add(struct epoch_edit *e, struct route_table *t, struct str host,
                    struct str pattern, uint32_t methods, void *value, void **ret_holder)
{
    char key[ROUTE_KEY_MAX];
    int n = route_key(host, pattern, key), r;
    struct leaf *old, *made;

    if (n < 0)
        return n;
    old = radix_get(t->root, key, (size_t)n);
    for (size_t i = 0; old && i < old->count; i++)
        if (old->entries[i]->value != value && (old->entries[i]->methods & methods)) {
            if (ret_holder)
                *ret_holder = old->entries[i]->value;
            return -EEXIST;
        }
    made = leaf_new(e, (old ? old->count : 0) + 1);
    if (!made)
        return -ENOMEM;
    for (size_t i = 0; old && i < old->count; i++)
        made->entries[i] = old->entries[i];
    made->entries[made->count - 1] = entry_new(e, pattern, methods, value);
    r = made->entries[made->count - 1] ? radix_put(e, &t->root, key, (size_t)n, made) : -ENOMEM;
    if (r < 0) {
        free(made->entries[made->count - 1]);
        free(made);
        return r;
    }
    if (old)
        leaf_drop(e, old);
    t->patterns += !old;
    return 0;
}

int route_table_del(struct epoch_edit *e, struct route_table *t, struct str host,
                    struct str pattern, const void *value)
{
    char key[ROUTE_KEY_MAX];
    int n = route_key(host, pattern, key), r;
    struct leaf *old, *made = NULL;
    size_t kept = 0;

    if (n < 0)
        return -ENOENT;
    old = radix_get(t->root, key, (size_t)n);
    for (size_t i = 0; old && i < old->count; i++)
        kept += old->entries[i]->value != value;
    if (!old || kept == old->count)
        return -ENOENT;
    if (kept) {
        made = leaf_new(e, kept);
        if (!made)
            return -ENOMEM;
        for (size_t i = 0, k = 0; i < old->count; i++)
            if (old->entries[i]->value != value)
                made->entries[k++] = old->entries[i];
        r = radix_put(e, &t->root, key, (size_t)n, made);
    } else {
        r = radix_del(e, &t->root, key, (size_t)n);
    }
    if (r < 0) {
        free(made);
        return r;
    }
    for (size_t i = 0; i < old->count; i++)
        if (old->entries[i]->value == value)
            entry_drop(e, old->entries[i]);
    leaf_drop(e, old);
    t->patterns -= !kept;
    return 0;
}

/* ---------------------------------------------------------------- whole tables */

static void retire_leaf(void *user, void *value)
{
    struct leaf *l = value;

    for (size_t i = 0; i < l->count; i++)
        entry_drop(user, l->entries[i]);
    leaf_drop(user, l);
}

void route_table_retire(struct epoch_edit *e, struct route_table *t)
{
    radix_each(t->root, retire_leaf, e);
    radix_retire(e, t->root);
    *t = (struct route_table){0};
}

/* An entry of this edit lies in a leaf of this edit, and that in a node of this edit. */
static void abandon_leaf(void *user, void *value)
{
    const struct epoch_edit *e = user;
    struct leaf *l = value;

    if (l->version != e->version)
        return;
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i]->version == e->version)
            free(l->entries[i]);
    free(l);
}

void route_table_abandon(const struct epoch_edit *e, struct route_table *t)
{
    radix_each(t->root, abandon_leaf, (void *)(uintptr_t)e);
    radix_abandon(e, t->root);
    *t = (struct route_table){0};
}

static void free_leaf(void *user, void *value)
{
    struct leaf *l = value;

    (void)user;
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i]);
    free(l);
}

void route_table_free(struct route_table *t)
{
    radix_each(t->root, free_leaf, NULL);
    radix_free(t->root);
    *t = (struct route_table){0};
}
