/* peer_pass.c - a call that came to a loop without the slot goes on to the sibling that has it.
 *
 * Once: siblings are asked on their own sockets, whose servers pass nothing on. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/proxy.h"
#include "router/answer.h"
#include "router/peer_internal.h"

#include <errno.h>
#include <stdlib.h>

#define GRACE_NS (2 * NS_PER_S) /* beyond the entry's own deadline: who asked gives up first */

static void forget(struct peer_request *r)
{
    list_del(&r->link);
    free(r);
}

static void on_exchange_done(struct http_exchange *x)
{
    forget(http_user(x));
}

static const struct http_exchange_ops own_ops = {.on_done = on_exchange_done};

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    struct peer_request *r = user;

    (void)reason;
    http_set_owner(x, &own_ops, r);
    r->server->stats.refused++;
    http_respond(x, 503, peer_refusal(r->params.slot ? -ESTALE : -EAGAIN), NULL, 0);
}

static void on_head(void *user, struct http_exchange *x, int status)
{
    static const struct http_exchange_ops nobody;

    (void)user;
    if (status == 101) /* the exchange ends here; the tunnel is told of without it */
        http_set_owner(x, &nobody, NULL);
}

static void on_done(void *user, struct http_exchange *x, int error)
{
    struct peer_request *r = user;

    if (!x) {
        forget(r);
        return;
    }
    http_set_owner(x, &own_ops, r);
    if (error && error != -ECANCELED && error != -EPIPE)
        answer_send(x, r->request_id,
                    &answers[error == -ETIMEDOUT ? ANSWER_TIMEOUT : ANSWER_INSTANCE_LOST]);
}

static const struct http_proxy_ops pass_ops = {
    .on_refused = on_refused, .on_head = on_head, .on_done = on_done};

static uint64_t deadline_ns(const struct invoke_params *p)
{
    uint64_t now_ms = clock_wall_ms(), in_ms = p->deadline_ms > now_ms ? p->deadline_ms - now_ms : 0;

    return p->deadline_ms ? clock_monotonic_ns() + in_ms * NS_PER_MS + GRACE_NS : 0;
}

bool peer_pass_on(struct peer_server *s, struct http_exchange *x, struct peer_request *r)
{
    const struct siblings *all = s->config.siblings;
    const struct invoke_params *p = &r->params;
    int at = p->slot ? siblings_owner(all, p->slot)
                     : siblings_free(all, p->function_key, p->revision, all ? all->self + 1 : 0);
    cleanup_buffer struct buffer set = {0};
    struct peer_call call = {
        .request_id = p->request_id,
        .function_key = p->function_key,
        .revision = p->revision,
        .slot = p->slot,
        .deadline_ms = p->deadline_ms,
        .timeout_ms = p->timeout_ms,
        .body_limit = p->body_limit,
        .shape = p->shape,
        .raw_path = p->raw_path,
        .route_method = p->route_any ? STR("ANY") : http_head(x)->method,
        .route = p->route,
        .trusted = p->trusted,
        .client_ip = p->client_ip,
    };
    struct http_proxy_request request = {.deadline_ns = deadline_ns(p),
                                         .trace = r->trace,
                                         .tunnel = http_head(x)->upgrade,
                                         .tunnel_idle_ns = INVOKE_TUNNEL_IDLE_NS};

    if (at < 0)
        return false;
    call.secret = all->secret;
    request.address = all->addresses[at];
    if (peer_call_headers(&call, &set) < 0)
        return false;
    request.set = (const char *)buffer_bytes(&set);
    r->server = s;
    if (http_proxy_start(s->client, x, &request, &pass_ops, r, &r->proxy) < 0) {
        http_set_owner(x, NULL, NULL);
        return false;
    }
    list_push_back(&s->passed, &r->link);
    s->stats.passed_on++;
    return true;
}

void peer_pass_done(struct peer_server *s)
{
    while (!list_empty(&s->passed)) {
        struct peer_request *r = list_entry(s->passed.next, struct peer_request, link);

        http_proxy_cancel(r->proxy);
        forget(r);
    }
}
