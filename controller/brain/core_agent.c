/* core_agent.c - what agents say: Hello, states, load, acknowledgements; and what their silence
 * means. */
#include "brain/core_internal.h"

/* ---- Hello */

static void reject(struct core *c, uint64_t peer, const char *why)
{
    ControllerMessage *m = actions_send(c->out, peer);
    HelloReject *r = actions_alloc(c->out, sizeof(*r));
    struct action *a;

    rouse__control__v1__hello_reject__init(r);
    r->reason = actions_strdup(c->out, why);
    m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT;
    m->hello_reject = r;
    a = actions_add(c->out, ACTION_CLOSE);
    a->close.peer = peer;
    a->close.reason = r->reason;
}

static void close_peer(struct core *c, uint64_t peer, const char *why)
{
    struct action *a = actions_add(c->out, ACTION_CLOSE);

    a->close.peer = peer;
    a->close.reason = actions_strdup(c->out, why);
}

static void welcome(struct core *c, const struct node *n)
{
    ControllerMessage *m = actions_send(c->out, n->peer);
    Welcome *w = actions_alloc(c->out, sizeof(*w));

    rouse__control__v1__welcome__init(w);
    w->incarnation = c->config.incarnation;
    w->peer_secret = actions_strdup(c->out, c->config.peer_secret);
    w->activator_address = actions_strdup(c->out, c->config.activator_address);
    m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME;
    m->welcome = w;
}

/* An instance nobody here knows of: kept if its function is wanted, else left out of Desired, and
 * so it drains. */
static void adopt(struct core *c, struct node *n, const InstanceStatus *s)
{
    struct fn *f = fn_find(c, s->function_key);
    struct revision *r;
    enum instance_state state = (enum instance_state)s->state;

    if (!f || !fn_live(f) || !*s->id || strlen(s->id) > INSTANCE_ID_MAX || state <= STATE_UNKNOWN ||
        state >= STATE_COUNT || instance_state_final(state))
        return;
    r = fn_revision(f, s->revision);
    if (!r && fn_revision_foreign(f, s->revision, &r) < 0)
        return;
    if (instance_adopt(c, r, n, s) < 0)
        core_log(c, true, "instance %s on %s: out of memory, it is not adopted", s->id, n->name);
}

static bool named(const Hello *h, const char *id)
{
    for (size_t k = 0; k < h->n_instances; k++)
        if (!strcmp(h->instances[k]->id, id))
            return true;
    return false;
}

/* `same`: the agent has applied the last Desired it was sent. */
static void instances_of_hello(struct core *c, struct node *n, const Hello *h, bool same)
{
    for (size_t k = 0; k < h->n_instances; k++) {
        struct instance *i = instance_find(c, h->instances[k]->id);

        if (!i)
            adopt(c, n, h->instances[k]);
        else if (i->host == n)
            instance_status(c, i, h->instances[k]);
    }
    list_for_each(it, &n->instances)
    {
        struct instance *i = list_entry(it, struct instance, host_link);

        if (named(h, i->id) || !list_empty(&i->added_link) || (!i->reported && !same))
            continue;
        instance_lost(c, i, "its agent came back without it");
    }
}

static void levels_of_hello(struct core *c, struct node *n, const Hello *h, bool same)
{
    const Epoch *r = h->routes;

    if (!same) {
        n->desired_full = true;
        node_removed_clear(n);
    }
    node_dirty(c, n);
    n->routes_sent = n->routes_acked = 0;
    n->routes_due = true;
    n->routes_kept = r && r->sequence && r->incarnation != c->config.incarnation;
    if (r && r->incarnation == c->config.incarnation && r->sequence &&
        r->sequence <= c->routes_sequence) {
        n->routes_sent = n->routes_acked = r->sequence;
        n->routes_due = false;
        c->round_again = true;
    } else {
        spread_fresh(c, n);
    }
    list_for_each(it, &n->instances)
    {
        struct fn *f = list_entry(it, struct instance, host_link)->rev->fn;
        struct presence *p = fn_presence(f, n, false);

        if (p)
            *p = (struct presence){.node = n, .instances = p->instances};
        fn_wanted(c, f);
    }
}

static void hello(struct core *c, uint64_t peer, const Hello *h)
{
    const Epoch *d = h->desired;
    struct node *n = nodes_find(c->nodes, h->node);
    uint64_t replaced = 0, before = n ? n->incarnation : 0;
    bool moved = !n || strcmp(n->gateway_address, h->gateway_address) ||
                 strcmp(n->peer_address, h->peer_address);
    const char *why;
    bool same;

    if (nodes_hello(c->nodes, peer, h, c->now, &n, &replaced, &why) < 0) {
        core_log(c, true, "agent %.64s refused: %s", h->node, why);
        reject(c, peer, why);
        return;
    }
    if (replaced) {
        tickets_of_peer_gone(c, replaced);
        close_peer(c, replaced, "a newer connection of the same node took its place");
    }
    same = d && d->incarnation == c->config.incarnation && d->sequence &&
           d->sequence == n->desired_sequence && h->incarnation == before;
    n->suspected = false;
    node_tallies_changed(n);
    c->capacity_changed = true;
    core_log(c, false, "node %s is ready: %zu instances, peer address %s", n->name, h->n_instances,
             n->peer_address);
    welcome(c, n);
    node_wishes(c, n);
    addresses_tell(c, n);
    if (moved)
        addresses_changed(c, n, false);
    instances_of_hello(c, n, h, same);
    levels_of_hello(c, n, h, same);
    publish_node(c, n);
    note_node(c, n, false, "NodeReady", "its agent is connected");
}

/* ---- the rest of what they say */

/* Little's law: the mean time of a call is the seconds of calls by the calls. */
static void took(struct core *c, struct fn *f, double area, uint64_t begun)
{
    if (c->now - f->run_at >= RUN_NS) {
        f->run_area /= 2;
        f->run_begun /= 2;
        f->run_at = c->now;
    }
    f->run_area += area;
    f->run_begun += (double)begun;
}

static void report_load(struct core *c, struct node *n, const Rouse__Control__V1__FunctionLoad *l,
                        double seconds)
{
    struct fn *f = fn_find(c, l->function_key);
    struct presence *p = f ? fn_presence(f, n, false) : NULL;
    /* No more than the node can have, whatever it says. */
    double running = l->concurrency > 0 && l->concurrency <= LOAD_MAX ? l->concurrency : 0;

    if (!p)
        return;
    p->concurrency += running;
    p->requests += (double)l->requests / seconds;
    p->reported_at = c->now;
    took(c, f, running * seconds, l->requests);
    if (l->requests || running > 0)
        scale_called(c, f);
}

static void report(struct core *c, struct node *n, const Report *m)
{
    double seconds = m->interval_ms ? (double)m->interval_ms / 1000 : 1;

    for (size_t k = 0; k < m->n_functions; k++) { /* one may be named for several revisions */
        struct fn *f = fn_find(c, m->functions[k]->function_key);
        struct presence *p = f ? fn_presence(f, n, false) : NULL;

        if (p)
            p->concurrency = p->requests = 0;
    }
    for (size_t k = 0; k < m->n_functions; k++)
        report_load(c, n, m->functions[k], seconds);
    for (size_t k = 0; k < m->n_instances; k++) {
        struct instance *i = instance_find(c, m->instances[k]->id);

        if (!i || i->host != n || i->dead)
            continue;
        if (i->in_flight != m->instances[k]->in_flight)
            tally_changed(i);
        i->in_flight = m->instances[k]->in_flight;
        if (i->rev->excess)
            fn_dirty(c, i->rev->fn);
        i->idle_since_ms = m->instances[k]->idle_since_ms;
        instance_metrics(i, m->instances[k]->n_metrics, m->instances[k]->metrics);
        instance_uses(c, i, m->instances[k], seconds);
        if (i->in_flight)
            scale_called(c, i->rev->fn);
    }
}

static void ack(struct core *c, struct node *n, const Ack *m)
{
    if (m->routes && m->routes->incarnation == c->config.incarnation &&
        m->routes->sequence <= c->routes_sequence && m->routes->sequence > n->routes_acked)
        n->routes_acked = m->routes->sequence;
}

void core_agent_message(struct core *c, uint64_t now, uint64_t peer, const AgentMessage *m,
                        struct actions *out)
{
    struct node *n = nodes_of_peer(c->nodes, peer);
    struct instance *i;

    c->now = now;
    c->out = out;
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO) {
        hello(c, peer, m->hello);
        return;
    }
    if (!n) { /* refused, or replaced by a newer connection */
        if (m->body_case != ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY__NOT_SET)
            close_peer(c, peer, "Hello comes first");
        return;
    }
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS:
        i = instance_find(c, m->instance_status->id);
        if (i && i->host == n)
            instance_status(c, i, m->instance_status);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET:
        ticket_of_agent(c, n, m->ticket);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE:
        tickets_gone(c, n, m->ticket_gone);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE:
        slot_free(c, n, m->slot_free);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_UNUSED:
        slot_unused(c, m->slot_unused->instance, m->slot_unused->slot);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT:
        report(c, n, m->report);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        ack(c, n, m->ack);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LEAVING:
        n->leaving = true;
        node_moved(n);
        publish_node(c, n);
        break;
    default: /* logs are the brain's; what is newer than us is skipped */
        break;
    }
}

/* ---- silence */

void node_lost(struct core *c, struct node *n, const char *why)
{
    nodes_lost(n, c->now);
    list_for_each(it, &n->instances)
        instance_lost(c, list_entry(it, struct instance, host_link), why);
    node_removed_clear(n);
    publish_node(c, n);
    note_node(c, n, true, "NodeLost", "%s: what it had is started elsewhere", why);
}

void core_agent_closed(struct core *c, uint64_t now, uint64_t peer, const char *reason,
                       struct actions *out)
{
    struct node *n = nodes_of_peer(c->nodes, peer);

    c->now = now;
    c->out = out;
    tickets_of_peer_gone(c, peer);
    if (!n)
        return;
    core_log(c, true, "node %s is not ready: %s", n->name, reason);
    nodes_closed(c->nodes, n, now);
    node_tallies_changed(n);
    list_for_each(it, &n->instances)
    {
        struct instance *i = list_entry(it, struct instance, host_link);

        slots_of_instance_gone(c, i);
        fn_dirty(c, i->rev->fn);
    }
    publish_node(c, n);
    note_node(c, n, !n->leaving, "NodeNotReady", "its agent is %s",
              n->leaving ? "leaving" : "silent");
    /* It said so and stopped what it had: there is no lease to wait for. */
    if (n->leaving)
        node_lost(c, n, "its agent has ended");
}

static void forget_presence(struct fn *f, struct node *n)
{
    struct presence *p = fn_presence(f, n, false);

    if (p)
        memmove(p, p + 1, (size_t)(&f->presence[f->presence_count--] - (p + 1)) * sizeof(*p));
}

static void forget(struct core *c, struct node *n)
{
    map_for_each(m, &c->functions) forget_presence(map_entry(m, struct fn, node), n);
    list_for_each(it, &c->gone) forget_presence(list_entry(it, struct fn, active_link), n);
    instances_forget(c, n);
    unpublish_node(c, n);
    addresses_changed(c, n, true);
    c->round_again = true; /* those behind it moved up, one past where the round is */
    nodes_forget(c->nodes, n);
}

int core_node_delete(struct core *c, uint64_t now, const char *name, bool dry_run, struct actions *out)
{
    struct node *n = nodes_find(c->nodes, name);

    if (!n)
        return -ENOENT;
    if (n->state == NODE_READY)
        return -EBUSY;
    if (dry_run)
        return 0;
    c->now = now;
    c->out = out;
    core_log(c, false, "node %s is deleted", n->name);
    if (n->state == NODE_NOT_READY)
        node_lost(c, n, "its node is deleted");
    forget(c, n);
    return 0;
}

/* Rather this controller is cut off than most nodes are gone: the Cluster Autoscaler's rule. */
static bool too_many_silent(const struct core *c)
{
    enum { SILENT_MIN = 3, SILENT_PERCENT = 45 };
    size_t silent = 0, all = 0;

    if (nodes_count(c->nodes) - nodes_in_state(c->nodes, NODE_READY) <= SILENT_MIN)
        return false;
    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        const struct node *n = nodes_at(c->nodes, k);

        silent += n->state != NODE_READY && !n->leaving;
        all += n->state == NODE_READY || !n->leaving;
    }
    return silent > SILENT_MIN && silent * 100 > SILENT_PERCENT * all;
}

static void halt(struct core *c)
{
    bool now = too_many_silent(c);

    if (c->halted == now)
        return;
    c->halted = now;
    core_log(c, now,
             now ? "too many nodes are silent: nothing is scaled down, and their instances "
                   "are not replaced but for requests that wait"
                 : "enough nodes are back");
    list_for_each(it, &c->active)
    {
        struct fn *f = list_entry(it, struct fn, active_link);

        fn_status_dirty(c, f, false);
        if (!now)
            fn_dirty(c, f);
    }
}

static uint64_t lease(const struct core *c)
{
    return c->halted ? FORGET_NODE_NS : c->config.lease_ns;
}

void agents_tick(struct core *c)
{
    halt(c);
    if (nodes_in_state(c->nodes, NODE_READY) == nodes_count(c->nodes))
        return;
    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        struct node *n = nodes_at(c->nodes, k);
        uint64_t silent = c->now - n->since_ns;

        if (n->state == NODE_NOT_READY && silent >= SUSPECT_NS && !n->suspected) {
            n->suspected = true;
            list_for_each(it, &n->instances)
                fn_dirty(c, list_entry(it, struct instance, host_link)->rev->fn);
        }
        if (n->state == NODE_NOT_READY && silent >= lease(c)) {
            node_lost(c, n, "its node is silent");
        } else if (n->state == NODE_LOST && (n->machine_gone || silent >= FORGET_NODE_NS) &&
                   list_empty(&n->instances)) {
            forget(c, n);
            k--;
        }
    }
}

uint64_t agents_due(const struct core *c)
{
    uint64_t at = 0;

    if (nodes_in_state(c->nodes, NODE_READY) == nodes_count(c->nodes))
        return 0;
    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        const struct node *n = nodes_at(c->nodes, k);
        uint64_t due = n->state == NODE_READY  ? 0
                       : n->state == NODE_LOST ? n->since_ns + (n->machine_gone ? 0 : FORGET_NODE_NS)
                       : !n->suspected         ? n->since_ns + SUSPECT_NS
                                               : n->since_ns + lease(c);

        if (due && (!at || due < at))
            at = due;
    }
    return at;
}
