/* wake.h - agents that keep the slots' rules (agent/pool/slots.c, agent/router/tickets.c) beside a decision core,
 * whose messages take their time: what they say is heard when the test says so. */
#pragma once
#include "world.h"

enum { FUNCTIONS = 2, NODES = 3, SLOTS = 4096, CALLS = 4096, QUEUED = 4096 };

static struct world world, *w = &world;
static uint64_t seed;
static const char *const keys[FUNCTIONS] = {"default/one", "default/two"};

static unsigned dice(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* The one slot of each instance, as its agent has it. */
static struct slot {
    char id[64];
    struct agent *at;
    enum { SLOT_FREE, SLOT_LEASED, SLOT_BUSY } state;
    uint64_t lease, until;
} slots[SLOTS];
static size_t slot_count;

/* A request that waits at its entry. */
static struct call {
    uint64_t ticket;
    struct agent *at;
    unsigned function;
    bool open;
} calls[CALLS];
static size_t call_count;

/* What agents have said and the core has not yet heard. */
static struct said {
    enum { SAID_TICKET, SAID_GONE, SAID_SLOT, SAID_UNUSED, SAID_STATE } what;
    uint64_t id; /* of ticket or slot */
    char instance[64], key[64], revision[32];
    enum instance_state state;
} said[NODES][QUEUED];
static size_t first_said[NODES], said_count[NODES];

static size_t index_of(const struct agent *a)
{
    return (size_t)(a - w->agents);
}

static struct said *say(struct agent *a, int what, uint64_t id)
{
    size_t at = index_of(a);
    struct said *s = &said[at][(first_said[at] + said_count[at]) % QUEUED];

    ck_assert_uint_lt(said_count[at], QUEUED);
    *s = (struct said){.what = what, .id = id};
    said_count[at] += a->peer != 0;
    return s;
}

static void say_of(struct agent *a, int what, uint64_t id, const struct fake_instance *i)
{
    struct said *s = say(a, what, id);

    s->state = i->state;
    memcpy(s->instance, i->id, sizeof(s->instance));
    memcpy(s->key, i->key, sizeof(s->key));
    memcpy(s->revision, i->revision, sizeof(s->revision));
}

static void hear(size_t at)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;
    TicketGone g = ROUSE__CONTROL__V1__TICKET_GONE__INIT;
    SlotFree f = ROUSE__CONTROL__V1__SLOT_FREE__INIT;
    SlotUnused u = ROUSE__CONTROL__V1__SLOT_UNUSED__INIT;
    InstanceStatus i = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    struct said *s = &said[at][first_said[at]];

    if (!said_count[at])
        return;
    first_said[at] = (first_said[at] + 1) % QUEUED;
    said_count[at]--;
    g.n_ids = 1;
    t.id = f.slot = u.slot = s->id;
    t.function_key = f.function_key = i.function_key = s->key;
    t.deadline_in_ms = 30000;
    g.ids = &s->id;
    f.instance = u.instance = i.id = s->instance;
    f.revision = i.revision = s->revision;
    f.lease_ms = 100;
    i.state = (Rouse__Control__V1__InstanceState)s->state;
    i.slots = 1;
    switch (s->what) {
    case SAID_TICKET:
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
        m.ticket = &t;
        break;
    case SAID_GONE:
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
        m.ticket_gone = &g;
        break;
    case SAID_SLOT:
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
        m.slot_free = &f;
        break;
    case SAID_UNUSED:
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_UNUSED;
        m.slot_unused = &u;
        break;
    case SAID_STATE:
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
        m.instance_status = &i;
        break;
    }
    send_message(w, w->agents[at].peer, &m);
}

/* ---- an agent's slots */

static struct slot *slot_of(struct agent *a, const char *id)
{
    for (size_t k = slot_count; k--;)
        if (slots[k].at == a && !strcmp(slots[k].id, id))
            return &slots[k];
    ck_assert_uint_lt(slot_count, SLOTS);
    slots[slot_count] = (struct slot){.at = a};
    snprintf(slots[slot_count].id, sizeof(slots[0].id), "%s", id);
    return &slots[slot_count++];
}

static struct slot *leased(struct agent *a, uint64_t lease)
{
    for (size_t k = slot_count; k--;)
        if (slots[k].at == a && slots[k].state == SLOT_LEASED && slots[k].lease == lease)
            return &slots[k];
    return NULL;
}

static struct fake_instance *free_instance(struct agent *a, const char *key, const char *revision)
{
    for (size_t k = 0; k < a->count; k++) {
        struct fake_instance *i = &a->instances[k];

        if (i->state == STATE_READY && !strcmp(i->key, key) && !strcmp(i->revision, revision) &&
            slot_of(a, i->id)->state == SLOT_FREE)
            return i;
    }
    return NULL;
}

static struct call *oldest(struct agent *a, const char *key)
{
    for (size_t k = 0; k < call_count; k++)
        if (calls[k].open && calls[k].at == a && !strcmp(keys[calls[k].function], key))
            return &calls[k];
    return NULL;
}

static const char *routed(struct agent *a, const char *key)
{
    for (size_t k = 0; k < a->routed_count; k++)
        if (!strcmp(a->routed[k][0], key))
            return a->routed[k][1];
    return "";
}

static void offer_free(struct agent *a, const char *key, const char *revision)
{
    struct level *l = level_of(a, key, revision);
    struct fake_instance *i;

    while ((i = free_instance(a, key, revision))) {
        struct slot *s = slot_of(a, i->id);
        struct call *c = oldest(a, key);

        if (c && !strcmp(routed(a, key), revision) && (!l->wanted || dice(2))) {
            c->open = false;
            say(a, SAID_GONE, c->ticket);
            s->state = SLOT_BUSY;
            continue;
        }
        if (!l->wanted || !a->peer)
            return;
        l->wanted--;
        s->state = SLOT_LEASED;
        s->lease = ++w->next_slot;
        s->until = w->now + MS(100);
        say_of(a, SAID_SLOT, s->lease, i);
    }
}

static void offer_again(struct slot *s)
{
    struct fake_instance *i = agent_instance(s->at, s->id);

    s->state = SLOT_FREE;
    if (i)
        offer_free(s->at, i->key, i->revision);
}

static void leases_over(void)
{
    for (size_t k = 0; k < slot_count; k++)
        if (slots[k].state == SLOT_LEASED && slots[k].until <= w->now)
            offer_again(&slots[k]);
}

/* ---- an agent's requests */

static void wait_for_slot(struct agent *a, unsigned function)
{
    ck_assert_uint_lt(call_count, CALLS);
    calls[call_count] = (struct call){++w->next_ticket, a, function, true};
    snprintf(say(a, SAID_TICKET, w->next_ticket)->key, 64, "%s", keys[function]);
    call_count++;
}

static void come(struct agent *a, unsigned function)
{
    const char *revision = routed(a, keys[function]);
    struct fake_instance *i = free_instance(a, keys[function], revision);

    if (i && !level_of(a, keys[function], revision)->wanted)
        slot_of(a, i->id)->state = SLOT_BUSY;
    else
        wait_for_slot(a, function);
}

static struct call *call_of(uint64_t ticket)
{
    for (size_t k = 0; k < call_count; k++)
        if (calls[k].open && calls[k].ticket == ticket)
            return &calls[k];
    return NULL;
}

static struct agent *named(const char *name)
{
    for (int k = 0; k < NODES; k++)
        if (!strcmp(w->agents[k].name, name))
            return &w->agents[k];
    ck_abort_msg("no node %s", name);
}

static void granted(struct agent *a, const Grant *g)
{
    struct agent *owner = named(g->node);
    struct slot *s = leased(owner, g->slot);
    struct call *c = call_of(g->ticket);

    if (!c && (c = oldest(a, g->function_key)))
        say(a, SAID_GONE, c->ticket);
    if (c) {
        c->open = false;
        if (s && agent_instance(owner, s->id)->state == STATE_READY)
            s->state = SLOT_BUSY;
        else
            wait_for_slot(a, c->function);
    } else if (owner != a) {
        memcpy(say(a, SAID_UNUSED, g->slot)->instance, g->instance, strlen(g->instance) + 1);
    } else if (s) {
        offer_again(s);
    }
}

static void on_message(struct agent *a, const ControllerMessage *m)
{
    struct call *c;
    struct slot *s;

    if (!a)
        return;
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        granted(a, m->grant);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        c = call_of(m->refuse->ticket);
        if (c)
            c->open = false;
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK:
        s = leased(a, m->slot_back->slot);
        if (s && agent_instance(a, s->id)) {
            struct fake_instance *i = agent_instance(a, s->id);

            level_of(a, i->key, i->revision)->wanted = 0;
            offer_again(s);
        }
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        offer_free(a, m->slot_wanted->function_key, m->slot_wanted->revision);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED: /* who drains has no lease */
        for (size_t k = 0; k < a->count; k++)
            if (a->instances[k].state == STATE_DRAINING &&
                slot_of(a, a->instances[k].id)->state == SLOT_LEASED)
                slot_of(a, a->instances[k].id)->state = SLOT_FREE;
        break;
    default:
        break;
    }
}
