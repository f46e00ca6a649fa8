/* gateway.c - the entry's server, its tickets and what the controller's coming and going means to them.
 *
 * On the agent's loop. request.c moves the single request. */
#include "router/gateway.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/metrics.h"
#include "base/random.h"
#include "router/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_DEADLINE_S = 30, SWEEP_MS = 50, SWEEP_BATCH = 64, DRAIN_ANSWER_MS = 500 };
/* Between loops every second request may hop: connections are kept for as many at once. */
enum { SIBLING_IDLE_MAX = 1024 };

static void on_request(struct http_exchange *x, void *user)
{
    request_start(user, x);
}

/* ---------------------------------------------------------------- while the controller is away */
static void serve_function(void *user, struct ticket *oldest)
{
    struct gateway *g = user;
    char key[FUNCTION_KEY_MAX];
    struct ticket *t = oldest;

    memcpy(key, container_of(oldest, struct request, ticket)->target.function_key, sizeof(key));
    for (int i = 0; t && i < SWEEP_BATCH; i++) {
        if (!request_serve_waiting(container_of(t, struct request, ticket)))
            return;
        t = tickets_oldest(g->tickets, key);
    }
}

/* Local slots tell when they free (gateway_slot_free); peers do not, so they are asked now and then. */
static void on_sweep(struct loop_timer *timer)
{
    struct gateway *g = list_entry(timer, struct gateway, sweep);

    tickets_each_function(g->tickets, serve_function, g);
    loop_timer_set(g->config.loop, timer, loop_now(g->config.loop) + SWEEP_MS * NS_PER_MS);
}

/* First in, first out: those who wait near came after the tickets that were there then, and before those
 * that found no place near any more. Slots are shared with other entries as tickets are; with none of
 * ours among them, they all go to the activator. */
bool gateway_slot_free(struct gateway *g, const char *function_key, const char *revision,
                       unsigned wanted)
{
    struct ticket *t = tickets_oldest(g->tickets, function_key);
    struct near_wait *w = t || !wanted ? near_oldest(g->near, function_key) : NULL;
    struct request *near = w ? container_of(w, struct request, near) : NULL;

    if (t && !tickets_turn(g->tickets, function_key, g->away ? 0 : wanted))
        return false;
    if (t && (!near || t->since_ns <= near->since_ns))
        return request_serve_here(container_of(t, struct request, ticket), revision);
    return near && request_serve_here(near, revision);
}

static void on_near_over(void *user, struct near_wait *w)
{
    (void)user;
    request_near_over(container_of(w, struct request, near));
}

/* ---------------------------------------------------------------- the controller */
void gateway_away(struct gateway *g)
{
    g->away = true;
    if (!loop_timer_armed(&g->sweep))
        loop_timer_set(g->config.loop, &g->sweep, loop_now(g->config.loop) + 1);
}

void gateway_welcome(struct gateway *g, const char *peer_secret)
{
    char *copy = strdup(peer_secret);

    if (copy) {
        free(g->peer_secret);
        g->peer_secret = copy;
    }
    g->away = false;
    loop_timer_cancel(g->config.loop, &g->sweep);
    tickets_resubmit(g->tickets);
}

void gateway_grant(struct gateway *g, const Rouse__Control__V1__Grant *m)
{
    if (!tickets_grant(g->tickets, m))
        gateway_slot_unused(g, m);
}

void gateway_slot_unused(struct gateway *g, const Rouse__Control__V1__Grant *m)
{
    Rouse__Control__V1__SlotUnused unused = ROUSE__CONTROL__V1__SLOT_UNUSED__INIT;
    Rouse__Control__V1__AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    if (strcmp(m->node, g->node) == 0) {
        g->config.slot_unused(g->config.user, m->slot);
        return;
    }
    unused.slot = m->slot;
    unused.instance = m->instance;
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_UNUSED;
    a.slot_unused = &unused;
    g->config.send(g->config.user, &a);
}

void gateway_refuse(struct gateway *g, const Rouse__Control__V1__Refuse *m)
{
    tickets_refuse(g->tickets, m);
}

/* ---------------------------------------------------------------- life */
int gateway_new(const struct gateway_config *c, struct gateway **ret)
{
    struct tickets_config tickets = {
        .loop = c->loop,
        .limit = c->tickets_limit,
        .held_limit = c->held_limit,
        .id_base = c->ticket_base,
        .send = c->send,
        .user = c->user,
    };
    struct http_server_options server = {
        .on_request = on_request,
    };
    struct http_client_options client = {.max_idle = c->siblings ? SIBLING_IDLE_MAX : 0};
    struct gateway *g = calloc(1, sizeof(*g));
    int r;

    if (!g)
        return -ENOMEM;
    g->config = *c;
    if (!g->config.queue_deadline_ns)
        g->config.queue_deadline_ns = QUEUE_DEADLINE_S * NS_PER_S;
    g->away = true;
    g->sweep.fn = on_sweep;
    list_init(&g->requests);
    list_init(&g->free_requests);
    request_ids_init(&g->ids);
    g->traces = random_u64();
    g->node = strdup(c->node);
    g->config.node = g->node;
    g->peer_secret = strdup("");
    server.user = g;
    http_timeouts_apply(&c->clients, &server);
    r = g->node && g->peer_secret ? 0 : -ENOMEM;
    if (r == 0)
        r = tickets_new(&tickets, &g->tickets);
    if (r == 0)
        r = near_new(c->loop, on_near_over, g, &g->near);
    if (r == 0)
        r = http_server_new(c->loop, &server, &g->server);
    if (r == 0)
        r = http_client_new(c->loop, &client, &g->client);
    if (r < 0) {
        gateway_free(g);
        return r;
    }
    gateway_away(g);
    *ret = g;
    return 0;
}

struct gateway *gateway_free(struct gateway *g)
{
    if (!g)
        return NULL;
    loop_timer_cancel(g->config.loop, &g->sweep);
    loop_timer_cancel(g->config.loop, &g->drain_timer);
    http_server_free(g->server);
    http_client_free(g->client);
    tickets_free(g->tickets);
    near_free(g->near);
    requests_done(g);
    free(g->peer_secret);
    free(g->node);
    free(g);
    return NULL;
}

int gateway_listen(struct gateway *g, const char *address)
{
    struct listener_options o = {.reuseport = g->config.reuseport};

    return http_server_listen(g->server, address, &o);
}

void gateway_address(const struct gateway *g, char out[128])
{
    http_server_address(g->server, out);
}

/* ---------------------------------------------------------------- drain */
static void refuse_waiting(void *user, struct ticket *t)
{
    (void)user;
    request_refuse_waiting(container_of(t, struct request, ticket));
}

static void on_drain_timer(struct loop_timer *timer)
{
    struct gateway *g = list_entry(timer, struct gateway, drain_timer);

    tickets_take_all(g->tickets, refuse_waiting, g);
}

void gateway_drain(struct gateway *g, uint64_t deadline_ns, void (*on_drained)(void *user), void *user)
{
    g->draining = true;
    g->drain_timer.fn = on_drain_timer;
    loop_timer_set(g->config.loop, &g->drain_timer, deadline_ns - DRAIN_ANSWER_MS * NS_PER_MS);
    http_server_drain(g->server, deadline_ns, on_drained, user);
}

/* ---------------------------------------------------------------- figures */
static void counter(struct buffer *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, "counter", help);
    metrics_sample(out, name, value, NULL);
}

static void gauge(struct buffer *out, const char *name, const char *help, double value)
{
    metrics_family(out, name, "gauge", help);
    metrics_sample(out, name, value, NULL);
}

static void ticket_metrics(const struct tickets_stats *t, struct buffer *out)
{
    static const char refused[] = "rouse_gateway_tickets_over_limit_total";

    gauge(out, "rouse_gateway_tickets", "Requests that wait for a slot at this entry.",
          (double)t->open);
    gauge(out, "rouse_gateway_held_bytes", "Bytes that waiting requests may hold.",
          (double)t->held_bytes);
    counter(out, "rouse_gateway_tickets_submitted_total", "Requests that took a ticket.",
            (double)t->submitted);
    counter(out, "rouse_gateway_tickets_untold_total",
            "Tickets that slots here served before the activator was told of them.",
            (double)t->untold);
    counter(out, "rouse_gateway_tickets_resubmitted_total",
            "Tickets sent again after the controller came back.", (double)t->resubmitted);
    counter(out, "rouse_gateway_tickets_granted_total", "Tickets that were granted a slot.",
            (double)t->granted);
    counter(out, "rouse_gateway_tickets_refused_total", "Tickets that the activator refused.",
            (double)t->refused);
    counter(out, "rouse_gateway_tickets_expired_total", "Tickets whose queue deadline passed.",
            (double)t->deadlines);
    counter(out, "rouse_gateway_unknown_grants_total", "Grants whose ticket was closed already.",
            (double)t->unknown_grants);
    metrics_family(out, refused, "counter",
                   "Requests refused because this entry keeps no more of them waiting.");
    metrics_sample(out, refused, (double)t->refused_count, "limit", "count", NULL);
    metrics_sample(out, refused, (double)t->refused_bytes, "limit", "bytes", NULL);
}

const struct http_client_stats *gateway_client_stats(const struct gateway *g)
{
    return http_client_stats(g->client);
}

void gateway_metrics(const struct gateway *g, struct buffer *out)
{
    static const char *const classes[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};
    static const char answers_name[] = "rouse_gateway_answers_total";
    static const char near[] = "rouse_gateway_near_total";
    static const char ways[] = "rouse_gateway_dispatched_total";
    const struct gateway_stats *s = &g->stats;
    struct routes_counts counts = routes_counts(g->config.routes);

    http_server_metrics(out, "rouse_gateway", http_server_stats(g->server));
    counter(out, "rouse_gateway_requests_total", "Requests begun at this entry.",
            (double)s->requests);
    metrics_family(out, ways, "counter", "Requests handed to an instance, by where it was.");
    metrics_sample(out, ways, (double)s->local, "way", "local", NULL);
    metrics_sample(out, ways, (double)s->sibling, "way", "sibling", NULL);
    metrics_sample(out, ways, (double)s->remote, "way", "remote", NULL);
    metrics_family(out, near, "counter",
                   "Requests that waited a moment for a slot of this node, by what came of it.");
    metrics_sample(out, near, (double)s->near_served, "outcome", "served", NULL);
    metrics_sample(out, near, (double)s->near_over, "outcome", "ticket", NULL);
    counter(out, "rouse_gateway_tickets_served_here_total",
            "Tickets whose request took a slot of this node before the activator granted one.",
            (double)s->tickets_here);
    gauge(out, "rouse_gateway_near_waiting", "Requests that wait a moment for a slot of this node.",
          near_count(g->near));
    metrics_family(out, answers_name, "counter", "Answers by this entry itself, by class of status.");
    for (size_t i = 2; i < ARRAY_LEN(classes); i++)
        metrics_sample(out, answers_name, (double)s->answers[i], "class", classes[i], NULL);
    counter(out, "rouse_gateway_peer_refused_total", "Requests that another node refused to run.",
            (double)s->remote_refused);
    counter(out, "rouse_gateway_sibling_refused_total",
            "Requests that another loop of this agent refused to run.", (double)s->sibling_refused);
    counter(out, "rouse_gateway_peer_lost_total", "Requests lost with another node.",
            (double)s->remote_lost);
    counter(out, "rouse_gateway_refused_grants_total",
            "Grants whose slot was taken when the request came.", (double)s->refused_grants);
    counter(out, "rouse_gateway_client_gone_total", "Clients that left before their answer.",
            (double)s->gone);
    ticket_metrics(tickets_stats(g->tickets), out);
    gauge(out, "rouse_gateway_controller_connected", "1 while the control channel stands.", !g->away);
    gauge(out, "rouse_gateway_functions", "Functions in the route table.", (double)counts.functions);
    gauge(out, "rouse_gateway_paths", "HTTP paths in the route table.", (double)counts.paths);
    gauge(out, "rouse_gateway_routes_refused",
          "Triggers that this version cannot hold; the activator answers for them.",
          (double)counts.refused);
    gauge(out, "rouse_gateway_endpoints", "Ready instances in the route table, of all nodes.",
          (double)counts.endpoints);
}
