/* cluster_node.c - a node: what its agent would do with the controller's messages. */
#include "instance_state.h"
#include "simulate/cluster_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_MS  100
#define REPORT_NS NS_PER_S
#define STOP_NS   (2 * NS_PER_MS)

/* ---- what it says */

void node_hello(struct cluster *c, struct sim_node *n)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    Rouse__Control__V1__Resources r = ROUSE__CONTROL__V1__RESOURCES__INIT;
    Rouse__Control__V1__RuntimeInfo runtime = ROUSE__CONTROL__V1__RUNTIME_INFO__INIT,
                                    *runtimes[] = {&runtime};

    runtime.name = "simulated";
    r.memory = n == c->nodes[0] ? 1 : c->config.node_memory;
    r.cpu = n == c->nodes[0] ? 1 : c->config.node_cpu;
    h.protocol = 1;
    h.node = n->name;
    h.incarnation = 1;
    h.peer_address = "tcp://127.0.0.1:8081";
    h.allocatable = &r;
    h.runtimes = runtimes;
    h.n_runtimes = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    cluster_tell(c, n, &m);
}

static void tell_state(struct cluster *c, struct sim_instance *i, enum instance_state state)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;

    s.id = i->id;
    s.function_key = i->function->key;
    s.revision = "1";
    s.state = (Rouse__Control__V1__InstanceState)state;
    s.slots = i->slots;
    s.in_flight = i->in_flight;
    s.idle_since_ms = i->in_flight ? 0 : i->idle_since / NS_PER_MS;
    s.ready_at_ms = i->ready_at / NS_PER_MS;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    cluster_tell(c, i->node, &m);
}

void nodes_acknowledge(struct cluster *c)
{
    c->ack_due = false;
    for (size_t k = 0; k < c->node_count; k++) {
        AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
        Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
        Epoch routes = ROUSE__CONTROL__V1__EPOCH__INIT;

        if (!c->nodes[k]->there)
            continue;
        routes.incarnation = c->incarnation;
        routes.sequence = c->nodes[k]->routes;
        ack.routes = &routes;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
        m.ack = &ack;
        cluster_tell(c, c->nodes[k], &m);
    }
}

/* ---- load */

void instance_count(struct cluster *c, struct sim_instance *i)
{
    uint64_t passed = c->now - i->busy_at;

    i->busy += i->in_flight ? passed : 0;
    i->area += i->in_flight * passed;
    i->busy_at = c->now;
}

/* It goes on telling until it has told once that nothing happens. */
static void has_news(struct cluster *c, struct sim_instance *i)
{
    struct sim_node *n = i->node;

    i->quiet = 0;
    if (list_empty(&i->told_link))
        list_push_back(&n->told, &i->told_link);
    if (!n->reports)
        events_put(&c->events, (c->now / REPORT_NS + 1) * REPORT_NS, CLUSTER_REPORT, n, 0);
    n->reports = true;
}

void node_report(struct cluster *c, struct sim_node *n)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    struct line {
        Rouse__Control__V1__FunctionLoad load;
        Rouse__Control__V1__InstanceLoad instance;
    } * lines;
    size_t count = 0, k = 0;

    list_for_each(it, &n->told) count++;
    lines = calloc(count + 1, sizeof(*lines));
    r.functions = calloc(count + 1, sizeof(*r.functions));
    r.instances = calloc(count + 1, sizeof(*r.instances));
    if (!lines || !r.functions || !r.instances)
        abort();
    list_for_each(it, &n->told)
    {
        struct sim_instance *i = list_entry(it, struct sim_instance, told_link);
        struct line *l = &lines[k];

        instance_count(c, i);
        rouse__control__v1__function_load__init(&l->load);
        rouse__control__v1__instance_load__init(&l->instance);
        l->load.function_key = i->function->key;
        l->load.revision = "1";
        l->load.concurrency = (double)i->area / REPORT_NS;
        l->load.requests = i->begun;
        l->instance.id = i->id;
        l->instance.in_flight = i->in_flight;
        l->instance.memory = (uint64_t)i->function->memory << 20; /* all that it may have */
        l->instance.idle_since_ms = i->in_flight ? 0 : i->idle_since / NS_PER_MS;
        r.functions[k] = &l->load;
        r.instances[k++] = &l->instance;
        if (!i->in_flight && !i->area && i->quiet++)
            list_del(&i->told_link);
        i->area = i->begun = 0;
    }
    r.interval_ms = REPORT_NS / NS_PER_MS;
    r.n_functions = r.n_instances = count;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    m.report = &r;
    cluster_tell(c, n, &m);
    free(lines);
    free(r.functions);
    free(r.instances);
    n->reports = !list_empty(&n->told);
    if (n->reports)
        events_put(&c->events, c->now + REPORT_NS, CLUSTER_REPORT, n, 0);
}

/* ---- slots */

static uint32_t unused(const struct sim_instance *i)
{
    return i->ready && !i->removed ? i->slots - i->in_flight - i->offered : 0;
}

static void list_free(struct sim_instance *i)
{
    list_del(&i->free_link);
    if (i->routed && unused(i))
        list_push_front(&i->function->free, &i->free_link);
}

void instance_offer(struct cluster *c, struct sim_instance *i)
{
    for (; i->level->wanted && unused(i); i->level->wanted--) {
        AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
        SlotFree f = ROUSE__CONTROL__V1__SLOT_FREE__INIT;
        struct sim_slot *s = calloc(1, sizeof(*s));

        if (!s)
            abort();
        s->id = ++c->next_slot;
        s->instance = i;
        if (map_put(&c->slots, &s->by_id, (const char *)&s->id, sizeof(s->id)) < 0)
            abort();
        i->offered++;
        events_put(&c->events, c->now + LEASE_MS * NS_PER_MS, CLUSTER_LEASE, NULL, s->id);
        f.slot = s->id;
        f.instance = i->id;
        f.function_key = i->function->key;
        f.revision = "1";
        f.lease_ms = LEASE_MS;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
        m.slot_free = &f;
        cluster_tell(c, i->node, &m);
    }
    list_free(i);
}

/* Later, since the core may be at work now; nothing begins there meanwhile. */
static void stop_if_idle(struct cluster *c, struct sim_instance *i)
{
    if (!i->removed || !i->ready || i->in_flight || i->offered || i->stopping)
        return;
    i->stopping = true;
    events_put(&c->events, c->now + STOP_NS, CLUSTER_STOPPED, i, 0);
}

void instance_stopped(struct cluster *c, struct sim_instance *i)
{
    instance_count(c, i);
    tell_state(c, i, STATE_STOPPED);
    outcome_end(c->out, i->function->memory, i->created - CLUSTER_BEGIN, c->now - CLUSTER_BEGIN,
                i->busy);
    i->node->instances--;
    list_del(&i->free_link);
    list_del(&i->all_link);
    list_del(&i->told_link);
    map_del(&c->instances, &i->by_id);
    free(i);
}

void lease_over(struct cluster *c, uint64_t slot)
{
    struct map_node *m = map_get(&c->slots, &slot, sizeof(slot));
    struct sim_slot *s = m ? map_entry(m, struct sim_slot, by_id) : NULL;

    if (!s)
        return;
    map_del(&c->slots, m);
    s->instance->offered--;
    instance_offer(c, s->instance);
    stop_if_idle(c, s->instance);
    free(s);
}

void instance_begin(struct cluster *c, struct sim_instance *i, uint64_t duration)
{
    instance_count(c, i);
    i->in_flight++;
    i->begun++;
    list_free(i);
    has_news(c, i);
    events_put(&c->events, c->now + duration, CLUSTER_DONE, i, 0);
}

void instance_done(struct cluster *c, struct sim_instance *i)
{
    instance_count(c, i);
    i->in_flight--;
    i->idle_since = c->now;
    has_news(c, i);
    instance_offer(c, i);
    stop_if_idle(c, i);
}

void instance_ready(struct cluster *c, struct sim_instance *i)
{
    i->ready = true;
    i->ready_at = i->idle_since = i->busy_at = c->now;
    if (i->removed) {
        stop_if_idle(c, i);
        return;
    }
    tell_state(c, i, STATE_READY);
    instance_offer(c, i);
}

/* ---- what it hears */

static struct sim_instance *find(struct cluster *c, const char *id)
{
    struct map_node *m = map_get_str(&c->instances, id);

    return m ? map_entry(m, struct sim_instance, by_id) : NULL;
}

static struct sim_function *function_of(struct cluster *c, const char *key)
{
    return &c->functions[strtoul(strchr(key, '/') + 2, NULL, 10)];
}

static struct sim_level *level_of(struct sim_function *f, struct sim_node *n)
{
    struct sim_level *l;

    list_for_each(it, &f->levels)
    {
        l = list_entry(it, struct sim_level, link);
        if (l->node == n)
            return l;
    }
    l = calloc(1, sizeof(*l));
    if (!l)
        abort();
    l->node = n;
    list_push_front(&f->levels, &l->link);
    return l;
}

static void start(struct cluster *c, struct sim_node *n, const DesiredInstance *d)
{
    struct sim_instance *i = calloc(1, sizeof(*i));

    if (!i)
        abort();
    snprintf(i->id, sizeof(i->id), "%s", d->id);
    i->function = function_of(c, d->function_key);
    i->node = n;
    i->level = level_of(i->function, n);
    i->slots = c->config.concurrency;
    i->created = i->busy_at = c->now;
    list_init(&i->free_link);
    list_init(&i->told_link);
    list_push_back(&i->function->all, &i->all_link);
    if (map_put(&c->instances, &i->by_id, i->id, strlen(i->id)) < 0)
        abort();
    n->instances++;
    outcome_start(c->out);
    events_put(&c->events, c->now + cluster_start_time(&c->draw, c->config.start, c->config.init),
               CLUSTER_READY, i, 0);
}

static void desired(struct cluster *c, struct sim_node *n, const Desired *d)
{
    for (size_t k = 0; k < d->n_instances; k++)
        if (!find(c, d->instances[k]->id))
            start(c, n, d->instances[k]);
    for (size_t k = 0; k < d->n_removed; k++) {
        struct sim_instance *i = find(c, d->removed[k]);

        if (!i)
            continue;
        i->removed = true;
        list_free(i);
        stop_if_idle(c, i);
    }
}

/* All nodes hear the same: what is said to the entry counts. */
static void routes(struct cluster *c, struct sim_node *n, const Routes *r)
{
    n->routes = r->epoch->sequence;
    c->incarnation = r->epoch->incarnation;
    if (!c->ack_due)
        events_put(&c->events, c->now + NS_PER_MS, CLUSTER_ACK, NULL, 0);
    c->ack_due = true;
    if (n != c->nodes[0])
        return;
    for (size_t k = 0; k < r->n_removed_endpoints; k++) {
        struct sim_instance *i = find(c, r->removed_endpoints[k]);

        if (i) {
            i->routed = false;
            list_free(i);
        }
    }
    for (size_t k = 0; k < r->n_endpoints; k++) {
        struct sim_instance *i = find(c, r->endpoints[k]->instance);

        if (i) {
            i->routed = true;
            list_free(i);
        }
    }
}

static void slot_wanted(struct cluster *c, struct sim_node *n, const SlotWanted *w)
{
    struct sim_function *f = function_of(c, w->function_key);

    level_of(f, n)->wanted = w->count;
    list_for_each(it, &f->all)
    {
        struct sim_instance *i = list_entry(it, struct sim_instance, all_link);

        if (i->node == n && w->count && unused(i))
            events_put(&c->events, c->now, CLUSTER_OFFER, i, 0);
    }
}

void node_message(struct cluster *c, struct sim_node *n, const ControllerMessage *m)
{
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        desired(c, n, m->desired);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES:
        routes(c, n, m->routes);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        slot_wanted(c, n, m->slot_wanted);
        break;
    default: /* what a node of values has no use for */
        break;
    }
}
