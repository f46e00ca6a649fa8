/* routes.c - the route table: functions by key, triggers by path. Endpoints are endpoints.c's.
 *
 * On the agent's loop. */
#include "router/routes.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/map.h"
#include "router/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Routes Routes;
typedef Rouse__Control__V1__Route Route;
typedef Rouse__Control__V1__HttpTrigger HttpTrigger;

/* All triggers of one path; several functions may share it by method. */
struct path_entry {
    struct map_node node;
    struct list triggers;
    char path[];
};
struct trigger {
    struct list link;
    struct path_entry *entry;
    struct held_route *route;
    char **methods;
    size_t method_count; /* 0: all */
};
struct held_route {
    struct map_node node;
    struct route route;
    char *key, *revision;
    struct trigger **triggers;
    size_t trigger_count;
};
struct routes {
    bool whole;
    uint64_t incarnation, sequence;
    struct map by_key, by_path;
    struct endpoints endpoints;
};

int routes_new(const char *self, struct routes **ret)
{
    struct routes *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    if (endpoints_init(&r->endpoints, self) < 0) {
        free(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

static void trigger_free(struct routes *r, struct trigger *t)
{
    if (t->entry) {
        list_del(&t->link);
        if (list_empty(&t->entry->triggers)) {
            map_del(&r->by_path, &t->entry->node);
            free(t->entry);
        }
    }
    for (size_t i = 0; i < t->method_count; i++)
        free(t->methods[i]);
    free(t->methods);
    free(t);
}

/* Frees a route that is in no map (any more). */
static void held_route_free(struct routes *r, struct held_route *h)
{
    for (size_t i = 0; i < h->trigger_count; i++)
        trigger_free(r, h->triggers[i]);
    free(h->triggers);
    free(h->key);
    free(h->revision);
    free(h);
}

static struct held_route *held_get(const struct routes *r, const char *key)
{
    struct map_node *n = map_get_str(&r->by_key, key);

    return n ? map_entry(n, struct held_route, node) : NULL;
}

static void route_remove(struct routes *r, const char *key)
{
    struct held_route *h = held_get(r, key);

    if (!h)
        return;
    map_del(&r->by_key, &h->node);
    held_route_free(r, h);
}

static struct path_entry *path_entry_get(struct routes *r, const char *path)
{
    struct map_node *n = map_get_str(&r->by_path, path);
    size_t size = strlen(path);
    struct path_entry *e;

    if (n)
        return map_entry(n, struct path_entry, node);
    e = malloc(sizeof(*e) + size + 1);
    if (!e)
        return NULL;
    memcpy(e->path, path, size + 1);
    list_init(&e->triggers);
    if (map_put(&r->by_path, &e->node, e->path, size) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

static int trigger_add(struct routes *r, struct held_route *h, const HttpTrigger *m)
{
    struct trigger *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    h->triggers[h->trigger_count++] = t;
    t->route = h;
    t->methods = calloc(m->n_methods + 1, sizeof(*t->methods));
    if (!t->methods)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_methods; i++) {
        t->methods[i] = strdup(m->methods[i]);
        if (!t->methods[i])
            return -ENOMEM;
        t->method_count++;
    }
    t->entry = path_entry_get(r, m->path);
    if (!t->entry)
        return -ENOMEM;
    list_push_back(&t->entry->triggers, &t->link);
    return 0;
}

static int route_put(struct routes *r, const Route *m)
{
    struct held_route *h;

    route_remove(r, m->function_key);
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->key = strdup(m->function_key);
    h->revision = strdup(m->revision);
    h->triggers = calloc(m->n_triggers + 1, sizeof(*h->triggers));
    if (!h->key || !h->revision || !h->triggers)
        goto no_memory;
    h->route = (struct route){
        .function_key = h->key,
        .revision = h->revision,
        .timeout_ms = m->timeout_ms,
        .concurrency = m->concurrency,
        .body_limit = m->body_limit,
    };
    for (size_t i = 0; i < m->n_triggers; i++)
        if (trigger_add(r, h, m->triggers[i]) < 0)
            goto no_memory;
    if (map_put(&r->by_key, &h->node, h->key, strlen(h->key)) < 0)
        goto no_memory;
    return 0;
no_memory:
    held_route_free(r, h);
    return -ENOMEM;
}

static void clear(struct routes *r)
{
    map_for_each(it, &r->by_key)
    {
        struct held_route *h = map_entry(it, struct held_route, node);

        map_del(&r->by_key, it);
        held_route_free(r, h);
    }
    endpoints_clear(&r->endpoints);
}

struct routes *routes_free(struct routes *r)
{
    if (!r)
        return NULL;
    clear(r);
    map_done(&r->by_key);
    map_done(&r->by_path);
    endpoints_done(&r->endpoints);
    free(r);
    return NULL;
}

static int put_all(struct routes *r, const Routes *m)
{
    int e = 0;

    for (size_t i = 0; i < m->n_removed_routes; i++)
        route_remove(r, m->removed_routes[i]);
    for (size_t i = 0; i < m->n_removed_endpoints; i++)
        endpoints_remove(&r->endpoints, m->removed_endpoints[i]);
    for (size_t i = 0; e == 0 && i < m->n_routes; i++)
        e = route_put(r, m->routes[i]);
    for (size_t i = 0; e == 0 && i < m->n_endpoints; i++)
        e = endpoints_put(&r->endpoints, m->endpoints[i]);
    return e;
}

int routes_apply(struct routes *r, const Routes *m)
{
    int e;

    if (m->since &&
        (!r->whole || m->since->incarnation != r->incarnation || m->since->sequence != r->sequence))
        return -ESTALE;
    if (!m->since)
        clear(r);
    e = put_all(r, m);
    r->whole = e == 0 && m->epoch;
    if (r->whole) {
        r->incarnation = m->epoch->incarnation;
        r->sequence = m->epoch->sequence;
    }
    return e;
}

bool routes_epoch(const struct routes *r, uint64_t *ret_incarnation, uint64_t *ret_sequence)
{
    if (!r->whole)
        return false;
    *ret_incarnation = r->incarnation;
    *ret_sequence = r->sequence;
    return true;
}

const struct route *routes_get(const struct routes *r, const char *function_key)
{
    struct held_route *h = held_get(r, function_key);

    return h ? &h->route : NULL;
}

static bool takes_method(const struct trigger *t, struct str method)
{
    for (size_t i = 0; i < t->method_count; i++)
        if (str_eq(method, t->methods[i]))
            return true;
    return t->method_count == 0;
}

enum route_match routes_match(const struct routes *r, struct str method, struct str path,
                              const struct route **ret)
{
    struct map_node *n = map_get(&r->by_path, path.at, path.n);

    if (!n)
        return ROUTE_UNKNOWN;
    list_for_each(it, &map_entry(n, struct path_entry, node)->triggers)
    {
        struct trigger *t = list_entry(it, struct trigger, link);

        if (takes_method(t, method)) {
            *ret = &t->route->route;
            return ROUTE_FOUND;
        }
    }
    return ROUTE_WRONG_METHOD;
}

const struct endpoint *routes_pick(const struct routes *r, const char *function_key,
                                   const char *revision, const char *not_node, uint64_t now_ns,
                                   uint64_t random)
{
    return endpoints_pick(&r->endpoints, function_key, revision, not_node, now_ns, random);
}

void routes_refused(struct routes *r, const char *function_key, const char *revision,
                    const char *node, uint64_t now_ns)
{
    endpoints_refused(&r->endpoints, function_key, revision, node, now_ns + ROUTES_REFUSED_NS);
}

struct routes_counts routes_counts(const struct routes *r)
{
    return (struct routes_counts){r->by_key.count, r->by_path.count, r->endpoints.by_instance.count};
}
