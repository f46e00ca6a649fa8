/* core_sync.c - levels to the agents: Routes for all (to whom when: core_spread.c), Desired for each, SlotWanted for those
 * with instances.
 *
 * Changes of the routes go into a log, in the order of their sequences. A
 * delta since S is what the log names after S, as it is now; an agent whose
 * S is older than the log, or of another incarnation, gets everything. */
#include "brain/core_internal.h"

/* Routes and endpoints a message, and about how many bytes: with the largest function on top (256
 * triggers of 16 hosts) well below the channel's 4 MiB. */
enum { ROUTES_PART = 2000, ROUTES_PART_BYTES = 3 << 19 };

static Epoch *epoch(struct core *c, uint64_t sequence)
{
    Epoch *e = actions_alloc(c->out, sizeof(*e));

    rouse__control__v1__epoch__init(e);
    e->incarnation = c->config.incarnation;
    e->sequence = sequence;
    return e;
}

/* ---- the log of changes */

void sync_change_key(struct core *c, bool endpoint, const char *key)
{
    struct change *at;

    if (c->change_count == CHANGES_MAX) {
        c->changes_from = c->changes[c->change_first].sequence;
        c->change_first = (c->change_first + 1) % CHANGES_MAX;
        c->change_count--;
    }
    at = &c->changes[(c->change_first + c->change_count++) % CHANGES_MAX];
    free(at->key);
    *at =
        (struct change){.sequence = c->routes_sequence + 1, .endpoint = endpoint, .key = strdup(key)};
    if (!at->key) { /* no delta can tell of it: all get everything */
        c->change_count = 0;
        c->changes_from = c->routes_sequence + 1;
    }
    c->routes_changed = true;
}

void sync_change_route(struct core *c, struct fn *f)
{
    if (f->change == c->routes_sequence + 1)
        return;
    f->change = c->routes_sequence + 1;
    sync_change_key(c, false, f->spec->key);
}

void sync_change_endpoint(struct core *c, struct instance *i)
{
    if (i->change == c->routes_sequence + 1)
        return;
    i->change = c->routes_sequence + 1;
    sync_change_key(c, true, i->id);
}

uint64_t sync_next_sequence(const struct core *c)
{
    return c->routes_sequence + (c->routes_changed ? 1 : 0);
}

/* Who was behind the last time is asked first: many ask for the same before the last node has acknowledged. */
bool sync_acked(struct core *c, uint64_t sequence)
{
    size_t count = nodes_count(c->nodes);

    for (size_t k = 0; k < count; k++, c->last_behind++) {
        const struct node *n;

        if (c->last_behind >= count)
            c->last_behind = 0;
        n = nodes_at(c->nodes, c->last_behind);
        if (n->peer && n->routes_acked < sequence)
            return false;
    }
    return true;
}

/* ---- Routes */

/* As the function has it, but without hosts. */
static HttpTrigger *trigger(struct core *c, const struct claim *claim)
{
    const struct http_trigger *from = claim->trigger;
    HttpTrigger *t = actions_alloc(c->out, sizeof(*t));

    rouse__control__v1__http_trigger__init(t);
    t->path = actions_strdup(c->out, from->path);
    t->methods = actions_alloc(c->out, from->method_count * sizeof(char *));
    for (size_t m = 0; m < from->method_count; m++)
        t->methods[t->n_methods++] = actions_strdup(c->out, from->methods[m]);
    t->hosts = actions_alloc(c->out, from->host_count * sizeof(char *));
    return t;
}

static void add_host(struct core *c, HttpTrigger *t, const struct claim *claim)
{
    t->hosts[t->n_hosts++] = actions_strdup(c->out, claim->host);
}

static Route *route(struct core *c, const struct fn *f)
{
    struct actions *a = c->out;
    const struct function *spec = f->active->spec;
    Route *r = actions_alloc(a, sizeof(*r));
    const struct claim *last = NULL;

    rouse__control__v1__route__init(r);
    r->function_key = actions_strdup(a, f->spec->key);
    r->revision = actions_strdup(a, f->active->id);
    r->timeout_ms = spec->timeout_ms;
    r->concurrency = spec->concurrency;
    r->body_limit = core_body_limit(c, spec);
    r->triggers = actions_alloc(a, f->claim_count * sizeof(*r->triggers));
    for (size_t i = 0; i < f->claim_count; i++) {
        const struct claim *claim = &f->claims[i];

        if (claim->lost_to)
            continue;
        if (!last || last->trigger != claim->trigger)
            r->triggers[r->n_triggers++] = trigger(c, claim);
        last = claim;
        if (*claim->host)
            add_host(c, r->triggers[r->n_triggers - 1], claim);
    }
    return r;
}

/* About what it takes in a message. */
static size_t route_bytes(const struct fn *f)
{
    size_t n = 256;

    for (size_t i = 0; i < f->claim_count; i++) {
        const struct claim *it = &f->claims[i];

        n += 8 + strlen(it->host);
        if (!i || it->trigger != it[-1].trigger)
            n += 80 + strlen(it->trigger->path);
    }
    return n;
}

static Endpoint *endpoint(struct core *c, const struct instance *i)
{
    struct actions *a = c->out;
    Endpoint *e = actions_alloc(a, sizeof(*e));

    rouse__control__v1__endpoint__init(e);
    e->instance = actions_strdup(a, i->id);
    e->function_key = actions_strdup(a, i->rev->fn->spec->key);
    e->revision = actions_strdup(a, i->rev->id);
    e->node = actions_strdup(a, i->host->name);
    e->peer_address = actions_strdup(a, i->host->peer_address);
    e->slots = i->slots ? i->slots : i->rev->spec->concurrency;
    return e;
}

static Routes *routes_new(struct core *c, size_t items)
{
    Routes *m = actions_alloc(c->out, sizeof(*m));

    rouse__control__v1__routes__init(m);
    m->epoch = epoch(c, c->routes_sequence);
    m->routes = actions_alloc(c->out, items * sizeof(*m->routes));
    m->removed_routes = actions_alloc(c->out, items * sizeof(*m->removed_routes));
    m->endpoints = actions_alloc(c->out, items * sizeof(*m->endpoints));
    m->removed_endpoints = actions_alloc(c->out, items * sizeof(*m->removed_endpoints));
    return m;
}

static struct routes_part *routes_part(struct core *c, Routes *m)
{
    struct routes_part *p = actions_alloc(c->out, sizeof(*p));

    rouse__control__v1__controller_message__init(&p->message);
    p->message.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES;
    p->message.routes = m;
    return p;
}

/* NULL: too much for one message, and it must be one, as a path may pass from one function to another
 * in it. */
struct routes_part *routes_delta(struct core *c, uint64_t since)
{
    size_t from = c->change_count, bytes = 0;
    Routes *m;

    while (from && c->changes[(c->change_first + from - 1) % CHANGES_MAX].sequence > since)
        from--;
    m = routes_new(c, c->change_count - from);
    m->since = epoch(c, since);
    for (size_t k = from; k < c->change_count; k++) {
        const struct change *it = &c->changes[(c->change_first + k) % CHANGES_MAX];

        if (it->endpoint) {
            struct instance *i = instance_find(c, it->key);

            if (!i || !i->endpoint)
                m->removed_endpoints[m->n_removed_endpoints++] = actions_strdup(c->out, it->key);
            else if (i->change == it->sequence) /* else a later entry names it again */
                m->endpoints[m->n_endpoints++] = endpoint(c, i);
        } else {
            struct fn *f = fn_find(c, it->key);

            if (!f || !fn_live(f))
                m->removed_routes[m->n_removed_routes++] = actions_strdup(c->out, it->key);
            else if (f->change == it->sequence) {
                m->routes[m->n_routes++] = route(c, f);
                bytes += route_bytes(f);
            }
            if (bytes > ROUTES_PART_BYTES)
                return NULL;
        }
    }
    return routes_part(c, m);
}

/* The rest of a full send is a delta on the same epoch. */
static struct routes_part *next_part(struct core *c, struct routes_part *p, size_t *bytes)
{
    Routes *m = p->message.routes;

    if (m->n_routes + m->n_endpoints < ROUTES_PART && *bytes < ROUTES_PART_BYTES)
        return p;
    *bytes = 0;
    m = routes_new(c, ROUTES_PART);
    m->since = epoch(c, c->routes_sequence);
    return p->next = routes_part(c, m);
}

struct routes_part *routes_full(struct core *c)
{
    struct routes_part *first = routes_part(c, routes_new(c, ROUTES_PART)), *p = first;
    size_t bytes = 0;

    map_for_each(it, &c->functions)
    {
        struct fn *f = map_entry(it, struct fn, node);
        Routes *m = p->message.routes;

        if (!fn_live(f))
            continue;
        m->routes[m->n_routes++] = route(c, f);
        bytes += route_bytes(f);
        p = next_part(c, p, &bytes);
    }
    map_for_each(it, &c->instances)
    {
        struct instance *i = map_entry(it, struct instance, node);
        Routes *m = p->message.routes;

        if (!i->endpoint)
            continue;
        m->endpoints[m->n_endpoints++] = endpoint(c, i);
        p = next_part(c, p, &bytes);
    }
    return first;
}

/* ---- Desired */

void node_dirty(struct core *c, struct node *n)
{
    if (list_empty(&n->dirty_link))
        list_push_back(&c->nodes_dirty, &n->dirty_link);
}

static void add_lifecycle(struct actions *a, RevisionSpec *m, const struct function_lifecycle *l)
{
    if (!l->initializer && !l->pre_freeze && !l->pre_stop && !l->after_fork)
        return;
    m->lifecycle = actions_alloc(a, sizeof(*m->lifecycle));
    rouse__control__v1__lifecycle__init(m->lifecycle);
    m->lifecycle->initializer = actions_strdup(a, l->initializer ?: "");
    m->lifecycle->initializer_timeout_ms = l->initializer_timeout_ms;
    m->lifecycle->pre_freeze = actions_strdup(a, l->pre_freeze ?: "");
    m->lifecycle->pre_stop = actions_strdup(a, l->pre_stop ?: "");
    m->lifecycle->after_fork = actions_strdup(a, l->after_fork ?: "");
}

static RevisionSpec *revision_spec(struct core *c, const struct revision *r)
{
    struct actions *a = c->out;
    const struct function *f = r->spec;
    RevisionSpec *m = actions_alloc(a, sizeof(*m));

    rouse__control__v1__revision_spec__init(m);
    m->function_key = actions_strdup(a, f->key);
    m->revision = actions_strdup(a, r->id);
    m->runtime = actions_strdup(a, f->runtime);
    m->handler = actions_strdup(a, f->handler);
    m->package = actions_strdup(a, f->package);
    m->function_uid = actions_strdup(a, f->uid);
    m->memory = f->memory;
    m->cpu = f->cpu_millis;
    m->timeout_ms = f->timeout_ms;
    m->concurrency = f->concurrency;
    m->network_none = f->network_none;
    m->port = f->port;
    m->fork = f->fork;
    add_lifecycle(a, m, &f->lifecycle);
    m->env = actions_alloc(a, f->env_count * sizeof(*m->env));
    for (size_t i = 0; i < f->env_count; i++) {
        EnvVar *v = actions_alloc(a, sizeof(*v));

        rouse__control__v1__env_var__init(v);
        v->name = actions_strdup(a, f->env[i].name);
        v->value = actions_strdup(a, f->env[i].value);
        m->env[m->n_env++] = v;
    }
    return m;
}

static bool in_desired(const struct instance *i)
{
    return !i->dead && i->leaving != LEAVING_REMOVED;
}

static void add_instance(struct core *c, Desired *m, struct instance *i)
{
    DesiredInstance *d;
    bool known = i->rev->foreign || i->reported;

    if (!in_desired(i))
        return;
    d = actions_alloc(c->out, sizeof(*d));
    rouse__control__v1__desired_instance__init(d);
    d->id = actions_strdup(c->out, i->id);
    d->function_key = actions_strdup(c->out, i->rev->fn->spec->key);
    d->revision = actions_strdup(c->out, i->rev->id);
    d->schedule_us = i->schedule_us;
    m->instances[m->n_instances++] = d;
    for (size_t k = 0; k < m->n_revisions && !known; k++)
        known = !strcmp(m->revisions[k]->function_key, d->function_key) &&
                !strcmp(m->revisions[k]->revision, d->revision);
    if (!known)
        m->revisions[m->n_revisions++] = revision_spec(c, i->rev);
}

static void send_desired(struct core *c, struct node *n)
{
    Desired *m = actions_alloc(c->out, sizeof(*m));
    ControllerMessage *cm;
    struct list *l;
    size_t items = n->desired_full ? n->instance_count : 0;

    rouse__control__v1__desired__init(m);
    if (!n->desired_full)
        list_for_each(it, &n->added) items++;
    m->instances = actions_alloc(c->out, items * sizeof(*m->instances));
    m->revisions = actions_alloc(c->out, items * sizeof(*m->revisions));
    if (n->desired_full)
        list_for_each(it, &n->instances)
            add_instance(c, m, list_entry(it, struct instance, host_link));
    while ((l = list_pop_front(&n->added)))
        if (!n->desired_full)
            add_instance(c, m, list_entry(l, struct instance, added_link));
    if (!n->desired_full) {
        m->since = epoch(c, n->desired_sequence);
        m->removed = actions_alloc(c->out, n->removed_count * sizeof(char *));
        for (size_t i = 0; i < n->removed_count; i++)
            m->removed[m->n_removed++] = actions_strdup(c->out, n->removed[i]);
    }
    node_removed_clear(n);
    n->desired_full = false;
    m->epoch = epoch(c, ++n->desired_sequence);
    cm = actions_send(c->out, n->peer);
    cm->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
    cm->desired = m;
}

void sync_desired(struct core *c)
{
    struct list *l;

    while ((l = list_pop_front(&c->nodes_dirty))) {
        struct node *n = list_entry(l, struct node, dirty_link);

        if (n->peer)
            send_desired(c, n);
    }
    list_for_each(it, &c->wanted)
    {
        struct fn *f = list_entry(it, struct fn, wanted_link);

        list_del(&f->wanted_link);
        sync_slots_wanted(c, f);
    }
}

/* ---- SlotWanted */

static void send_wanted(struct core *c, const struct fn *f, const struct node *n,
                        const char *revision, uint32_t count)
{
    ControllerMessage *cm = actions_send(c->out, n->peer);
    SlotWanted *m = actions_alloc(c->out, sizeof(*m));

    rouse__control__v1__slot_wanted__init(m);
    m->function_key = actions_strdup(c->out, f->spec->key);
    m->revision = actions_strdup(c->out, revision);
    m->count = count;
    cm->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED;
    cm->slot_wanted = m;
}

/* An agent counts its level down with every slot it offers: after an offer it is told again. */
void sync_slots_wanted(struct core *c, struct fn *f)
{
    for (size_t k = 0; k < f->presence_count; k++) {
        struct presence *p = &f->presence[k];
        uint32_t count = p->instances && fn_live(f) ? f->queue.count : 0;

        if (p->wanted_to != p->node->peer) { /* a level ends with its connection */
            p->wanted_to = p->node->peer;
            p->wanted_sent = 0;
            p->offered = false;
        }
        if (!p->node->peer)
            continue;
        if (p->wanted_sent && strcmp(p->wanted_revision, f->active->id)) {
            send_wanted(c, f, p->node, p->wanted_revision, 0); /* another one has the traffic now */
            p->wanted_sent = 0;
        }
        if (count == p->wanted_sent && !(count && p->offered))
            continue;
        send_wanted(c, f, p->node, f->active->id, count);
        strcpy(p->wanted_revision, f->active->id);
        p->wanted_sent = count;
        p->offered = false;
    }
}
