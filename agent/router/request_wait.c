/* request_wait.c - where a request waits: a moment for a slot of its own node, then with a ticket. On the loop. */
#include "router/request_internal.h"
#include "base/cleanup.h"
#include "router/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- with a ticket */
static uint32_t held_bytes(const struct request *r)
{
    const struct http_head *h = http_head(r->x);
    size_t n = sizeof(*r) + h->target.n;
    size_t limit = 65536; /* the server's hold_limit: what the connection may keep of the body */

    for (size_t i = 0; i < h->header_count; i++)
        n += h->headers[i].name.n + h->headers[i].value.n + 4;
    if (http_has_body(r->x))
        n += h->content_length >= 0 && (uint64_t)h->content_length < limit ? (size_t)h->content_length
                                                                           : limit;
    return (uint32_t)n;
}

static char *put_text(char *at, struct str s, const char **ret)
{
    memcpy(at, s.at, s.n);
    at[s.n] = '\0';
    *ret = at;
    return at + s.n + 1;
}

/* Fills the ticket once; it keeps its age and deadline however often it is submitted. */
static int prepare_ticket(struct request *r)
{
    const struct http_head *h = http_head(r->x);
    char *at;

    if (request_keep_route(r) < 0)
        return -ENOMEM;
    if (r->texts)
        return 0;
    at = r->texts = malloc(h->method.n + h->host.n + h->path.n + 3);
    if (!at)
        return -ENOMEM;
    at = put_text(at, h->method, &r->ticket.method);
    at = put_text(at, h->host, &r->ticket.host);
    put_text(at, h->path, &r->ticket.path);
    r->ticket.ops = &request_ticket_ops;
    r->ticket.function_key = r->target.function_key;
    r->ticket.since_ns = r->since_ns;
    r->ticket.deadline_ns = r->since_ns + r->gateway->config.queue_deadline_ns;
    r->ticket.held_bytes = held_bytes(r);
    return 0;
}

void request_wait(struct request *r)
{
    int e = prepare_ticket(r);

    if (e == 0 && loop_now(r->gateway->config.loop) >= r->ticket.deadline_ns)
        e = -ETIME;
    if (e == 0)
        e = tickets_submit(r->gateway->tickets, &r->ticket);
    switch (e) {
    case 0:
        request_set_state(r, REQUEST_WAITING);
        return;
    case -ETIME:
        request_answer(r, &answers[ANSWER_DEADLINE_EXCEEDED]);
        return;
    case -ENOBUFS:
        request_answer(r, &answers[ANSWER_QUEUE_FULL]);
        return;
    case -EDQUOT:
        request_answer(r, &answers[ANSWER_HELD_BYTES]);
        return;
    default:
        request_answer(r, &answers[ANSWER_NO_MEMORY]);
    }
}

static struct request *of_ticket(struct ticket *t)
{
    return container_of(t, struct request, ticket);
}

static void on_grant(struct ticket *ticket, const Rouse__Control__V1__Grant *m)
{
    struct request *r = of_ticket(ticket);
    struct gateway *g = r->gateway;
    struct attempt t = {m->revision, m->slot, m->timeout_ms, m->body_limit, false};

    request_set_state(r, REQUEST_NEW);
    if (!r->target.function_key[0]) {
        snprintf(r->target.function_key, sizeof(r->target.function_key), "%s", m->function_key);
        routes_name_parse(str_of(m->route), &r->route, &r->route_any);
    }
    r->known = true;
    r->granted = true;
    if (request_keep_route(r) < 0) {
        gateway_slot_unused(g, m);
        request_answer(r, &answers[ANSWER_NO_MEMORY]);
        return;
    }
    if (t.body_limit && http_head(r->x)->content_length > (int64_t)t.body_limit) {
        gateway_slot_unused(g, m);
        request_too_large(r, t.body_limit);
        return;
    }
    if (strcmp(m->node, g->node) ? request_go_remote(r, &t, m->node, m->peer_address)
                                 : request_go_here(r, &t))
        return;
    /* Its slot rests until its lease is over: given back at once it would be granted to this call again, and again. */
    g->stats.refused_grants++;
    r->ticket.attempt++;
    request_wait(r);
}

static void on_refuse(struct ticket *ticket, const Rouse__Control__V1__Refuse *m)
{
    struct answer a = {(int)m->status, m->reason, m->message, m->retry_after_s, m->allow};

    if (a.status < 400 || a.status > 599)
        a.status = 503;
    request_answer(of_ticket(ticket), &a);
}

static void on_deadline(struct ticket *ticket)
{
    request_answer(of_ticket(ticket), &answers[ANSWER_DEADLINE_EXCEEDED]);
}

const struct ticket_ops request_ticket_ops = {
    .on_grant = on_grant,
    .on_refuse = on_refuse,
    .on_deadline = on_deadline,
};

void request_refuse_waiting(struct request *r)
{
    request_answer(r, &answers[ANSWER_SHUTTING_DOWN]);
}

bool request_serve_waiting(struct request *r)
{
    struct gateway *g = r->gateway;
    const struct route *route = routes_get(request_view(r), r->target.function_key);
    struct attempt t;

    if (!route)
        return false;
    t = (struct attempt){route->revision, 0, route->timeout_ms, route->body_limit, false};
    r->remote_tries = r->sibling_tries = 0;
    if (!pool_has_slot(g->config.pool, r->target.function_key, t.revision) &&
        siblings_free(g->config.siblings, r->target.function_key, t.revision, 0) < 0 &&
        !routes_pick(request_view(r), r->target.function_key, t.revision, NULL,
                     loop_now(g->config.loop), 0))
        return false;
    tickets_cancel(&r->ticket);
    request_set_state(r, REQUEST_NEW);
    r->granted = false;
    if (request_go_here(r, &t) || request_go_to_endpoint(r, &t))
        return true;
    request_wait(r);
    return false;
}
/* ---------------------------------------------------------------- near */
/* True if it waits at this node now: behind our own tickets, and not while requests of other entries
 * have tickets too. */
bool request_wait_near(struct request *r, const struct attempt *t)
{
    struct gateway *g = r->gateway;
    unsigned limit, wanted, before;

    if (r->waited)
        return false;
    before = tickets_waiting(g->tickets, r->target.function_key);
    limit =
        pool_soon_free(g->config.pool, r->target.function_key, t->revision, NEAR_HOPE_NS, &wanted);
    if (wanted > before || limit <= before || request_keep_route(r) < 0 ||
        near_add(g->near, &r->near, r->target.function_key, limit - before) < 0)
        return false;
    r->waited = true;
    request_set_state(r, REQUEST_NEAR);
    return true;
}

void request_near_over(struct request *r)
{
    r->gateway->stats.near_over++;
    request_set_state(r, REQUEST_NEW);
    request_wait(r);
}

bool request_serve_here(struct request *r, const char *revision)
{
    struct gateway *g = r->gateway;
    const struct route *route = routes_get(request_view(r), r->target.function_key);
    bool near = r->state == REQUEST_NEAR;
    struct attempt t;

    if (!route || strcmp(route->revision, revision) != 0)
        return false;
    t = (struct attempt){route->revision, 0, route->timeout_ms, route->body_limit, true};
    near_cancel(g->near, &r->near);
    tickets_served(&r->ticket);
    request_set_state(r, REQUEST_NEW);
    r->granted = false;
    if (!request_go_local(r, &t)) {
        request_wait(r);
        return false;
    }
    if (near)
        g->stats.near_served++;
    else
        g->stats.tickets_here++;
    return true;
}
