/* request_way.c - where a request goes: a slot of its own loop, a sibling's, another node's. On the loop. */
#include "router/request_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "http/proxy.h"
#include "report/report.h"
#include "router/answer.h"
#include "router/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Beyond the function's timeout, for the hop and the owner's own 504; more while the client still uploads. */
enum { REMOTE_GRACE_S = 2, UPLOAD_GRACE_S = 60 };

/* ---------------------------------------------------------------- local */
/* Nothing was run where it was sent. */
static void go_elsewhere(struct request *r)
{
    if (r->granted) {
        r->gateway->stats.refused_grants++;
        r->ticket.attempt++;
        request_wait(r);
    } else {
        request_forget_route(r);
        request_dispatch(r);
    }
}

static void on_local_done(void *user, const struct invoke_outcome *o)
{
    struct request *r = user;

    if (o->refused) {
        http_set_owner(r->x, &request_ops, r);
        request_set_state(r, REQUEST_NEW);
        go_elsewhere(r);
        return;
    }
    if (o->client_gone)
        r->gateway->stats.gone++;
    else
        request_count(r, o->status);
    request_free(r);
}

static enum invoke_shape shape_of(const struct request *r)
{
    return r->target.kind == TARGET_INVOKE ? INVOKE_RAW : INVOKE_HTTP;
}

bool request_body_is_here(const struct request *r)
{
    return !http_has_body(r->x) || http_held_all(r->x);
}

static uint64_t remote_limit_ns(const struct request *r, uint32_t timeout_ms)
{
    return timeout_ms * NS_PER_MS +
           (request_body_is_here(r) ? REMOTE_GRACE_S : UPLOAD_GRACE_S) * NS_PER_S;
}

/* True if the pool took it; r is not to be touched then. */
bool request_go_local(struct request *r, const struct attempt *t)
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
    request_set_state(r, REQUEST_LOCAL);
    if (pool_invoke(g->config.pool, r->x, &p, on_local_done, r) == 0) {
        g->stats.local++;
        return true;
    }
    request_set_state(r, REQUEST_NEW);
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
    http_set_owner(x, &request_ops, r);
    request_set_state(r, REQUEST_NEW);
    if (r->at_sibling) {
        g->stats.sibling_refused++;
    } else {
        g->stats.remote_refused++;
        routes_refused(request_view(r), r->target.function_key, r->revision, r->remote_node,
                       loop_now(g->config.loop));
    }
    if (r->granted && r->uploading && request_body_is_here(r))
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
    request_set_state(r, REQUEST_TUNNEL);
    http_set_owner(x, &nobody, NULL);
    r->x = NULL;
    request_count(r, status);
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
    http_set_owner(x, &request_ops, r);
    switch (error) {
    case 0:
        request_set_state(r, REQUEST_ANSWERED);
        request_count(r, r->remote_status);
        return;
    case -ECANCELED:
        request_set_state(r, REQUEST_GONE);
        g->stats.gone++;
        return;
    case -EPIPE:
        request_set_state(r, REQUEST_ANSWERED);
        g->stats.remote_lost++;
        request_count(r, 502);
        return;
    default:
        g->stats.remote_lost += error != -ETIMEDOUT;
        request_answer(r, &answers[error == -ETIMEDOUT ? ANSWER_TIMEOUT : ANSWER_INSTANCE_LOST]);
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
    if (request_keep_route(r) < 0 || peer_call_headers(&call, &set) < 0 ||
        buffer_printf(&added, "Rouse-Request-Id: %s\r\n", r->id) < 0 ||
        buffer_append(&added, "", 1) < 0)
        return false;
    p.set = (const char *)buffer_bytes(&set);
    p.trace = r->trace;
    p.answer_headers = (const char *)buffer_bytes(&added);
    r->remote_status = 0;
    r->uploading = !request_body_is_here(r);
    request_set_state(r, REQUEST_REMOTE);
    if (http_proxy_start(g->client, r->x, &p, &remote_ops, r, &r->proxy) < 0) {
        http_set_owner(r->x, &request_ops, r);
        request_set_state(r, REQUEST_NEW);
        return false;
    }
    return true;
}

bool request_go_remote(struct request *r, const struct attempt *t, const char *node,
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
bool request_go_here(struct request *r, const struct attempt *t)
{
    if (siblings_owner(r->gateway->config.siblings, t->slot) >= 0)
        return go_sibling(r, t);
    return request_go_local(r, t) || (!t->slot && go_sibling(r, t));
}

bool request_go_to_endpoint(struct request *r, const struct attempt *t)
{
    struct gateway *g = r->gateway;
    const char *not_node = r->remote_tries ? r->remote_node : NULL;
    const struct endpoint *e;

    if (r->remote_tries >= REQUEST_REMOTE_TRIES)
        return false;
    e = routes_pick(request_view(r), r->target.function_key, t->revision, not_node,
                    loop_now(g->config.loop), random_u64());
    if (!e)
        return false;
    r->remote_tries++;
    return request_go_remote(r, t, e->node, e->peer_address);
}
