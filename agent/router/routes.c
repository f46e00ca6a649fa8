/* routes.c - versions of what the router knows: functions by key, triggers in the route table,
 * endpoints (endpoints.c's). One message, one version. */
#include "router/routes.h"
#include "base/cleanup.h"
#include "router/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Routes Routes;
typedef Rouse__Control__V1__Route Route;
typedef Rouse__Control__V1__HttpTrigger HttpTrigger;

struct routes_view {
    struct epoch_garbage garbage;
    const char *self; /* the owner's */
    bool whole;
    uint64_t incarnation, sequence;
    struct radix_node *functions; /* by key: held_route */
    struct route_table table;     /* to a held_route */
    struct endpoints endpoints;
    size_t function_count, refused;
};
/* A trigger of one host; the table holds it unless it was refused. */
struct trigger {
    char *host, *path;
    uint32_t methods;
    bool refused;
};
struct held_route {
    struct epoch_garbage garbage;
    uint64_t version;
    struct route route;
    char *key, *revision;
    struct trigger *triggers;
    size_t trigger_count;
};
struct routes {
    char *self;
    struct epoch_domain domain;
    _Atomic(struct routes_view *) current;
};

/* The edit and the version that it makes. */
struct change {
    struct epoch_edit edit;
    struct routes_view *view;
};

/* ---------------------------------------------------------------- functions */

static void held_route_free(struct held_route *h)
{
    for (size_t i = 0; i < h->trigger_count; i++) {
        free(h->triggers[i].host);
        free(h->triggers[i].path);
    }
    free(h->triggers);
    free(h->key);
    free(h->revision);
    free(h);
}

static void held_route_release(struct epoch_garbage *g)
{
    held_route_free(container_of(g, struct held_route, garbage));
}

static void held_route_drop(struct epoch_edit *e, struct held_route *h)
{
    if (h->version == e->version)
        held_route_free(h);
    else
        epoch_retire(e, &h->garbage, held_route_release);
}

static uint32_t methods_of(const HttpTrigger *m)
{
    uint32_t methods = m->n_methods ? 0 : ROUTE_METHODS_ALL;

    for (size_t i = 0; i < m->n_methods; i++)
        methods |= route_method(str_of(m->methods[i]));
    return methods;
}

static int trigger_add(struct held_route *h, const HttpTrigger *m, const char *host)
{
    struct trigger *t = &h->triggers[h->trigger_count++];

    *t = (struct trigger){strdup(host), strdup(m->path), methods_of(m), true};
    return t->host && t->path ? 0 : -ENOMEM;
}

static int triggers_add(struct held_route *h, const Route *m)
{
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; i < m->n_triggers; i++)
        count += m->triggers[i]->n_hosts ?: 1;
    h->triggers = calloc(count + 1, sizeof(*h->triggers));
    if (!h->triggers)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_triggers && r == 0; i++) {
        const HttpTrigger *t = m->triggers[i];

        if (!t->n_hosts)
            r = trigger_add(h, t, "");
        for (size_t k = 0; k < t->n_hosts && r == 0; k++)
            r = trigger_add(h, t, t->hosts[k]);
    }
    return r;
}

static int held_route_new(const struct epoch_edit *e, const Route *m, struct held_route **ret)
{
    struct held_route *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    h->version = e->version;
    h->key = strdup(m->function_key);
    h->revision = strdup(m->revision);
    if (!h->key || !h->revision || triggers_add(h, m) < 0) {
        held_route_free(h);
        return -ENOMEM;
    }
    h->route = (struct route){
        .function_key = h->key,
        .revision = h->revision,
        .timeout_ms = m->timeout_ms,
        .concurrency = m->concurrency,
        .body_limit = m->body_limit,
    };
    *ret = h;
    return 0;
}

/* ---------------------------------------------------------------- one change */

static int route_remove(struct change *c, const char *key)
{
    struct routes_view *v = c->view;
    struct held_route *h = radix_get(v->functions, key, strlen(key));
    int r = 0;

    for (size_t i = 0; h && i < h->trigger_count && r == 0; i++) {
        const struct trigger *t = &h->triggers[i];

        v->refused -= t->refused;
        if (!t->refused) /* all of this path's at once: a later one may find nothing */
            r = route_table_del(&c->edit, &v->table, str_of(t->host), str_of(t->path), h);
        if (r == -ENOENT)
            r = 0;
    }
    if (!h || r < 0)
        return r;
    r = radix_del(&c->edit, &v->functions, key, strlen(key));
    if (r < 0)
        return r;
    v->function_count--;
    held_route_drop(&c->edit, h);
    return 0;
}

static int route_put(struct change *c, const Route *m)
{
    struct routes_view *v = c->view;
    struct held_route *h = NULL;
    int r = route_remove(c, m->function_key); /* named twice in one message */

    if (r == 0)
        r = held_route_new(&c->edit, m, &h);
    if (r < 0)
        return r;
    r = radix_put(&c->edit, &v->functions, h->key, strlen(h->key), h);
    if (r < 0) {
        held_route_free(h);
        return r;
    }
    v->function_count++;
    for (size_t i = 0; i < h->trigger_count; i++) {
        struct trigger *t = &h->triggers[i];

        r = route_table_add(&c->edit, &v->table, str_of(t->host), str_of(t->path), t->methods, h,
                            NULL);
        if (r == -ENOMEM)
            return r;
        t->refused = r < 0;
        v->refused += t->refused;
    }
    return 0;
}

/* What goes or changes leaves first: a path may pass from one function to another in one message. */
static int put_all(struct change *c, const Routes *m)
{
    struct endpoints *endpoints = &c->view->endpoints;
    int r = 0;

    for (size_t i = 0; i < m->n_removed_routes && r == 0; i++)
        r = route_remove(c, m->removed_routes[i]);
    for (size_t i = 0; i < m->n_routes && r == 0; i++)
        r = route_remove(c, m->routes[i]->function_key);
    for (size_t i = 0; i < m->n_routes && r == 0; i++)
        r = route_put(c, m->routes[i]);
    for (size_t i = 0; i < m->n_removed_endpoints && r == 0; i++)
        r = endpoints_remove(&c->edit, endpoints, m->removed_endpoints[i]);
    for (size_t i = 0; i < m->n_endpoints && r == 0; i++)
        r = endpoints_put(&c->edit, endpoints, m->endpoints[i]);
    return r;
}

static void retire_route(void *user, void *value)
{
    held_route_drop(user, value);
}

static void view_clear(struct change *c)
{
    struct routes_view *v = c->view;

    radix_each(v->functions, retire_route, &c->edit);
    radix_retire(&c->edit, v->functions);
    route_table_retire(&c->edit, &v->table);
    endpoints_retire(&c->edit, &v->endpoints);
    v->functions = NULL;
    v->function_count = v->refused = 0;
}

static void abandon_route(void *user, void *value)
{
    const struct epoch_edit *e = user;

    if (((struct held_route *)value)->version == e->version)
        held_route_free(value);
}

static void change_abandon(struct change *c)
{
    radix_each(c->view->functions, abandon_route, &c->edit);
    radix_abandon(&c->edit, c->view->functions);
    route_table_abandon(&c->edit, &c->view->table);
    endpoints_abandon(&c->edit, &c->view->endpoints);
    free(c->view);
}

static void view_release(struct epoch_garbage *g)
{
    free(container_of(g, struct routes_view, garbage));
}

int routes_apply(struct routes *r, const Routes *m)
{
    struct routes_view *old = atomic_load_explicit(&r->current, memory_order_relaxed);
    struct change c;
    int e;

    if (m->since && (!old->whole || m->since->incarnation != old->incarnation ||
                     m->since->sequence != old->sequence))
        return -ESTALE;
    c.view = malloc(sizeof(*c.view));
    if (!c.view)
        return -ENOMEM;
    *c.view = *old;
    epoch_edit_begin(&r->domain, &c.edit);
    if (!m->since)
        view_clear(&c);
    e = put_all(&c, m);
    if (e < 0) {
        change_abandon(&c);
        return e;
    }
    c.view->whole = m->epoch != NULL;
    c.view->incarnation = m->epoch ? m->epoch->incarnation : 0;
    c.view->sequence = m->epoch ? m->epoch->sequence : 0;
    epoch_retire(&c.edit, &old->garbage, view_release);
    atomic_store(&r->current, c.view);
    epoch_commit(&c.edit);
    return 0;
}

/* ---------------------------------------------------------------- life */

int routes_new(const char *self, struct routes **ret)
{
    struct routes *r = calloc(1, sizeof(*r));
    struct routes_view *v = calloc(1, sizeof(*v));

    if (!r || !v || !(r->self = strdup(self))) {
        free(v);
        free(r);
        return -ENOMEM;
    }
    v->self = r->self;
    atomic_init(&r->current, v);
    *ret = r;
    return 0;
}

static void free_route(void *user, void *value)
{
    (void)user;
    held_route_free(value);
}

struct routes *routes_free(struct routes *r)
{
    struct routes_view *v;

    if (!r)
        return NULL;
    v = atomic_load(&r->current);
    radix_each(v->functions, free_route, NULL);
    radix_free(v->functions);
    route_table_free(&v->table);
    endpoints_free(&v->endpoints);
    free(v);
    epoch_domain_done(&r->domain);
    free(r->self);
    free(r);
    return NULL;
}

bool routes_epoch(const struct routes *r, uint64_t *ret_incarnation, uint64_t *ret_sequence)
{
    const struct routes_view *v = routes_now(r);

    if (!v->whole)
        return false;
    *ret_incarnation = v->incarnation;
    *ret_sequence = v->sequence;
    return true;
}

struct routes_counts routes_counts(const struct routes *r)
{
    const struct routes_view *v = routes_now(r);

    return (struct routes_counts){v->function_count, v->table.patterns, v->endpoints.count,
                                  v->refused, r->domain.waiting};
}

/* ---------------------------------------------------------------- views */

const struct routes_view *routes_now(const struct routes *r)
{
    return atomic_load(&r->current);
}

void routes_reader_init(struct routes *r, struct routes_reader *reader)
{
    epoch_reader_init(&r->domain, &reader->epoch);
    reader->routes = r;
}

void routes_reader_done(struct routes_reader *reader)
{
    epoch_reader_done(&reader->epoch);
}

const struct routes_view *routes_enter(struct routes_reader *reader)
{
    epoch_enter(&reader->epoch);
    return routes_now(reader->routes);
}

void routes_leave(struct routes_reader *reader)
{
    epoch_leave(&reader->epoch);
}

const struct route *routes_get(const struct routes_view *v, const char *function_key)
{
    const struct held_route *h = radix_get(v->functions, function_key, strlen(function_key));

    return h ? &h->route : NULL;
}

enum route_found routes_match(const struct routes_view *v, struct str host, struct str method,
                              struct str path, struct routes_match *ret)
{
    struct route_match m;
    enum route_found found = route_table_match(&v->table, host, method, path, &m);

    if (found == ROUTE_FOUND)
        *ret = (struct routes_match){&((const struct held_route *)m.value)->route, m.pattern,
                                     m.any_method};
    return found;
}

void routes_name_parse(struct str name, struct str *ret_pattern, bool *ret_any)
{
    const char *space = name.n ? memchr(name.at, ' ', name.n) : NULL;
    size_t method = space ? (size_t)(space - name.at) : 0;

    *ret_any = str_eq((struct str){name.at, method}, "ANY");
    *ret_pattern = space ? (struct str){space + 1, name.n - method - 1} : (struct str){NULL, 0};
}

const struct endpoint *routes_pick(const struct routes_view *v, const char *function_key,
                                   const char *revision, const char *not_node, uint64_t now_ns,
                                   uint64_t random)
{
    return endpoints_pick(&v->endpoints, v->self, function_key, revision, not_node, now_ns, random);
}

void routes_refused(const struct routes_view *v, const char *function_key, const char *revision,
                    const char *node, uint64_t now_ns)
{
    endpoints_refused(&v->endpoints, function_key, revision, node, now_ns + ROUTES_REFUSED_NS);
}
