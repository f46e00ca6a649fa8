/* front.c - requests of the controller's own entry: a ticket, a grant, the hop to the instance's
 * node, the answer. */
#include "activator/front.h"
#include "activator/front_answer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "http/metrics.h"
#include "http/secret.h"
#include "http/proxy.h"
#include "http/trace.h"
#include "invoke/target.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    HOLD_LIMIT = 64 << 10,
    GRACE_S = 2,         /* beyond the function's timeout, for the hop and the owner's own 504 */
    UPLOAD_GRACE_S = 60, /* ... while the client still sends */
    DRAIN_S = 2,
    TUNNEL_IDLE_S = 3600, /* an upgraded stream on which nothing moves is taken for dead */
};

struct front {
    struct front_config config;
    char *token, *peer_secret;
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct mail stop;
    struct list passes;
    uint64_t traces; /* random_next()'s */
};

enum pass_state {
    PASS_NEW,
    PASS_WAITING,
    PASS_PROXIED,
    PASS_ANSWERED,
    PASS_GONE,
    PASS_TUNNEL,
    PASS_STATES
};
static const char *const state_names[PASS_STATES] = {"New",      "Waiting", "Proxied",
                                                     "Answered", "Gone",    "Tunnel"};
#define TO(s) (1u << (s))
static const unsigned edges[PASS_STATES] = {
    [PASS_NEW] = TO(PASS_WAITING) | TO(PASS_PROXIED) | TO(PASS_ANSWERED) | TO(PASS_GONE),
    [PASS_WAITING] = TO(PASS_NEW) | TO(PASS_ANSWERED) | TO(PASS_GONE),
    [PASS_PROXIED] = TO(PASS_NEW) | TO(PASS_ANSWERED) | TO(PASS_GONE) | TO(PASS_TUNNEL),
};

/* One request on its way. Freed with its exchange, or with the stream that an upgrade made of it. */
struct pass {
    struct front *front;
    struct list link; /* front.passes */
    struct http_exchange *x;
    struct front_ticket *ticket; /* NULL: none is out */
    enum pass_state state;
    struct target target;
    char request_id[33];
    uint64_t since_ns;
    uint32_t attempt;
    struct http_proxy *proxy; /* while it is passed on, or a tunnel */
    bool trusted, token_shown;
    bool uploading; /* the body was still coming when the grant was taken */
};

static void set_state(struct pass *p, enum pass_state to)
{
    assert(edges[p->state] & TO(to));
    log_debug("request %s: %s -> %s", p->request_id, state_names[p->state], state_names[to]);
    p->state = to;
}

/* ---- the ticket */

struct outing { /* a ticket and whose it is */
    struct front_ticket ticket;
    struct pass *pass; /* NULL: cancelled */
    char texts[];
};

static void on_released(struct front_ticket *t)
{
    free(t->route);
    free(container_of(t, struct outing, ticket));
}

static void cancel(struct pass *p)
{
    struct outing *o;

    if (!p->ticket)
        return;
    o = container_of(p->ticket, struct outing, ticket);
    o->pass = NULL;
    p->ticket = NULL;
    p->front->config.cancel(p->front->config.user, &o->ticket);
}

static bool answered(struct pass *p, const struct grant *g);
static void answer(struct pass *p, const struct front_answer *a);

static void on_answer(struct front_ticket *t)
{
    struct outing *o = container_of(t, struct outing, ticket);
    struct pass *p = o->pass;
    struct front *f;

    if (!p) /* cancelled: on_released() follows */
        return;
    f = p->front;
    p->ticket = NULL;
    o->pass = NULL;
    if (answered(p, &t->grant))
        on_released(t);
    else
        f->config.cancel(f->config.user, t);
}

static char *put_text(char *at, struct str s, const char **ret)
{
    memcpy(at, s.at, s.n);
    at[s.n] = 0;
    *ret = at;
    return at + s.n + 1;
}

static uint32_t held_bytes(const struct http_exchange *x)
{
    const struct http_head *h = http_head(x);
    size_t n = sizeof(struct pass) + h->target.n;

    for (size_t i = 0; i < h->header_count; i++)
        n += h->headers[i].name.n + h->headers[i].value.n + 4;
    if (http_has_body(x))
        n += h->content_length >= 0 && h->content_length < HOLD_LIMIT ? (size_t)h->content_length
                                                                      : HOLD_LIMIT;
    return (uint32_t)n;
}

static bool whole_body_is_here(const struct http_exchange *x)
{
    return !http_has_body(x) || http_held_all(x);
}

static void wait(struct pass *p)
{
    const struct http_head *h = http_head(p->x);
    struct str key = str_of(p->target.function_key);
    struct outing *o = calloc(1, sizeof(*o) + key.n + h->method.n + h->host.n + h->path.n + 4);
    char *at;

    if (!o) {
        answer(p,
               &(struct front_answer){503, "NoMemory", "the controller is out of memory", 1, NULL});
        return;
    }
    at = put_text(o->texts, key, &o->ticket.function_key);
    at = put_text(at, h->method, &o->ticket.method);
    at = put_text(at, h->host, &o->ticket.host);
    put_text(at, h->path, &o->ticket.path);
    o->pass = p;
    o->ticket.waited_ns = loop_now(p->front->loop) - p->since_ns;
    o->ticket.held = held_bytes(p->x);
    o->ticket.attempt = p->attempt;
    o->ticket.home = p->front->loop;
    o->ticket.on_answer = on_answer;
    o->ticket.on_released = on_released;
    p->ticket = &o->ticket;
    set_state(p, PASS_WAITING);
    p->front->config.submit(p->front->config.user, &o->ticket);
}

/* ---- the exchange, while it is ours */

static void on_gone(struct http_exchange *x, int error)
{
    struct pass *p = http_user(x);

    (void)error;
    if (p->state != PASS_WAITING && p->state != PASS_NEW)
        return;
    cancel(p);
    set_state(p, PASS_GONE);
}

static void pass_free(struct pass *p)
{
    cancel(p);
    list_del(&p->link);
    free(p);
}

static void on_done(struct http_exchange *x)
{
    pass_free(http_user(x));
}

static const struct http_exchange_ops own_ops = {.on_gone = on_gone, .on_done = on_done};

/* The last thing that is done with p: it may be free on return. */
static void answer(struct pass *p, const struct front_answer *a)
{
    set_state(p, PASS_ANSWERED);
    front_answer_send(p->x, p->request_id, a);
}

/* ---- the hop */

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    struct pass *p = user;

    log_debug("request %s: the owner refused: %s", p->request_id, reason);
    http_set_owner(x, &own_ops, p);
    set_state(p, PASS_NEW);
    p->attempt++;
    /* The lease ran out while the client sent: that was no time in the queue. Once, as all is here
     * now. */
    if (p->uploading && whole_body_is_here(x))
        p->since_ns = loop_now(p->front->loop);
    wait(p);
}

static void on_proxied(void *user, struct http_exchange *x, int error)
{
    struct pass *p = user;

    if (!x) { /* the end of a tunnel */
        pass_free(p);
        return;
    }
    http_set_owner(x, &own_ops, p);
    switch (error) {
    case 0:
    case -EPIPE:
        set_state(p, PASS_ANSWERED);
        return;
    case -ECANCELED:
        set_state(p, PASS_GONE);
        return;
    case -ETIMEDOUT:
        answer(p, &(struct front_answer){504, "Timeout", "the function did not answer in time", 0,
                                         NULL});
        return;
    default:
        answer(p, &(struct front_answer){502, "InstanceLost",
                                         "the instance or its node was lost with the request", 0,
                                         NULL});
    }
}

static void on_head(void *user, struct http_exchange *x, int status)
{
    static const struct http_exchange_ops nobody;
    struct pass *p = user;

    if (status != 101)
        return;
    set_state(p, PASS_TUNNEL);
    http_set_owner(x, &nobody, NULL);
    p->x = NULL;
}

static const struct http_proxy_ops hop_ops = {
    .on_refused = on_refused, .on_head = on_head, .on_done = on_proxied};

static int hop_headers(const struct pass *p, const struct grant *g, uint64_t deadline_ms,
                       struct buffer *to)
{
    char client[128];

    http_client_text(p->x, client);
    if (g->route && *g->route)
        buffer_printf(to, "Rouse-Route: %s\r\n", g->route);
    if (p->token_shown) /* the platform's token is not the function's business */
        buffer_puts(to, "Authorization: -\r\n");
    return buffer_printf(to,
                         "Rouse-Peer: %s\r\n"
                         "Rouse-Request-Id: %s\r\n"
                         "Rouse-Function: %s\r\n"
                         "Rouse-Revision: %s\r\n"
                         "Rouse-Slot: %llu\r\n"
                         "Rouse-Deadline: %llu\r\n"
                         "Rouse-Timeout: %u\r\n"
                         "Rouse-Body-Limit: %llu\r\n"
                         "Rouse-Shape: %s\r\n"
                         "Rouse-Path: %.*s\r\n"
                         "Rouse-Trusted: %d\r\n"
                         "Rouse-Client: %s\r\n",
                         p->front->peer_secret, p->request_id, g->function_key, g->revision,
                         (unsigned long long)g->slot, (unsigned long long)deadline_ms,
                         g->timeout_ms, (unsigned long long)g->body_limit,
                         p->target.kind == TARGET_INVOKE ? "raw" : "http",
                         (int)p->target.raw_path.n, p->target.raw_path.at, p->trusted, client);
}

/* False: the slot is not used. */
static bool hop(struct pass *p, const struct grant *g)
{
    bool whole = !http_has_body(p->x) || http_held_all(p->x);
    uint64_t limit = g->timeout_ms * NS_PER_MS + (whole ? GRACE_S : UPLOAD_GRACE_S) * NS_PER_S;
    struct http_proxy_request q = {.address = g->peer_address,
                                   .deadline_ns = loop_now(p->front->loop) + limit,
                                   .tunnel = http_head(p->x)->upgrade,
                                   .tunnel_idle_ns = TUNNEL_IDLE_S * NS_PER_S};
    cleanup_buffer struct buffer set = {0};
    char added[64], trace[HTTP_TRACE_SIZE];

    snprintf(added, sizeof(added), "Rouse-Request-Id: %s\r\n", p->request_id);
    q.answer_headers = added;
    http_trace_of(http_head(p->x),
                  (const uint64_t[3]){random_next(&p->front->traces), random_next(&p->front->traces),
                                      random_next(&p->front->traces)},
                  trace);
    q.trace = trace;
    if (hop_headers(p, g, clock_wall_ms() + limit / NS_PER_MS, &set) < 0 ||
        buffer_append(&set, "", 1) < 0) {
        answer(p,
               &(struct front_answer){503, "NoMemory", "the controller is out of memory", 1, NULL});
        return false;
    }
    q.set = (const char *)buffer_bytes(&set);
    set_state(p, PASS_PROXIED);
    p->uploading = !whole_body_is_here(p->x);
    /* The slot of a call that cannot be made rests: given back at once it would be granted to it again, and again. */
    if (http_proxy_start(p->front->client, p->x, &q, &hop_ops, p, &p->proxy) < 0)
        on_refused(p, p->x, "the call could not be made");
    return true;
}

/* The last thing that is done with p. False: a slot was granted and is not used. */
static bool answered(struct pass *p, const struct grant *g)
{
    if (!g->granted) {
        answer(p,
               &(struct front_answer){g->status, g->reason, g->message, g->retry_after_s, g->allow});
        return true;
    }
    set_state(p, PASS_NEW);
    if (g->body_limit && http_head(p->x)->content_length > (int64_t)g->body_limit) {
        char message[80];

        snprintf(message, sizeof(message),
                 "the request's body is over the function's limit: %llu bytes",
                 (unsigned long long)g->body_limit);
        answer(p, &(struct front_answer){413, "RequestTooLarge", message, 0, NULL});
        return false;
    }
    return hop(p, g);
}

/* ---- the start */

/* What Lambda's Invoke takes: POST, and of the invocation types the one that waits. */
static const struct front_answer *objection(const struct pass *p)
{
    static const struct front_answer method = {405, "MethodNotAllowed",
                                               "invocations are made by POST", 0, "POST"};
    static const struct front_answer type = {
        400, "InvalidParameterValue", "X-Amz-Invocation-Type: only RequestResponse is supported", 0,
        NULL};
    const struct http_head *h = http_head(p->x);
    const struct str *t = http_head_get(h, "X-Amz-Invocation-Type");

    if (p->target.kind != TARGET_INVOKE)
        return NULL;
    if (!str_eq(h->method, "POST"))
        return &method;
    return t && !str_eq(*t, "RequestResponse") ? &type : NULL;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct front *f = user;
    struct pass *p = calloc(1, sizeof(*p));
    const struct front_answer *no;

    if (!p) {
        http_respond(x, 503, "Retry-After: 1\r\n", NULL, 0);
        return;
    }
    p->front = f;
    p->x = x;
    p->since_ns = loop_now(f->loop);
    list_push_back(&f->passes, &p->link);
    random_hex(p->request_id, 16);
    p->token_shown = http_shows_token(http_head(x), f->token);
    p->trusted = p->token_shown || http_client_on_loopback(x);
    target_parse(http_head(x)->path, &p->target);
    http_set_owner(x, &own_ops, p);
    if (http_has_body(x)) {
        char header[HTTP_REFUSAL_HEADERS];

        snprintf(header, sizeof(header), "Rouse-Request-Id: %s\r\n", p->request_id);
        http_set_refusal_headers(x, header);
    }
    no = objection(p);
    if (no)
        answer(p, no);
    else
        wait(p);
}

/* ---- life */

static void on_drained(void *user)
{
    loop_stop(((struct front *)user)->loop);
}

static void on_stop(struct mail *m)
{
    struct front *f = container_of(m, struct front, stop);

    list_for_each(it, &f->passes)
    {
        struct pass *p = list_entry(it, struct pass, link);

        if (p->state != PASS_WAITING)
            continue;
        cancel(p);
        answer(p, &(struct front_answer){503, "ShuttingDown", "the controller is being restarted",
                                         1, NULL});
    }
    http_server_drain(f->server, loop_now(f->loop) + DRAIN_S * NS_PER_S, on_drained, f);
}

int front_new(const struct front_config *c, struct front **ret)
{
    struct front *f = calloc(1, sizeof(*f));
    struct http_server_options o = {.hold_limit = HOLD_LIMIT, .on_request = on_request, .user = f};
    int r;

    if (!f)
        return -ENOMEM;
    f->config = *c;
    http_timeouts_apply(&c->clients, &o);
    f->stop.fn = on_stop;
    f->traces = random_u64();
    list_init(&f->passes);
    f->token = c->token ? strdup(c->token) : NULL;
    f->peer_secret = strdup(c->peer_secret);
    r = !f->peer_secret || (c->token && !f->token) ? -ENOMEM : loop_new(&f->loop);
    if (r == 0)
        r = http_client_new(f->loop, NULL, &f->client);
    if (r == 0)
        r = http_server_new(f->loop, &o, &f->server);
    if (r == 0)
        r = http_server_listen(f->server, c->address, NULL);
    if (r < 0) {
        front_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void front_address(const struct front *f, char out[128])
{
    http_server_address(f->server, out);
}

struct loop *front_loop(struct front *f)
{
    return f->loop;
}

void front_metrics(void *user, struct buffer *out)
{
    static const char requests[] = "rouse_front_requests_total";
    const struct front *f = user;
    const struct http_server_stats *s = http_server_stats(f->server);

    http_server_metrics(out, "rouse_front", s);
    metrics_family(out, requests, "counter", "Requests begun at the activator's front.");
    metrics_sample(out, requests, (double)s->requests, NULL);
    http_client_metrics(out, &(struct http_client_sample){"front", http_client_stats(f->client)}, 1);
}

int front_run(struct front *f)
{
    return loop_run(f->loop);
}

void front_stop(struct front *f)
{
    loop_post(f->loop, &f->stop);
}

static void on_drained_mail(struct mail *m)
{
    loop_stop(container_of(m, struct front, stop)->loop);
}

/* Tickets that are still on their way back are freed on arrival. */
static void take_last_mail(struct front *f)
{
    f->stop.fn = on_drained_mail;
    loop_post(f->loop, &f->stop);
    loop_run(f->loop);
}

static void cut_tunnels(struct front *f)
{
    struct list *l, *next;

    for (l = f->passes.next; l != &f->passes; l = next) {
        struct pass *p = list_entry(l, struct pass, link);

        next = l->next;
        if (p->state != PASS_TUNNEL)
            continue;
        http_proxy_cancel(p->proxy);
        pass_free(p);
    }
}

struct front *front_free(struct front *f)
{
    if (!f)
        return NULL;
    f->server = http_server_free(f->server);
    f->client = http_client_free(f->client);
    cut_tunnels(f);
    if (f->loop)
        take_last_mail(f);
    f->loop = loop_free(f->loop);
    free(f->token);
    free(f->peer_secret);
    free(f);
    return NULL;
}
