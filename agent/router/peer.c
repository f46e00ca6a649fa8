/* peer.c - the peer server: checks the secret, reads the call, hands the exchange to the pool.
 *
 * On the agent's loop. */
#include "router/peer_internal.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/metrics.h"
#include "base/random.h"
#include "http/secret.h"
#include "http/server.h"
#include "http/trace.h"
#include "invoke/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PEER_BODY_LIMIT (6ull << 20) /* where neither the caller nor the route names one */

static int take_text(const struct http_head *h, const char *name, char *to, size_t size)
{
    const struct str *s = http_head_get(h, name);

    if (!s || !s->n || s->n >= size)
        return -EINVAL;
    memcpy(to, s->at, s->n);
    to[s->n] = '\0';
    return 0;
}

/* Absent: *ret stays. */
static int take_number(const struct http_head *h, const char *name, uint64_t *ret)
{
    const struct str *s = http_head_get(h, name);
    uint64_t v = 0;

    if (!s)
        return 0;
    if (!s->n)
        return -EINVAL;
    for (size_t i = 0; i < s->n; i++) {
        unsigned digit = (unsigned)(s->at[i] - '0');

        if (digit > 9 || __builtin_mul_overflow(v, 10ull, &v) || __builtin_add_overflow(v, digit, &v))
            return -EINVAL;
    }
    *ret = v;
    return 0;
}

static int take_shape(const struct http_head *h, enum invoke_shape *ret)
{
    const struct str *s = http_head_get(h, "Rouse-Shape");

    if (s && !str_eq(*s, "http") && !str_eq(*s, "raw"))
        return -EINVAL;
    *ret = s && str_eq(*s, "raw") ? INVOKE_RAW : INVOKE_HTTP;
    return 0;
}

static int read_call(struct peer_server *s, const struct http_head *h, struct peer_request *r)
{
    const struct str *path = http_head_get(h, "Rouse-Path"),
                     *trusted = http_head_get(h, "Rouse-Trusted"),
                     *name = http_head_get(h, "Rouse-Route");
    uint64_t slot = 0, deadline = 0, timeout = 0, body_limit = 0;
    const struct route *route;

    *r = (struct peer_request){0};
    if (take_text(h, "Rouse-Function", r->function_key, sizeof(r->function_key)) < 0 ||
        take_text(h, "Rouse-Revision", r->revision, sizeof(r->revision)) < 0 ||
        take_text(h, "Rouse-Request-Id", r->request_id, sizeof(r->request_id)) < 0 ||
        take_number(h, "Rouse-Slot", &slot) < 0 || take_number(h, "Rouse-Deadline", &deadline) < 0 ||
        take_number(h, "Rouse-Timeout", &timeout) < 0 || timeout > UINT32_MAX ||
        take_number(h, "Rouse-Body-Limit", &body_limit) < 0 || take_shape(h, &r->params.shape) < 0)
        return -EINVAL;
    take_text(h, "Rouse-Client", r->client_ip, sizeof(r->client_ip));
    route = routes_get(routes_now(s->config.routes), r->function_key);
    if (!timeout && route)
        timeout = route->timeout_ms;
    if (!body_limit)
        body_limit = route && route->body_limit ? route->body_limit : PEER_BODY_LIMIT;
    r->params.function_key = r->function_key;
    r->params.revision = r->revision;
    r->params.request_id = r->request_id;
    http_trace_of(h,
                  (const uint64_t[3]){random_next(&s->traces), random_next(&s->traces),
                                      random_next(&s->traces)},
                  r->trace);
    r->params.trace = r->trace;
    r->params.raw_path = path && path->n ? *path : h->path;
    routes_name_parse(name ? *name : STR(""), &r->params.route, &r->params.route_any);
    r->params.slot = slot;
    r->params.deadline_ms = deadline;
    r->params.timeout_ms = (uint32_t)timeout;
    r->params.body_limit = body_limit;
    r->params.trusted = trusted && str_eq(*trusted, "1");
    r->params.client_ip = r->client_ip;
    return 0;
}

const char *peer_refusal(int error)
{
    switch (error) {
    case -ESTALE:
        return "Rouse-Refused: stale\r\n";
    case -ENOENT:
        return "Rouse-Refused: unknown\r\n";
    case -ESHUTDOWN:
        return "Rouse-Refused: draining\r\n";
    default:
        return "Rouse-Refused: busy\r\n";
    }
}

static void on_invoked(void *user, const struct invoke_outcome *o)
{
    struct peer_request *r = user;

    if (o->refused)
        http_respond(r->x, 503, peer_refusal(-EAGAIN), NULL, 0);
    free(r);
}

static void on_request(struct http_exchange *x, void *user)
{
    const struct str *shown = http_head_get(http_head(x), "Rouse-Peer");
    struct peer_server *s = user;
    struct peer_request *r;
    int e;

    s->stats.calls++;
    if (!shown || !secret_equals(*shown, s->secret)) {
        s->stats.forbidden++;
        http_respond(x, 403, NULL, NULL, 0);
        return;
    }
    r = malloc(sizeof(*r));
    e = r ? read_call(s, http_head(x), r) : -ENOMEM;
    if (e == -EINVAL) {
        s->stats.malformed++;
        free(r);
        http_respond(x, 400, NULL, NULL, 0);
        return;
    }
    if (e == 0)
        r->x = x;
    if (e == 0)
        e = s->draining ? -ESHUTDOWN : pool_invoke(s->config.pool, x, &r->params, on_invoked, r);
    if (e < 0 && r && e != -ESHUTDOWN && peer_pass_on(s, x, r))
        return;
    if (e < 0) {
        s->stats.refused++;
        free(r);
        http_respond(x, 503, peer_refusal(e), NULL, 0);
    }
}

int peer_server_new(const struct peer_server_config *c, struct peer_server **ret)
{
    struct peer_server *s = calloc(1, sizeof(*s));
    /* Calls of many clients share few connections, which idle longer than the callers keep them. */
    struct http_server_options o = {
        .on_request = on_request, .user = s, .idle_timeout_ns = 120 * NS_PER_S};
    struct http_client_options client = {0};
    int r;

    if (!s)
        return -ENOMEM;
    s->config = *c;
    s->traces = random_u64();
    list_init(&s->passed);
    r = http_server_new(c->loop, &o, &s->server);
    if (r == 0 && c->siblings)
        r = http_client_new(c->loop, &client, &s->client);
    if (r < 0) {
        http_server_free(s->server);
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct peer_server *peer_server_free(struct peer_server *s)
{
    if (!s)
        return NULL;
    http_server_free(s->server);
    peer_pass_done(s);
    if (s->client)
        http_client_free(s->client);
    free(s->secret);
    free(s);
    return NULL;
}

int peer_server_listen(struct peer_server *s, const char *address)
{
    struct listener_options o = {.reuseport = s->config.reuseport};

    return http_server_listen(s->server, address, &o);
}

void peer_server_address(const struct peer_server *s, char out[128])
{
    http_server_address(s->server, out);
}

void peer_server_secret(struct peer_server *s, const char *secret)
{
    char *copy = strdup(secret);

    if (!copy)
        return;
    free(s->secret);
    s->secret = copy;
}

void peer_server_drain(struct peer_server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
                       void *user)
{
    s->draining = true;
    http_server_drain(s->server, deadline_ns, on_drained, user);
}

struct peer_server_stats peer_server_stats(const struct peer_server *s)
{
    struct peer_server_stats all = s->stats;

    all.connections = http_server_stats(s->server)->connections;
    return all;
}

void peer_server_metrics(const struct peer_server *s, struct buffer *out)
{
    static const char *const help[] = {
        "rouse_peer_calls_total",     "Requests that other entries passed on to this node.",
        "rouse_peer_forbidden_total", "Calls without the platform's peer secret.",
        "rouse_peer_malformed_total", "Calls whose Rouse-* headers do not parse.",
        "rouse_peer_refused_total",   "Calls that could not run here at once.",
        "rouse_peer_passed_on_total", "Calls that another loop of this agent had the slot for.",
    };
    const uint64_t values[] = {s->stats.calls, s->stats.forbidden, s->stats.malformed,
                               s->stats.refused, s->stats.passed_on};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        metrics_family(out, help[2 * i], "counter", help[2 * i + 1]);
        metrics_sample(out, help[2 * i], (double)values[i], NULL);
    }
    http_server_metrics(out, "rouse_peer", http_server_stats(s->server));
}

const struct http_client_stats *peer_server_client_stats(const struct peer_server *s)
{
    return s->client ? http_client_stats(s->client) : NULL;
}
