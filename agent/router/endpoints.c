/* endpoints.c - endpoints by instance and by revision, and the random pick among them.
 *
 * On the agent's loop. */
#include "router/endpoints.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_NAME_MAX = 400 }; /* namespace/name (127) and a revision, with room */

struct endpoint_set {
    struct map_node node;
    struct held_endpoint **items;
    size_t count, capacity;
    char name[];
};
struct held_endpoint {
    struct map_node node;
    struct endpoint endpoint;
    char *instance, *node_name, *peer_address;
    uint64_t refused_until_ns;
    struct endpoint_set *set;
    size_t at; /* in set->items */
};

int endpoints_init(struct endpoints *e, const char *self)
{
    *e = (struct endpoints){.self = strdup(self)};
    return e->self ? 0 : -ENOMEM;
}

void endpoints_done(struct endpoints *e)
{
    endpoints_clear(e);
    map_done(&e->by_instance);
    map_done(&e->sets);
    free(e->self);
    e->self = NULL;
}

static bool set_name(char out[SET_NAME_MAX], const char *function_key, const char *revision)
{
    return snprintf(out, SET_NAME_MAX, "%s@%s", function_key, revision) < SET_NAME_MAX;
}

static struct endpoint_set *set_find(const struct endpoints *e, const char *function_key,
                                     const char *revision)
{
    char name[SET_NAME_MAX];
    struct map_node *n = set_name(name, function_key, revision) ? map_get_str(&e->sets, name) : NULL;

    return n ? map_entry(n, struct endpoint_set, node) : NULL;
}

static struct endpoint_set *set_make(struct endpoints *e, const char *function_key,
                                     const char *revision)
{
    struct endpoint_set *s = set_find(e, function_key, revision);
    char name[SET_NAME_MAX];
    size_t n;

    if (s || !set_name(name, function_key, revision))
        return s;
    n = strlen(name);
    s = calloc(1, sizeof(*s) + n + 1);
    if (!s)
        return NULL;
    memcpy(s->name, name, n + 1);
    if (map_put(&e->sets, &s->node, s->name, n) < 0) {
        free(s);
        return NULL;
    }
    return s;
}

static void set_drop_if_empty(struct endpoints *e, struct endpoint_set *s)
{
    if (s->count)
        return;
    map_del(&e->sets, &s->node);
    free(s->items);
    free(s);
}

static int set_add(struct endpoint_set *s, struct held_endpoint *h)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 4;
        struct held_endpoint **to = reallocarray(s->items, capacity, sizeof(*to));

        if (!to)
            return -ENOMEM;
        s->items = to;
        s->capacity = capacity;
    }
    h->set = s;
    h->at = s->count;
    s->items[s->count++] = h;
    return 0;
}

static void held_endpoint_free(struct held_endpoint *h)
{
    free(h->instance);
    free(h->node_name);
    free(h->peer_address);
    free(h);
}

static void held_endpoint_remove(struct endpoints *e, struct held_endpoint *h)
{
    struct endpoint_set *s = h->set;

    s->items[h->at] = s->items[--s->count];
    s->items[h->at]->at = h->at;
    set_drop_if_empty(e, s);
    map_del(&e->by_instance, &h->node);
    held_endpoint_free(h);
}

void endpoints_remove(struct endpoints *e, const char *instance)
{
    struct map_node *n = map_get_str(&e->by_instance, instance);

    if (n)
        held_endpoint_remove(e, map_entry(n, struct held_endpoint, node));
}

void endpoints_clear(struct endpoints *e)
{
    map_for_each(it, &e->by_instance)
        held_endpoint_remove(e, map_entry(it, struct held_endpoint, node));
}

int endpoints_put(struct endpoints *e, const Rouse__Control__V1__Endpoint *m)
{
    struct held_endpoint *h;
    struct endpoint_set *s;

    endpoints_remove(e, m->instance);
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->instance = strdup(m->instance);
    h->node_name = strdup(m->node);
    h->peer_address = strdup(m->peer_address);
    s = set_make(e, m->function_key, m->revision);
    if (!h->instance || !h->node_name || !h->peer_address || !s ||
        map_put(&e->by_instance, &h->node, h->instance, strlen(h->instance)) < 0)
        goto no_memory;
    if (set_add(s, h) < 0) {
        map_del(&e->by_instance, &h->node);
        goto no_memory;
    }
    h->endpoint = (struct endpoint){h->instance, h->node_name, h->peer_address, m->slots};
    return 0;
no_memory:
    if (s)
        set_drop_if_empty(e, s);
    held_endpoint_free(h);
    return -ENOMEM;
}

const struct endpoint *endpoints_pick(const struct endpoints *e, const char *function_key,
                                      const char *revision, const char *not_node, uint64_t now_ns,
                                      uint64_t random)
{
    struct endpoint_set *s = set_find(e, function_key, revision);

    /* From a random place onwards: an even choice as long as few are passed over. */
    for (size_t i = 0; s && i < s->count; i++) {
        struct held_endpoint *h = s->items[(random + i) % s->count];

        if (h->refused_until_ns <= now_ns && strcmp(h->node_name, e->self) &&
            (!not_node || strcmp(h->node_name, not_node)))
            return &h->endpoint;
    }
    return NULL;
}

void endpoints_refused(struct endpoints *e, const char *function_key, const char *revision,
                       const char *node, uint64_t until_ns)
{
    struct endpoint_set *s = set_find(e, function_key, revision);

    for (size_t i = 0; s && i < s->count; i++)
        if (!strcmp(s->items[i]->node_name, node))
            s->items[i]->refused_until_ns = until_ns;
}
