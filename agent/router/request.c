/* request.c - one request: its states, its beginning, its route, its answer.
 *
 * Where it goes is request_way.c, where it waits request_wait.c. On the loop of
 * its gateway. See request.h for who frees it. */
#include "router/request_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "http/proxy.h"
#include "report/report.h"
#include "router/answer.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void request_set_state(struct request *r, enum request_state to)
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

void request_free(struct request *r)
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
void request_count(struct request *r, int status)
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
    request_set_state(r, REQUEST_GONE);
}

static void on_exchange_done(struct http_exchange *x)
{
    request_free(http_user(x));
}

const struct http_exchange_ops request_ops = {.on_gone = on_exchange_gone,
                                              .on_done = on_exchange_done};

/* The last thing done with r by the caller: the answer may be out, and r free, when it returns. */
void request_answer(struct request *r, const struct answer *a)
{
    request_set_state(r, REQUEST_ANSWERED);
    r->gateway->stats.answers[a->status / 100 % 6]++;
    request_count(r, a->status);
    answer_send(r->x, r->id, a);
}

void request_too_large(struct request *r, uint64_t limit)
{
    struct answer a = answers[ANSWER_BODY_TOO_LARGE];
    char message[96];

    snprintf(message, sizeof(message), "%s: %llu bytes", a.message, (unsigned long long)limit);
    a.message = message;
    request_answer(r, &a);
}

/* ---------------------------------------------------------------- the route */

const struct routes_view *request_view(const struct request *r)
{
    return routes_now(r->gateway->config.routes);
}

/* A view lasts as long as the turn: what goes on afterwards has a copy. */
int request_keep_route(struct request *r)
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
void request_forget_route(struct request *r)
{
    if (!r->route.n || r->route.at == r->kept_route)
        return;
    r->route = STR("");
    r->target.function_key[0] = '\0';
}

/* ---------------------------------------------------------------- the start */
/* By its key if it is known, else by host, path and method; NULL: the activator may know. */
static const struct route *find_route(struct request *r)
{
    const struct http_head *h = http_head(r->x);
    struct routes_match m;

    if (r->target.function_key[0])
        return routes_get(request_view(r), r->target.function_key);
    if (routes_match(request_view(r), h->host, h->method, h->path, &m) != ROUTE_FOUND)
        return NULL;
    snprintf(r->target.function_key, sizeof(r->target.function_key), "%s", m.route->function_key);
    r->route = m.pattern;
    r->route_any = m.any_method;
    return m.route;
}

void request_dispatch(struct request *r)
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
        request_too_large(r, t.body_limit);
        return;
    }
    if (!request_go_here(r, &t) && !request_go_to_endpoint(r, &t) && !request_wait_near(r, &t))
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
    http_set_owner(x, &request_ops, r);
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
        request_answer(r, objection);
    else
        request_dispatch(r);
}
