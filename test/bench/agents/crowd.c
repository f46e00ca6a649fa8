/* crowd.c - the agents' life: Hello, what the controller says, and the requests. */
#include "bench/agents/crowd.h"
#include "base/cleanup.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crowd_key(unsigned function, char out[32])
{
    snprintf(out, 32, "default/f%u", function);
}

int crowd_function(const struct crowd *c, const char *key)
{
    unsigned n;

    return sscanf(key, "default/f%u", &n) == 1 && n < c->function_count ? (int)n : -1;
}

static void on_flush(struct loop_deferred *d)
{
    struct crowd *c = container_of(d, struct crowd, flush);

    c->flushing = false;
    fleet_flush(c->fleet);
}

void crowd_send(struct crowd *c, unsigned agent, const AgentMessage *m)
{
    int r = fleet_queue(c->fleet, agent, m);

    if (r < 0)
        errx(1, "agent %u: %s", agent, strerror(-r));
    if (!c->flushing)
        loop_defer(c->loop, &c->flush);
    c->flushing = true;
}

/* ---- Hello */

static void on_open(void *user, unsigned agent)
{
    static char amd64[] = "amd64", python[] = "python3", address[] = "tcp://127.0.0.1:9",
                version[] = "bench";
    struct crowd *c = user;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    Rouse__Control__V1__Resources r = ROUSE__CONTROL__V1__RESOURCES__INIT;
    Rouse__Control__V1__RuntimeInfo runtime = ROUSE__CONTROL__V1__RUNTIME_INFO__INIT,
                                    *runtimes[] = {&runtime};

    runtime.name = python;
    r.memory = 256ull << 30;
    r.cpu = 1024000;
    h.protocol = 1;
    h.node = c->agents[agent].name;
    h.incarnation = agent + 1;
    h.architecture = amd64;
    h.allocatable = &r;
    h.runtimes = runtimes;
    h.n_runtimes = 1;
    h.gateway_address = h.peer_address = address;
    h.version = version;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    crowd_send(c, agent, &m);
}

static void on_closed(void *user, unsigned agent, const char *reason)
{
    (void)user;
    errx(1, "agent %u: %s", agent, reason);
}

/* ---- what the controller says */

static void routed(struct crowd *c, const char *id, bool on)
{
    struct crowd_instance *i = crowd_instance(c, id);

    if (!i || i->routed == on)
        return;
    i->routed = on;
    c->reachable += on ? 1 : -1u;
}

static void take_routes(struct crowd *c, unsigned agent, const Rouse__Control__V1__Routes *r)
{
    struct crowd_agent *a = &c->agents[agent];
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;

    ack.routes = r->epoch;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    m.ack = &ack;
    crowd_send(c, agent, &m);
    for (size_t k = 0; !agent && k < r->n_removed_endpoints; k++)
        routed(c, r->removed_endpoints[k], false);
    for (size_t k = 0; !agent && k < r->n_endpoints; k++)
        routed(c, r->endpoints[k]->instance, true);
    c->routed += !a->routed;
    a->routed = true;
}

void crowd_answered(struct crowd *c, struct call *call, bool refused)
{
    if (!call->sent_ns || call->answered_ns)
        return;
    call->answered_ns = clock_monotonic_ns();
    call->refused = refused;
    c->answered++;
}

static void answered(struct crowd *c, uint64_t ticket, bool refused)
{
    if (ticket && ticket <= c->function_count)
        crowd_answered(c, &c->calls[ticket - 1], refused);
}

static void on_message(void *user, unsigned agent, const ControllerMessage *m)
{
    struct crowd *c = user;

    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT:
        errx(1, "agent %u: refused: %s", agent, m->hello_reject->reason);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        crowd_desired(c, agent, m->desired);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES:
        take_routes(c, agent, m->routes);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        crowd_slot_wanted(c, agent, m->slot_wanted);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        answered(c, m->grant->ticket, false);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        warnx("ticket %llu: %s", (unsigned long long)m->refuse->ticket, m->refuse->reason);
        answered(c, m->refuse->ticket, true);
        break;
    default:
        return;
    }
    c->on_change(c);
}

static const struct fleet_ops ops = {on_open, on_message, on_closed};

/* ---- requests */

void crowd_call(struct crowd *c, unsigned function)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;
    struct call *call = &c->calls[function];
    char key[32];

    crowd_key(function, key);
    *call = (struct call){.sent_ns = clock_monotonic_ns(), .agent = function % c->agent_count};
    t.id = function + 1;
    t.function_key = key;
    t.deadline_in_ms = 30000;
    t.held_bytes = 200;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    m.ticket = &t;
    crowd_send(c, call->agent, &m);
}

/* ---- life */

static void on_report(struct loop_timer *t)
{
    struct crowd *c = container_of(t, struct crowd, report);

    if (c->agents[c->report_next].routed)
        crowd_report(c, c->report_next);
    c->report_next = (c->report_next + 1) % c->agent_count;
    loop_timer_set(c->loop, t, loop_now(c->loop) + NS_PER_S / c->agent_count);
}

int crowd_new(struct loop *loop, const char *address, unsigned agents, unsigned functions,
              void (*on_change)(struct crowd *c), struct crowd **ret)
{
    struct crowd *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->loop = loop;
    c->agent_count = agents;
    c->function_count = functions;
    c->on_change = on_change;
    c->flush.fn = on_flush;
    c->report.fn = on_report;
    c->agents = calloc(agents, sizeof(*c->agents));
    c->calls = calloc(functions + 1, sizeof(*c->calls));
    if (!c->agents || !c->calls) {
        crowd_free(c);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < agents; i++) {
        list_init(&c->agents[i].instances);
        snprintf(c->agents[i].name, sizeof(c->agents[i].name), "node-%u", i);
    }
    if (fleet_new(address, agents, loop, &ops, c, &c->fleet) < 0) {
        crowd_free(c);
        return -EINVAL;
    }
    loop_timer_set(loop, &c->report, loop_now(loop) + NS_PER_S / agents);
    *ret = c;
    return 0;
}

struct crowd *crowd_free(struct crowd *c)
{
    if (!c)
        return NULL;
    fleet_free(c->fleet);
    map_for_each(it, &c->instances) free(map_entry(it, struct crowd_instance, node));
    map_done(&c->instances);
    free(c->agents);
    free(c->calls);
    free(c);
    return NULL;
}
