/* crowd_instance.c - the instances that agents say they have: starting, being served, frozen, stopped, reported. */
#include "bench/agents/crowd.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 100, FREEZE_AFTER_MS = 1000 };

/* ---- states */

static void tell(struct crowd *c, struct crowd_instance *i, Rouse__Control__V1__InstanceState state)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    Rouse__Control__V1__PhaseTimes t = ROUSE__CONTROL__V1__PHASE_TIMES__INIT;
    char key[32];

    crowd_key(i->function, key);
    t.schedule = 100;
    t.fetch = t.sandbox = t.runtime = t.init = 1;
    s.id = i->id;
    s.function_key = key;
    s.revision = i->revision;
    s.state = state;
    s.slots = 1;
    s.phases = &t;
    if (state >= ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY) {
        s.ready_at_ms = clock_wall_ms();
        s.idle_since_ms = i->idle_since_ms;
    }
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    crowd_send(c, i->agent, &m);
}

struct crowd_instance *crowd_instance(const struct crowd *c, const char *id)
{
    struct map_node *n = map_get_str(&c->instances, id);

    return n ? map_entry(n, struct crowd_instance, node) : NULL;
}

/* A request that waits at the same node is served there, and takes its ticket back. */
static void serve_own(struct crowd *c, const struct crowd_instance *i)
{
    struct call *call = &c->calls[i->function];
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__TicketGone gone = ROUSE__CONTROL__V1__TICKET_GONE__INIT;
    uint64_t id = i->function + 1;

    if (!call->sent_ns || call->answered_ns || call->agent != i->agent)
        return;
    crowd_answered(c, call, false);
    gone.ids = &id;
    gone.n_ids = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
    m.ticket_gone = &gone;
    crowd_send(c, i->agent, &m);
}

static void start(struct crowd *c, unsigned agent, const Rouse__Control__V1__DesiredInstance *d)
{
    int function = crowd_function(c, d->function_key);
    struct crowd_instance *i = function < 0 ? NULL : calloc(1, sizeof(*i));

    if (!i)
        errx(1, "Desired of %s", d->function_key);
    snprintf(i->id, sizeof(i->id), "%s", d->id);
    snprintf(i->revision, sizeof(i->revision), "%s", d->revision);
    i->agent = agent;
    i->function = (unsigned)function;
    if (map_put(&c->instances, &i->node, i->id, strlen(i->id)) < 0)
        errx(1, "out of memory");
    list_push_back(&c->agents[agent].instances, &i->link);
    if (c->calls[function].sent_ns && !c->calls[function].desired_ns)
        c->calls[function].desired_ns = clock_monotonic_ns();
    i->idle_since_ms = clock_wall_ms();
    for (int s = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_FETCHING;
         s <= ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY; s++)
        tell(c, i, (Rouse__Control__V1__InstanceState)s);
    c->ready++;
    c->started++;
    serve_own(c, i);
}

static void stop(struct crowd *c, struct crowd_instance *i)
{
    tell(c, i, ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_DRAINING);
    tell(c, i, ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_STOPPED);
    c->ready--;
    c->reachable -= i->routed;
    map_del(&c->instances, &i->node);
    list_del(&i->link);
    free(i);
}

void crowd_desired(struct crowd *c, unsigned agent, const Rouse__Control__V1__Desired *d)
{
    struct crowd_agent *a = &c->agents[agent];
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;

    if (d->since ? d->since->incarnation != a->desired_incarnation || d->since->sequence != a->desired
                 : !list_empty(&a->instances))
        errx(1, "agent %u: Desired on another epoch", agent);
    for (size_t k = 0; k < d->n_removed; k++) {
        struct crowd_instance *i = crowd_instance(c, d->removed[k]);

        if (i)
            stop(c, i);
    }
    for (size_t k = 0; k < d->n_instances; k++)
        if (!crowd_instance(c, d->instances[k]->id))
            start(c, agent, d->instances[k]);
    a->desired_incarnation = d->epoch->incarnation;
    a->desired = d->epoch->sequence;
    ack.desired = d->epoch;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    m.ack = &ack;
    crowd_send(c, agent, &m);
}

/* ---- slots */

void crowd_slot_wanted(struct crowd *c, unsigned agent, const Rouse__Control__V1__SlotWanted *w)
{
    int function = crowd_function(c, w->function_key);
    uint32_t left = w->count;

    list_for_each(it, &c->agents[agent].instances)
    {
        struct crowd_instance *i = list_entry(it, struct crowd_instance, link);
        AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
        Rouse__Control__V1__SlotFree s = ROUSE__CONTROL__V1__SLOT_FREE__INIT;

        if (!left)
            return;
        if ((int)i->function != function || strcmp(i->revision, w->revision) != 0)
            continue;
        s.slot = ++c->last_slot;
        s.instance = i->id;
        s.function_key = w->function_key;
        s.revision = w->revision;
        s.lease_ms = LEASE_MS;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
        m.slot_free = &s;
        crowd_send(c, agent, &m);
        left--;
    }
}

/* ---- each second */

struct load {
    Rouse__Control__V1__FunctionLoad function;
    Rouse__Control__V1__InstanceLoad instance;
    char key[32];
};

/* A function that is called has run for a tenth of the second; who is not is frozen. */
static bool load_of(struct crowd *c, struct crowd_instance *i, uint64_t now_ms, struct load *l)
{
    bool busy = i->function < c->busy, was = i->told_busy;

    if (busy)
        i->idle_since_ms = now_ms;
    if (!i->frozen && now_ms - i->idle_since_ms >= FREEZE_AFTER_MS) {
        i->frozen = true;
        tell(c, i, ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_FROZEN);
    } else if (i->frozen && busy) {
        i->frozen = false;
        tell(c, i, ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY);
    }
    rouse__control__v1__function_load__init(&l->function);
    rouse__control__v1__instance_load__init(&l->instance);
    crowd_key(i->function, l->key);
    l->function.function_key = l->key;
    l->function.revision = i->revision;
    l->function.requests = busy;
    l->function.concurrency = busy ? 0.1 : 0;
    l->instance.id = i->id;
    l->instance.idle_since_ms = i->idle_since_ms;
    l->instance.cpu = busy ? 100 : 0;
    l->instance.memory = 64 << 20;
    i->told_busy = busy;
    return busy || was || !i->frozen;
}

void crowd_report(struct crowd *c, unsigned agent)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__Resources reserved = ROUSE__CONTROL__V1__RESOURCES__INIT;
    uint64_t now_ms = clock_wall_ms();
    size_t all = 0, n = 0;
    struct load *loads;

    list_for_each(it, &c->agents[agent].instances) all++;
    loads = calloc(all + 1, sizeof(*loads));
    r.functions = calloc(all + 1, sizeof(*r.functions));
    r.instances = calloc(all + 1, sizeof(*r.instances));
    if (!loads || !r.functions || !r.instances)
        errx(1, "out of memory");
    list_for_each(it, &c->agents[agent].instances)
    {
        struct crowd_instance *i = list_entry(it, struct crowd_instance, link);

        if (!load_of(c, i, now_ms, &loads[n]))
            continue;
        r.functions[n] = &loads[n].function;
        if (!i->frozen)
            r.instances[r.n_instances++] = &loads[n].instance;
        r.n_functions = ++n;
    }
    reserved.memory = all * (128ull << 20);
    reserved.cpu = (uint32_t)(all * 500);
    r.interval_ms = 1000;
    r.reserved = &reserved;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    m.report = &r;
    crowd_send(c, agent, &m);
    free(loads);
    free(r.functions);
    free(r.instances);
}
