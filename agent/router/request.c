/* request.c - one request's way: local slot, another node, a ticket; and its answer.
 *
 * On the agent's loop. See request.h for who frees it. */
#include "router/request.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "http/proxy.h"
#include "report/report.h"
#include "router/answer.h"
#include "router/peer.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Beyond the function's timeout, for the hop and the owner's own 504; more while the client still uploads. */
enum { REMOTE_GRACE_S = 2, UPLOAD_GRACE_S = 60 };

static const char *const state_names[REQUEST_STATES] = {"New",    "Near",     "Waiting", "Local",
                                                        "Remote", "Answered", "Gone",    "Tunnel"};

#define TO(s) (1u << (s))
static const unsigned edges[REQUEST_STATES] = {
    [REQUEST_NEW] = TO(REQUEST_NEAR) | TO(REQUEST_WAITING) | TO(REQUEST_LOCAL) |
                    TO(REQUEST_REMOTE) | TO(REQUEST_ANSWERED),
    [REQUEST_NEAR] = TO(REQUEST_NEW) | TO(REQUEST_GONE),
    [REQUEST_WAITING] = TO(REQUEST_NEW) | TO(REQUEST_ANSWERED) | TO(REQUEST_GONE),
    /* back to New: refused, nothing was run */
    [REQUEST_LOCAL] = TO(REQUEST_NEW),
    [REQUEST_REMOTE] = TO(REQUEST_NEW) | TO(REQUEST_ANSWERED) | TO(REQUEST_GONE) | TO(REQUEST_TUNNEL),
};

const char *request_state_name(enum request_state s)
{
    return (unsigned)s < REQUEST_STATES ? state_names[s] : "Unknown";
}

bool request_state_edge(enum request_state from, enum request_state to)
{
    return (unsigned)from < REQUEST_STATES && (unsigned)to < REQUEST_STATES && (edges[from] & TO(to));
}

static void set_state(struct request *r, enum request_state to)
{
    assert(request_state_edge(r->state, to));
    log_debug("request %s: %s -> %s", r->id, state_names[r->state], state_names[to]);
    r->state = to;
}

static struct request *request_new(struct gateway *g)
{
    struct list *kept = list_pop_front(&g->free_requests);
    struct request *r = kept ? list_entry(kept, struct request, link) : malloc(sizeof(*r));

    if (!r)
        return NULL;
    g->free_count -= kept != NULL;
    memset(r, 0, offsetof(struct request, revision));
    r->revision[0] = r->remote_node[0] = r->client[0] = '\0';
    r->gateway = g;
    list_push_back(&g->requests, &r->link);
    return r;
}

static void request_free(struct request *r)
{
    struct gateway *g = r->gateway;

    near_cancel(g->near, &r->near);
    tickets_cancel(&r->ticket);
    list_del(&r->link);
    free(r->texts);
    free(r->kept_route);
    if (g->free_count == REQUESTS_KEPT) {
        free(r);
        return;
    }
    list_push_front(&g->free_requests, &r->link);
    g->free_count++;
}

void requests_done(struct gateway *g)
{
    struct list *l, *next;

    for (l = g->requests.next; l != &g->requests; l = next) {
        struct request *r = list_entry(l, struct request, link);

        next = l->next;
        if (r->state != REQUEST_TUNNEL)
            continue;
        http_proxy_cancel(r->proxy);
        request_free(r);
    }
    while ((l = list_pop_front(&g->free_requests)))
        free(list_entry(l, struct request, link));
}

/* A name that a client made up is no label: until a route or a grant says so, the function is "". */
static void count(struct request *r, int status)
{
    report_request(r->gateway->config.report, r->known ? r->target.function_key : "", status,
                   clock_monotonic_ns() - r->since_ns);
}

/* ---------------------------------------------------------------- the exchange, while it is ours */
static void on_exchange_gone(struct http_exchange *x, int error)
{
    struct request *r = http_user(x);

    (void)error;
    if (r->state != REQUEST_WAITING && r->state != REQUEST_NEAR)
        return;
    near_cancel(r->gateway->near, &r->near);
    tickets_cancel(&r->ticket);
    r->gateway->stats.gone++;
    set_state(r, REQUEST_GONE);
}

static void on_exchange_done(struct http_exchange *x)
{
    request_free(http_user(x));
}

static const struct http_exchange_ops own_ops = {.on_gone = on_exchange_gone,
                                                 .on_done = on_exchange_done};

/* The last thing done with r by the caller: the answer may be out, and r free, when it returns. */
static void answer(struct request *r, const struct answer *a)
{
    set_state(r, REQUEST_ANSWERED);
    r->gateway->stats.answers[a->status / 100 % 6]++;
    count(r, a->status);
    answer_send(r->x, r->id, a);
}

static void request_wait(struct request *r);
static void request_dispatch(struct request *r);

/* ---------------------------------------------------------------- the route */

static const struct routes_view *view(const struct request *r)
{
    return routes_now(r->gateway->config.routes);
}

/* A view lasts as long as the turn: what goes on afterwards has a copy. */
static int keep_route(struct request *r)
{
    char *copy;

    if (!r->route.n || r->route.at == r->kept_route)
        return 0;
    copy = malloc(r->route.n);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, r->route.at, r->route.n);
    free(r->kept_route);
    r->route.at = r->kept_route = copy;
    return 0;
}

/* It came by a view that may be gone, and nothing was run: where it leads is asked anew. */
static void forget_route(struct request *r)
{
    if (!r->route.n || r->route.at == r->kept_route)
        return;
    r->route = STR("");
    r->target.function_key[0] = '\0';
}

/* ---------------------------------------------------------------- local */
/* Nothing was run where it was sent. */
static void go_elsewhere(struct request *r)
{
    if (r->granted) {
        r->gateway->stats.refused_grants++;
        r->ticket.attempt++;
        request_wait(r);
    } else {
        forget_route(r);
        request_dispatch(r);
    }
}

static void on_local_done(void *user, const struct invoke_outcome *o)
{
    struct request *r = user;

    if (o->refused) {
        http_set_owner(r->x, &own_ops, r);
        set_state(r, REQUEST_NEW);
        go_elsewhere(r);
        return;
    }
    if (o->client_gone)
        r->gateway->stats.gone++;
    else
        count(r, o->status);
    request_free(r);
}

struct attempt { /* where a request goes now */
    const char *revision;
    uint64_t slot; /* 0: any */
    uint32_t timeout_ms;
    uint64_t body_limit;
    bool in_turn; /* for a slot of this node that it waited for */
};

static enum invoke_shape shape_of(const struct request *r)
{
    return r->target.kind == TARGET_INVOKE ? INVOKE_RAW : INVOKE_HTTP;
}

static bool whole_body_is_here(const struct request *r)
{
    return !http_has_body(r->x) || http_held_all(r->x);
}

static uint64_t remote_limit_ns(const struct request *r, uint32_t timeout_ms)
{
    return timeout_ms * NS_PER_MS +
           (whole_body_is_here(r) ? REMOTE_GRACE_S : UPLOAD_GRACE_S) * NS_PER_S;
}

/* True if the pool took it; r is not to be touched then. */
static bool go_local(struct request *r, const struct attempt *t)
{
    struct invoke_params p = {
        .function_key = r->target.function_key,
        .revision = r->revision,
        .request_id = r->id,
        .trace = r->trace,
        .shape = shape_of(r),
        .raw_path = r->target.raw_path,
        .route = r->route,
        .route_any = r->route_any,
        .slot = t->slot,
        .in_turn = t->in_turn,
        .deadline_ms = clock_wall_ms() + remote_limit_ns(r, t->timeout_ms) / NS_PER_MS,
        .timeout_ms = t->timeout_ms,
        .body_limit = t->body_limit,
        .client_ip = r->client,
    };
    struct gateway *g = r->gateway;

    snprintf(r->revision, sizeof(r->revision), "%s", t->revision);
    set_state(r, REQUEST_LOCAL);
    if (pool_invoke(g->config.pool, r->x, &p, on_local_done, r) == 0) {
        g->stats.local++;
        return true;
    }
    set_state(r, REQUEST_NEW);
    return false;
}

/* ---------------------------------------------------------------- another node */
/* The lease has run out while the client sent: that was no time in the queue. Once only, as the body is here now. */
static void queue_anew(struct request *r)
{
    uint64_t now = loop_now(r->gateway->config.loop);

    r->ticket.since_ns = now;
    r->ticket.deadline_ns = now + r->gateway->config.queue_deadline_ns;
}

static void on_remote_refused(void *user, struct http_exchange *x, const char *reason)
{
    struct request *r = user;
    struct gateway *g = r->gateway;

    log_debug("request %s: node %s refused: %s", r->id, r->remote_node, reason);
    http_set_owner(x, &own_ops, r);
    set_state(r, REQUEST_NEW);
    if (r->at_sibling) {
        g->stats.sibling_refused++;
    } else {
        g->stats.remote_refused++;
        routes_refused(view(r), r->target.function_key, r->revision, r->remote_node,
                       loop_now(g->config.loop));
    }
    if (r->granted && r->uploading && whole_body_is_here(r))
        queue_anew(r);
    go_elsewhere(r);
}

static void on_remote_head(void *user, struct http_exchange *x, int status)
{
    static const struct http_exchange_ops nobody;
    struct request *r = user;

    r->remote_status = status;
    if (status != 101)
        return;
    set_state(r, REQUEST_TUNNEL);
    http_set_owner(x, &nobody, NULL);
    r->x = NULL;
    count(r, status);
}

/* The exchange is ours again; unless it is still to be answered, its on_done() is about to come. */
static void on_remote_done(void *user, struct http_exchange *x, int error)
{
    struct request *r = user;
    struct gateway *g = r->gateway;

    if (!x) { /* the end of a tunnel */
        request_free(r);
        return;
    }
    http_set_owner(x, &own_ops, r);
    switch (error) {
    case 0:
        set_state(r, REQUEST_ANSWERED);
        count(r, r->remote_status);
        return;
    case -ECANCELED:
        set_state(r, REQUEST_GONE);
        g->stats.gone++;
        return;
    case -EPIPE:
        set_state(r, REQUEST_ANSWERED);
        g->stats.remote_lost++;
        count(r, 502);
        return;
    default:
        g->stats.remote_lost += error != -ETIMEDOUT;
        answer(r, &answers[error == -ETIMEDOUT ? ANSWER_TIMEOUT : ANSWER_INSTANCE_LOST]);
    }
}

static const struct http_proxy_ops remote_ops = {
    .on_refused = on_remote_refused,
    .on_head = on_remote_head,
    .on_done = on_remote_done,
};

/* True if the proxy took it. */
static bool go_hop(struct request *r, const struct attempt *t, const char *address, const char *secret)
{
    struct gateway *g = r->gateway;
    uint64_t limit_ns = remote_limit_ns(r, t->timeout_ms);
    cleanup_buffer struct buffer set = {0}, added = {0};
    struct peer_call call = {
        .secret = secret,
        .request_id = r->id,
        .function_key = r->target.function_key,
        .revision = r->revision,
        .slot = t->slot,
        .deadline_ms = clock_wall_ms() + limit_ns / NS_PER_MS,
        .timeout_ms = t->timeout_ms,
        .body_limit = t->body_limit,
        .shape = shape_of(r),
        .raw_path = r->target.raw_path,
        .route_method = r->route_any ? STR("ANY") : http_head(r->x)->method,
        .route = r->route,
        .client_ip = r->client,
    };
    struct http_proxy_request p = {.address = address,
                                   .deadline_ns = loop_now(g->config.loop) + limit_ns,
                                   .tunnel = http_head(r->x)->upgrade,
                                   .tunnel_idle_ns = INVOKE_TUNNEL_IDLE_NS};

    snprintf(r->revision, sizeof(r->revision), "%s", t->revision);
    if (keep_route(r) < 0 || peer_call_headers(&call, &set) < 0 ||
        buffer_printf(&added, "Rouse-Request-Id: %s\r\n", r->id) < 0 ||
        buffer_append(&added, "", 1) < 0)
        return false;
    p.set = (const char *)buffer_bytes(&set);
    p.trace = r->trace;
    p.answer_headers = (const char *)buffer_bytes(&added);
    r->remote_status = 0;
    r->uploading = !whole_body_is_here(r);
    set_state(r, REQUEST_REMOTE);
    if (http_proxy_start(g->client, r->x, &p, &remote_ops, r, &r->proxy) < 0) {
        http_set_owner(r->x, &own_ops, r);
        set_state(r, REQUEST_NEW);
        return false;
    }
    return true;
}

static bool go_remote(struct request *r, const struct attempt *t, const char *node,
                      const char *address)
{
    struct gateway *g = r->gateway;

    snprintf(r->remote_node, sizeof(r->remote_node), "%s", node);
    r->at_sibling = false;
    if (!go_hop(r, t, address, g->peer_secret))
        return false;
    g->stats.remote++;
    return true;
}

/* Another loop of this agent, which has the leased slot or seems to have a free one. */
static bool go_sibling(struct request *r, const struct attempt *t)
{
    struct gateway *g = r->gateway;
    const struct siblings *s = g->config.siblings;
    int at = -1;

    if (t->slot)
        at = siblings_owner(s, t->slot);
    else if (s && r->sibling_tries < REQUEST_SIBLING_TRIES)
        at = siblings_free(s, r->target.function_key, t->revision, s->self + ++r->sibling_tries);
    if (at < 0)
        return false;
    r->at_sibling = true;
    if (!go_hop(r, t, s->addresses[at], s->secret))
        return false;
    g->stats.sibling++;
    return true;
}

/* A free slot of this node: of this loop, or of another. */
static bool go_here(struct request *r, const struct attempt *t)
{
    if (siblings_owner(r->gateway->config.siblings, t->slot) >= 0)
        return go_sibling(r, t);
    return go_local(r, t) || (!t->slot && go_sibling(r, t));
}

static bool go_to_endpoint(struct request *r, const struct attempt *t)
{
    struct gateway *g = r->gateway;
    const char *not_node = r->remote_tries ? r->remote_node : NULL;
    const struct endpoint *e;

    if (r->remote_tries >= REQUEST_REMOTE_TRIES)
        return false;
    e = routes_pick(view(r), r->target.function_key, t->revision, not_node,
                    loop_now(g->config.loop), random_u64());
    if (!e)
        return false;
    r->remote_tries++;
    return go_remote(r, t, e->node, e->peer_address);
}

/* ---------------------------------------------------------------- waiting */
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

    if (keep_route(r) < 0)
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

static void request_wait(struct request *r)
{
    int e = prepare_ticket(r);

    if (e == 0 && loop_now(r->gateway->config.loop) >= r->ticket.deadline_ns)
        e = -ETIME;
    if (e == 0)
        e = tickets_submit(r->gateway->tickets, &r->ticket);
    switch (e) {
    case 0:
        set_state(r, REQUEST_WAITING);
        return;
    case -ETIME:
        answer(r, &answers[ANSWER_DEADLINE_EXCEEDED]);
        return;
    case -ENOBUFS:
        answer(r, &answers[ANSWER_QUEUE_FULL]);
        return;
    case -EDQUOT:
        answer(r, &answers[ANSWER_HELD_BYTES]);
        return;
    default:
        answer(r, &answers[ANSWER_NO_MEMORY]);
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

    set_state(r, REQUEST_NEW);
    if (!r->target.function_key[0]) {
        snprintf(r->target.function_key, sizeof(r->target.function_key), "%s", m->function_key);
        routes_name_parse(str_of(m->route), &r->route, &r->route_any);
    }
    r->known = true;
    r->granted = true;
    if (keep_route(r) < 0) {
        answer(r, &answers[ANSWER_NO_MEMORY]);
        return;
    }
    if (t.body_limit && http_head(r->x)->content_length > (int64_t)t.body_limit) {
        answer(r, &answers[ANSWER_BODY_TOO_LARGE]);
        return;
    }
    if (strcmp(m->node, g->node) ? go_remote(r, &t, m->node, m->peer_address) : go_here(r, &t))
        return;
    g->stats.refused_grants++;
    r->ticket.attempt++;
    request_wait(r);
}

static void on_refuse(struct ticket *ticket, const Rouse__Control__V1__Refuse *m)
{
    struct answer a = {(int)m->status, m->reason, m->message, m->retry_after_s, m->allow};

    if (a.status < 400 || a.status > 599)
        a.status = 503;
    answer(of_ticket(ticket), &a);
}

static void on_deadline(struct ticket *ticket)
{
    answer(of_ticket(ticket), &answers[ANSWER_DEADLINE_EXCEEDED]);
}

const struct ticket_ops request_ticket_ops = {
    .on_grant = on_grant,
    .on_refuse = on_refuse,
    .on_deadline = on_deadline,
};

void request_refuse_waiting(struct request *r)
{
    answer(r, &answers[ANSWER_SHUTTING_DOWN]);
}

bool request_serve_waiting(struct request *r)
{
    struct gateway *g = r->gateway;
    const struct route *route = routes_get(view(r), r->target.function_key);
    struct attempt t;

    if (!route)
        return false;
    t = (struct attempt){route->revision, 0, route->timeout_ms, route->body_limit, false};
    r->remote_tries = r->sibling_tries = 0;
    if (!pool_has_slot(g->config.pool, r->target.function_key, t.revision) &&
        siblings_free(g->config.siblings, r->target.function_key, t.revision, 0) < 0 &&
        !routes_pick(view(r), r->target.function_key, t.revision, NULL, loop_now(g->config.loop), 0))
        return false;
    tickets_cancel(&r->ticket);
    set_state(r, REQUEST_NEW);
    r->granted = false;
    if (go_here(r, &t) || go_to_endpoint(r, &t))
        return true;
    request_wait(r);
    return false;
}

/* ---------------------------------------------------------------- the start */
/* By its key if it is known, else by host, path and method; NULL: the activator may know. */
static const struct route *find_route(struct request *r)
{
    const struct http_head *h = http_head(r->x);
    struct routes_match m;

    if (r->target.function_key[0])
        return routes_get(view(r), r->target.function_key);
    if (routes_match(view(r), h->host, h->method, h->path, &m) != ROUTE_FOUND)
        return NULL;
    snprintf(r->target.function_key, sizeof(r->target.function_key), "%s", m.route->function_key);
    r->route = m.pattern;
    r->route_any = m.any_method;
    return m.route;
}

/* True if it waits at this node now: behind our own tickets, and not while requests of other entries
 * have tickets too. */
static bool wait_near(struct request *r, const struct attempt *t)
{
    struct gateway *g = r->gateway;
    unsigned limit, wanted, before;

    if (r->waited)
        return false;
    before = tickets_waiting(g->tickets, r->target.function_key);
    limit =
        pool_soon_free(g->config.pool, r->target.function_key, t->revision, NEAR_HOPE_NS, &wanted);
    if (wanted > before || limit <= before ||
        near_add(g->near, &r->near, r->target.function_key, limit - before) < 0)
        return false;
    r->waited = true;
    set_state(r, REQUEST_NEAR);
    return true;
}

void request_near_over(struct request *r)
{
    r->gateway->stats.near_over++;
    set_state(r, REQUEST_NEW);
    request_wait(r);
}

bool request_serve_here(struct request *r, const char *revision)
{
    struct gateway *g = r->gateway;
    const struct route *route = routes_get(view(r), r->target.function_key);
    bool near = r->state == REQUEST_NEAR;
    struct attempt t;

    if (!route || strcmp(route->revision, revision) != 0)
        return false;
    t = (struct attempt){route->revision, 0, route->timeout_ms, route->body_limit, true};
    near_cancel(g->near, &r->near);
    tickets_cancel(&r->ticket);
    set_state(r, REQUEST_NEW);
    r->granted = false;
    if (!go_local(r, &t)) {
        request_wait(r);
        return false;
    }
    if (near)
        g->stats.near_served++;
    else
        g->stats.tickets_here++;
    return true;
}

static void request_dispatch(struct request *r)
{
    const struct http_head *h = http_head(r->x);
    const struct route *route = find_route(r);
    struct attempt t;

    if (!route) {
        request_wait(r);
        return;
    }
    r->known = true;
    t = (struct attempt){route->revision, 0, route->timeout_ms, route->body_limit, false};
    if (t.body_limit && h->content_length > (int64_t)t.body_limit) {
        answer(r, &answers[ANSWER_BODY_TOO_LARGE]);
        return;
    }
    if (!go_here(r, &t) && !go_to_endpoint(r, &t) && !wait_near(r, &t))
        request_wait(r);
}

/* What Lambda's Invoke takes: POST, and of X-Amz-Invocation-Type the one that waits. NULL if fine. */
static const struct answer *invoke_objection(const struct http_head *h)
{
    const struct str *type = http_head_get(h, "X-Amz-Invocation-Type");

    if (!str_eq(h->method, "POST"))
        return &answers[ANSWER_INVOKE_METHOD];
    return type && !str_eq(*type, "RequestResponse") ? &answers[ANSWER_INVOCATION_TYPE] : NULL;
}

void request_start(struct gateway *g, struct http_exchange *x)
{
    struct request *r = request_new(g);
    const struct answer *objection = NULL;

    g->stats.requests++;
    if (!r) {
        http_respond(x, 503, "Retry-After: 1\r\n", NULL, 0);
        return;
    }
    r->x = x;
    r->since_ns = clock_monotonic_ns();
    request_id_make(&g->ids, r->id);
    http_trace_of(http_head(x),
                  (const uint64_t[3]){random_next(&g->traces), random_next(&g->traces),
                                      random_next(&g->traces)},
                  r->trace);
    http_client_text(x, r->client);
    http_set_owner(x, &own_ops, r);
    if (http_has_body(x)) {
        char header[HTTP_REFUSAL_HEADERS];

        snprintf(header, sizeof(header), "Rouse-Request-Id: %s\r\n", r->id);
        http_set_refusal_headers(x, header);
    }
    target_parse(http_head(x)->path, &r->target);
    if (r->target.kind == TARGET_INVOKE)
        objection = invoke_objection(http_head(x));
    if (g->draining)
        objection = &answers[ANSWER_SHUTTING_DOWN];
    if (objection)
        answer(r, objection);
    else
        request_dispatch(r);
}
