/* world.h - a decision core and agents made of values: events go in, what the core wants is carried
 * out on them. */
#pragma once
#include "base/cleanup.h"
#include "base/clock.h"
#include "brain/core.h"
#include "control/channel.h"
#include "instance_state.h"
#include "unit.h"
#include "values.h"

#include <stdio.h>
#include <string.h>

#define MS(n) ((uint64_t)(n)*NS_PER_MS)
#define S(n)  ((uint64_t)(n)*NS_PER_S)
#define MI    (1ull << 20)

enum { AGENTS = 6, HELD = 2048, ANSWERS = 65536, NOTES = 64 };

struct fake_instance {
    char id[64], key[64], revision[32];
    enum instance_state state;
};
struct answer {
    uint64_t peer, ticket, slot;
    bool granted;
    unsigned status;
    char reason[32], message[256], allow[64], instance[64], revision[32], route[64];
    uint32_t retry_after;
};
struct agent {
    char name[24];
    uint64_t peer, incarnation; /* peer 0: away */
    uint64_t memory;
    const char *label[2], *taint[2];      /* key and value, or NULL */
    struct fake_instance instances[HELD]; /* in its Desired, or still running */
    size_t count;
    bool silent; /* does not acknowledge */
    uint64_t desired_incarnation, desired, routes_incarnation, routes;
    unsigned desired_messages, routes_messages, welcomes, rejects;
    bool routes_full; /* the last one */
    uint32_t wanted;  /* the last SlotWanted */
    char wanted_revision[32];
    struct level {
        char key[64], revision[32];
        uint32_t wanted;
    } levels[32]; /* of this connection */
    size_t level_count;
    unsigned slots_back;
    uint64_t slot_back; /* the last one */
    char endpoints[HELD][64];
    size_t endpoint_count;
    char routed[32][2][64]; /* key, revision */
    size_t routed_count;
    char siblings[AGENTS][2][64]; /* nodes that it was told of: name, peer address */
    size_t sibling_count;
    bool cordoned;
    bool closed; /* the core wants its channel closed */
};
struct asked {
    enum provider_verb verb;
    char pool[64], node[64];
};
struct world {
    struct core *core;
    /* What agents do at a message, in its order; NULL at a: it has left. No event may be given to the core. May be NULL. */
    void (*on_message)(struct agent *a, const ControllerMessage *m);
    uint64_t now, next_peer, next_slot, next_ticket;
    struct agent agents[AGENTS];
    struct answer *answers;
    size_t answer_count;
    struct function_status status; /* the last one, of any function */
    char status_key[64];
    char finalized[16][64];
    size_t finalized_count;
    unsigned published, unpublished;
    unsigned histories;     /* that were to be kept, or dropped */
    char history[256];      /* the last one: "KEY TEXT", "-" for none */
    unsigned queries;       /* for external metrics */
    char query[64];         /* the last one */
    struct asked asked[32]; /* of providers of nodes */
    size_t asked_count;
    char object_status[1024]; /* the last one */
    unsigned noted;
    char notes[NOTES][256]; /* the last ones: "KEY [!]REASON: MESSAGE" */
};

static inline struct core_config world_config(void)
{
    struct core_config c = core_defaults;

    c.incarnation = 4711;
    c.adopt_ns = 1;
    c.peer_secret = "secret";
    c.activator_address = "tcp://127.0.0.1:7081";
    return c;
}

static inline void world_init(struct world *w, const struct core_config *config)
{
    struct core_config c = config ? *config : world_config();

    memset(w, 0, sizeof(*w));
    w->now = S(1000);
    w->answers = calloc(ANSWERS, sizeof(*w->answers));
    ck_assert_int_eq(core_new(&c, w->now, &w->core), 0);
    w->now += MS(1);
}

static inline void world_done(struct world *w)
{
    core_free(w->core);
    free(w->answers);
}

/* ---- carrying out */

static inline struct agent *world_agent_of(struct world *w, uint64_t peer)
{
    for (int i = 0; i < AGENTS; i++)
        if (peer && w->agents[i].peer == peer)
            return &w->agents[i];
    return NULL;
}

static inline struct fake_instance *agent_instance(struct agent *a, const char *id)
{
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->instances[i].id, id))
            return &a->instances[i];
    return NULL;
}

static inline void agent_forget(struct agent *a, const char *id)
{
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->instances[i].id, id))
            a->instances[i--] = a->instances[--a->count];
}

static inline void take_desired(struct agent *a, const Desired *d)
{
    a->desired_messages++;
    if (!d->since) {
        for (size_t i = 0; i < a->count; i++) {
            bool named = false;

            for (size_t k = 0; k < d->n_instances; k++)
                named = named || !strcmp(d->instances[k]->id, a->instances[i].id);
            if (!named)
                a->instances[i].state = STATE_DRAINING;
        }
    } else {
        ck_assert_uint_eq(d->since->sequence, a->desired);
        ck_assert_uint_eq(d->since->incarnation, a->desired_incarnation);
    }
    for (size_t k = 0; k < d->n_instances; k++) {
        struct fake_instance *i = agent_instance(a, d->instances[k]->id);

        if (i)
            continue;
        ck_assert_uint_lt(a->count, HELD);
        i = &a->instances[a->count++];
        *i = (struct fake_instance){.state = STATE_PENDING};
        snprintf(i->id, sizeof(i->id), "%s", d->instances[k]->id);
        snprintf(i->key, sizeof(i->key), "%s", d->instances[k]->function_key);
        snprintf(i->revision, sizeof(i->revision), "%s", d->instances[k]->revision);
    }
    for (size_t k = 0; k < d->n_removed; k++) {
        struct fake_instance *i = agent_instance(a, d->removed[k]);

        if (i && (i->state == STATE_FAILED || i->state == STATE_STOPPED))
            agent_forget(a, d->removed[k]);
        else if (i)
            i->state = STATE_DRAINING;
    }
    a->desired_incarnation = d->epoch->incarnation;
    a->desired = d->epoch->sequence;
}

static inline void drop_endpoint(struct agent *a, const char *id)
{
    for (size_t i = 0; i < a->endpoint_count; i++)
        if (!strcmp(a->endpoints[i], id))
            memcpy(a->endpoints[i--], a->endpoints[--a->endpoint_count], 64);
}

static inline void drop_route(struct agent *a, const char *key)
{
    for (size_t i = 0; i < a->routed_count; i++)
        if (!strcmp(a->routed[i][0], key))
            memcpy(a->routed[i--], a->routed[--a->routed_count], sizeof(a->routed[0]));
}

static inline void take_routes(struct agent *a, const Routes *m)
{
    ck_assert_uint_lt(protobuf_c_message_get_packed_size(&m->base) + 64, CONTROL_MESSAGE_MAX);
    a->routes_messages++;
    a->routes_full = !m->since;
    if (!m->since) {
        a->endpoint_count = a->routed_count = 0;
    } else {
        ck_assert_uint_eq(m->since->sequence, a->routes);
        ck_assert_uint_eq(m->since->incarnation, a->routes_incarnation);
    }
    for (size_t k = 0; k < m->n_removed_endpoints; k++)
        drop_endpoint(a, m->removed_endpoints[k]);
    for (size_t k = 0; k < m->n_removed_routes; k++)
        drop_route(a, m->removed_routes[k]);
    for (size_t k = 0; k < m->n_endpoints; k++) {
        drop_endpoint(a, m->endpoints[k]->instance);
        snprintf(a->endpoints[a->endpoint_count++], 64, "%s", m->endpoints[k]->instance);
    }
    for (size_t k = 0; k < m->n_routes; k++) {
        drop_route(a, m->routes[k]->function_key);
        snprintf(a->routed[a->routed_count][0], 64, "%s", m->routes[k]->function_key);
        snprintf(a->routed[a->routed_count++][1], 64, "%s", m->routes[k]->revision);
    }
    a->routes_incarnation = m->epoch->incarnation;
    a->routes = m->epoch->sequence;
}

static inline size_t sibling_of(const struct agent *a, const char *node)
{
    size_t k = 0;

    while (k < a->sibling_count && strcmp(a->siblings[k][0], node) != 0)
        k++;
    return k;
}

static inline void take_nodes(struct agent *a, const Nodes *m)
{
    if (m->all)
        a->sibling_count = 0;
    for (size_t i = 0; i < m->n_nodes; i++) {
        size_t k = sibling_of(a, m->nodes[i]->node);

        ck_assert_uint_lt(k, AGENTS);
        a->sibling_count += k == a->sibling_count;
        snprintf(a->siblings[k][0], 64, "%s", m->nodes[i]->node);
        snprintf(a->siblings[k][1], 64, "%s", m->nodes[i]->peer_address);
    }
    for (size_t i = 0; i < m->n_removed; i++) {
        size_t k = sibling_of(a, m->removed[i]);

        ck_assert_uint_lt(k, a->sibling_count);
        memmove(a->siblings[k], a->siblings[k + 1],
                (--a->sibling_count - k) * sizeof(a->siblings[0]));
    }
}

static inline struct level *level_of(struct agent *a, const char *key, const char *revision)
{
    struct level *l = a->levels;

    while (l < a->levels + a->level_count && (strcmp(l->key, key) || strcmp(l->revision, revision)))
        l++;
    if (l == a->levels + a->level_count) {
        ck_assert_uint_lt(a->level_count++, ARRAY_LEN(a->levels));
        *l = (struct level){0};
        snprintf(l->key, sizeof(l->key), "%s", key);
        snprintf(l->revision, sizeof(l->revision), "%s", revision);
    }
    return l;
}

static inline void take_message(struct world *w, uint64_t peer, const ControllerMessage *m)
{
    struct agent *a = world_agent_of(w, peer);
    struct answer *to = &w->answers[w->answer_count];

    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        w->answer_count++;
        *to = (struct answer){
            .peer = peer, .ticket = m->grant->ticket, .slot = m->grant->slot, .granted = true};
        snprintf(to->instance, sizeof(to->instance), "%s", m->grant->instance);
        snprintf(to->revision, sizeof(to->revision), "%s", m->grant->revision);
        snprintf(to->route, sizeof(to->route), "%s", m->grant->route);
        return;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        w->answer_count++;
        *to = (struct answer){.peer = peer,
                              .ticket = m->refuse->ticket,
                              .status = m->refuse->status,
                              .retry_after = m->refuse->retry_after_s};
        snprintf(to->reason, sizeof(to->reason), "%s", m->refuse->reason);
        snprintf(to->message, sizeof(to->message), "%s", m->refuse->message);
        snprintf(to->allow, sizeof(to->allow), "%s", m->refuse->allow);
        return;
    default:
        break;
    }
    if (!a)
        return;
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME:
        a->welcomes++;
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_NODES:
        take_nodes(a, m->nodes);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT:
        a->rejects++;
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        take_desired(a, m->desired);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES:
        take_routes(a, m->routes);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON:
        a->cordoned = m->cordon->cordoned;
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK:
        a->slots_back++;
        a->slot_back = m->slot_back->slot;
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        a->wanted = m->slot_wanted->count;
        level_of(a, m->slot_wanted->function_key, m->slot_wanted->revision)->wanted =
            m->slot_wanted->count;
        snprintf(a->wanted_revision, sizeof(a->wanted_revision), "%s", m->slot_wanted->revision);
        break;
    default:
        break;
    }
}

static inline void take_actions(struct world *w, struct actions *out)
{
    for (struct action *a = out->first; a; a = a->next) {
        struct answer *to = &w->answers[w->answer_count];

        switch (a->kind) {
        case ACTION_SEND:
            take_message(w, a->send.peer, a->send.message);
            if (w->on_message)
                w->on_message(world_agent_of(w, a->send.peer), a->send.message);
            break;
        case ACTION_CLOSE:
            if (world_agent_of(w, a->close.peer))
                world_agent_of(w, a->close.peer)->closed = true;
            break;
        case ACTION_ANSWER:
            w->answer_count++;
            *to = (struct answer){.ticket = a->answer.ticket,
                                  .slot = a->answer.grant->slot,
                                  .granted = a->answer.grant->granted,
                                  .status = (unsigned)a->answer.grant->status,
                                  .retry_after = a->answer.grant->retry_after_s};
            snprintf(to->reason, sizeof(to->reason), "%s", a->answer.grant->reason);
            snprintf(to->message, sizeof(to->message), "%s", a->answer.grant->message);
            snprintf(to->allow, sizeof(to->allow), "%.63s", a->answer.grant->allow);
            snprintf(to->instance, sizeof(to->instance), "%s", a->answer.grant->instance);
            break;
        case ACTION_STATUS:
            w->status = *a->status.status;
            snprintf(w->status_key, sizeof(w->status_key), "%s", a->status.key);
            break;
        case ACTION_FINALIZE:
            snprintf(w->finalized[w->finalized_count++ % 16], 64, "%s", a->stored.key);
            break;
        case ACTION_PUBLISH:
            w->published++;
            break;
        case ACTION_UNPUBLISH:
            w->unpublished++;
            break;
        case ACTION_HISTORY:
            w->histories++;
            snprintf(w->history, sizeof(w->history), "%s %s", a->history.key,
                     a->history.text ? a->history.text : "-");
            break;
        case ACTION_QUERY:
            w->queries++;
            snprintf(w->query, sizeof(w->query), "%s", a->query.text);
            break;
        case ACTION_OBJECT_STATUS:
            snprintf(w->object_status, sizeof(w->object_status), "%s", a->stored.status);
            break;
        case ACTION_PROVIDER:
            ck_assert_uint_lt(w->asked_count, 32);
            w->asked[w->asked_count].verb = a->provider->verb;
            snprintf(w->asked[w->asked_count].pool, 64, "%s", a->provider->pool->name);
            snprintf(w->asked[w->asked_count++].node, 64, "%s", a->provider->node);
            break;
        case ACTION_NOTE:
            snprintf(w->notes[w->noted++ % NOTES], sizeof(w->notes[0]), "%s %s%s: %s", a->note.key,
                     a->note.warning ? "!" : "", a->note.reason, a->note.message);
            break;
        case ACTION_LOG:
            break;
        }
    }
    actions_done(out);
    ck_assert_uint_lt(w->answer_count, ANSWERS);
}

static inline void send_message(struct world *w, uint64_t peer, const AgentMessage *m)
{
    struct actions out = {0};

    core_agent_message(w->core, w->now, peer, m, &out);
    take_actions(w, &out);
}

static inline void turn(struct world *w)
{
    struct actions out = {0};
    const char *what = "";

    core_turn(w->core, w->now, &out);
    take_actions(w, &out);
    ck_assert_msg(core_check(w->core, &what) == 0, "%s", what);
}

static inline void acks(struct world *w)
{
    for (int i = 0; i < AGENTS; i++) {
        struct agent *a = &w->agents[i];
        AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
        Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
        Epoch routes = ROUSE__CONTROL__V1__EPOCH__INIT;

        if (!a->peer || a->silent)
            continue;
        routes.incarnation = a->routes_incarnation;
        routes.sequence = a->routes;
        ack.routes = &routes;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
        m.ack = &ack;
        send_message(w, a->peer, &m);
    }
}

/* Decides, lets the agents acknowledge, decides again. */
static inline void settle(struct world *w)
{
    turn(w);
    acks(w);
    turn(w);
    turn(w);
}

/* Lets the time go by, stopping wherever the core wants to. */
static inline void pass(struct world *w, uint64_t ns)
{
    uint64_t end = w->now + ns;
    unsigned turns = 0;

    while (w->now < end) {
        uint64_t due = core_due(w->core);

        w->now = due <= w->now ? w->now : due < end ? due : end;
        settle(w);
        if (due <= w->now && ++turns > 20000)
            ck_abort_msg("the core never comes to rest");
        if (w->now < end && core_due(w->core) <= w->now)
            w->now++;
    }
}

/* ---- agents */

static inline void hello_of(struct world *w, struct agent *a)
{
    Rouse__Control__V1__Hello__LabelsEntry label, *labels[] = {&label};
    Rouse__Control__V1__Taint taint = ROUSE__CONTROL__V1__TAINT__INIT, *taints[] = {&taint};
    Epoch desired = ROUSE__CONTROL__V1__EPOCH__INIT, routes = ROUSE__CONTROL__V1__EPOCH__INIT;
    InstanceStatus *all = calloc(a->count + 1, sizeof(*all)),
                   **list = calloc(a->count + 1, sizeof(*list));
    struct hello h;

    hello_init(&h, a->name, a->incarnation, a->memory, 256000);
    rouse__control__v1__hello__labels_entry__init(&label);
    label.key = (char *)a->label[0];
    label.value = (char *)a->label[1];
    taint.key = (char *)a->taint[0];
    taint.value = (char *)a->taint[1];
    h.hello.labels = labels;
    h.hello.n_labels = a->label[0] != NULL;
    h.hello.taints = taints;
    h.hello.n_taints = a->taint[0] != NULL;
    for (size_t i = 0; i < a->count; i++) {
        list[i] = &all[i];
        rouse__control__v1__instance_status__init(list[i]);
        all[i].id = a->instances[i].id;
        all[i].function_key = a->instances[i].key;
        all[i].revision = a->instances[i].revision;
        all[i].state = (Rouse__Control__V1__InstanceState)a->instances[i].state;
    }
    h.hello.instances = list;
    h.hello.n_instances = a->count;
    desired.incarnation = a->desired_incarnation;
    desired.sequence = a->desired;
    routes.incarnation = a->routes_incarnation;
    routes.sequence = a->routes;
    h.hello.desired = a->desired ? &desired : NULL;
    h.hello.routes = a->routes ? &routes : NULL;
    send_message(w, a->peer, &h.message);
    free(all);
    free(list);
}

static inline struct agent *join(struct world *w, int at, uint64_t memory)
{
    struct agent *a = &w->agents[at];

    if (!a->incarnation) {
        snprintf(a->name, sizeof(a->name), "node-%d", at);
        a->incarnation = 100 + (uint64_t)at;
        a->memory = memory;
    }
    a->peer = ++w->next_peer;
    a->closed = false;
    a->wanted = 0;
    a->level_count = 0;
    hello_of(w, a);
    settle(w);
    return a;
}

static inline void leave(struct world *w, struct agent *a)
{
    struct actions out = {0};

    core_agent_closed(w->core, w->now, a->peer, "gone", &out);
    a->peer = 0;
    take_actions(w, &out);
    settle(w);
}

static inline void tell_why(struct world *w, struct agent *a, struct fake_instance *i,
                            enum instance_state state, const char *reason, const char *message)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    char id[64];

    snprintf(id, sizeof(id), "%s", i->id);
    i->state = state;
    s.id = id;
    s.function_key = i->key;
    s.revision = i->revision;
    s.state = (Rouse__Control__V1__InstanceState)state;
    s.reason = (char *)reason;
    s.message = (char *)message;
    s.slots = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    send_message(w, a->peer, &m);
    if (state == STATE_STOPPED || state == STATE_FAILED)
        agent_forget(a, id);
}

static inline void tell(struct world *w, struct agent *a, struct fake_instance *i,
                        enum instance_state state)
{
    tell_why(w, a, i, state, "", "");
}

/* The n-th instance of the agent in that state; NULL if there are fewer. */
static inline struct fake_instance *nth(struct agent *a, enum instance_state state, size_t n)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->instances[i].state == state && !n--)
            return &a->instances[i];
    return NULL;
}

static inline size_t count_in(struct agent *a, enum instance_state state)
{
    size_t n = 0;

    while (nth(a, state, n))
        n++;
    return n;
}

static inline uint64_t offer(struct world *w, struct agent *a, struct fake_instance *i)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    SlotFree s = ROUSE__CONTROL__V1__SLOT_FREE__INIT;

    s.slot = ++w->next_slot;
    s.instance = i->id;
    s.function_key = i->key;
    s.revision = i->revision;
    s.lease_ms = 100;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
    m.slot_free = &s;
    send_message(w, a->peer, &m);
    return s.slot;
}

/* Everything that waits for its node becomes Ready; everything that drains stops. */
static inline void ready_all(struct world *w, struct agent *a)
{
    struct fake_instance *i;

    while ((i = nth(a, STATE_PENDING, 0)))
        tell(w, a, i, STATE_READY);
}

static inline void stop_drained(struct world *w, struct agent *a)
{
    struct fake_instance *i;

    while ((i = nth(a, STATE_DRAINING, 0)))
        tell(w, a, i, STATE_STOPPED);
}

static inline uint64_t send_ticket(struct world *w, struct agent *a, Ticket *t)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    t->id = ++w->next_ticket;
    t->deadline_in_ms = 30000;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    m.ticket = t;
    send_message(w, a->peer, &m);
    return t->id;
}

static inline uint64_t ticket_of_host(struct world *w, struct agent *a, const char *host,
                                      const char *method, const char *path)
{
    Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;

    t.host = (char *)host;
    t.method = (char *)method;
    t.path = (char *)path;
    return send_ticket(w, a, &t);
}

static inline uint64_t ticket_on(struct world *w, struct agent *a, const char *key,
                                 const char *method, const char *path, uint64_t waited_ms,
                                 uint32_t attempt)
{
    Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;

    t.function_key = (char *)(key ? key : "");
    t.method = (char *)(method ? method : "");
    t.path = (char *)(path ? path : "");
    t.waited_ms = waited_ms;
    t.attempt = attempt;
    return send_ticket(w, a, &t);
}

static inline uint64_t ticket(struct world *w, struct agent *a, const char *key)
{
    return ticket_on(w, a, key, NULL, NULL, 0, 0);
}

/* Their clients have left. */
static inline void tickets_gone(struct world *w, uint64_t peer, uint64_t *ids, size_t n)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    TicketGone g = ROUSE__CONTROL__V1__TICKET_GONE__INIT;

    g.ids = ids;
    g.n_ids = n;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
    m.ticket_gone = &g;
    send_message(w, peer, &m);
}

/* A second's report. */
static inline void send_report(struct world *w, struct agent *a, Report *r)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    r->interval_ms = 1000;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    m.report = r;
    send_message(w, a->peer, &m);
}

/* ... of a function: so many calls began, and so many seconds of calls went by. */
static inline void report_load(struct world *w, struct agent *a, const char *key,
                               double concurrency, uint64_t begun)
{
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__FunctionLoad f = ROUSE__CONTROL__V1__FUNCTION_LOAD__INIT, *functions[] = {&f};

    f.function_key = (char *)key;
    f.concurrency = concurrency;
    f.requests = begun;
    r.functions = functions;
    r.n_functions = 1;
    send_report(w, a, &r);
}

/* ... of an instance: so many calls run, or since when none does. */
static inline void report_instance(struct world *w, struct agent *a, const struct fake_instance *i,
                                   uint32_t in_flight, uint64_t idle_since_ms)
{
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__InstanceLoad l = ROUSE__CONTROL__V1__INSTANCE_LOAD__INIT, *all[] = {&l};

    l.id = (char *)i->id;
    l.in_flight = in_flight;
    l.idle_since_ms = idle_since_ms;
    r.instances = all;
    r.n_instances = 1;
    send_report(w, a, &r);
}

/* All agents with an instance that is ready. */
static inline void load_reports(struct world *w, double concurrency, const char *key)
{
    for (int k = 0; k < AGENTS; k++)
        if (w->agents[k].peer && count_in(&w->agents[k], STATE_READY))
            report_load(w, &w->agents[k], key, concurrency, concurrency > 0);
}

static inline const struct answer *answer_of(const struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->answer_count; i++)
        if (w->answers[i].ticket == id)
            return &w->answers[i];
    return NULL;
}

/* ---- functions */

/* A function with that path, for that method alone or, with NULL, for any; without one if it is NULL. */
static inline struct function *make_routed(const char *key, const char *revision, const char *path,
                                           const char *method)
{
    struct function *f = make_function(key, revision);

    if (path) {
        f->triggers = calloc(1, sizeof(*f->triggers));
        f->trigger_count = 1;
        f->triggers[0].path = strdup(path);
        if (method) {
            f->triggers[0].methods = calloc(1, sizeof(char *));
            f->triggers[0].methods[0] = strdup(method);
            f->triggers[0].method_count = 1;
        }
    }
    return f;
}

/* Gives the reference away. */
static inline void apply(struct world *w, struct function *old, struct function *now)
{
    struct actions out = {0};

    core_function(w->core, w->now, old, now, &out);
    take_actions(w, &out);
    settle(w);
    function_unref(now);
}

static inline void apply_simple(struct world *w, const char *key, const char *revision)
{
    apply(w, NULL, make_function(key, revision));
}

static inline struct core_counts counts(struct world *w, const char *key)
{
    struct core_counts n = {0};

    ck_assert_msg(core_count(w->core, key, &n), "%s is not there", key);
    return n;
}

/* Whether the core's figures have that line, or the beginning of one. */
static inline bool in_metrics(struct world *w, const char *line)
{
    struct buffer b = {0};
    bool found;
    char *text;

    core_metrics(w->core, w->now, &b);
    text = buffer_take_string(&b);
    found = strstr(text, line) != NULL;
    free(text);
    return found;
}

/* How many of the last notes have that text. */
static inline unsigned noted(const struct world *w, const char *text)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NOTES && i < w->noted; i++)
        n += strstr(w->notes[i], text) != NULL;
    return n;
}
