#include "local/gateway.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "http/route_table.h"
#include "http/trace.h"
#include "invoke/request_id.h"
#include "invoke/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gateway {
    const struct local_function *function;
    struct instance *instance;
    const struct console *console;
    struct http_server *server;
    struct epoch_domain domain;
    struct route_table routes;
    struct request_ids ids;
    uint64_t traces;
};

struct request {
    struct instance_request work;
    struct gateway *gateway;
    char id[REQUEST_ID_SIZE], trace[HTTP_TRACE_SIZE], client[128];
    struct target target;
    uint64_t since_ns;
};

static void tell(const struct request *r, int status)
{
    const struct http_head *h = http_head(r->work.x);

    console_request(r->gateway->console, r->id, h->method, h->target, status,
                    clock_monotonic_ns() - r->since_ns);
}

/* ---------------------------------------------------------------- the exchange, while it is ours */

static void on_gone(struct http_exchange *x, int error)
{
    struct request *r = http_user(x);

    (void)error;
    instance_withdraw(&r->work);
    console_error(r->gateway->console, r->id, "the client left before the function began");
}

static void on_done(struct http_exchange *x)
{
    free(http_user(x));
}

static const struct http_exchange_ops ours = {.on_gone = on_gone, .on_done = on_done};
static const struct http_exchange_ops answered = {.on_done = on_done};

static void fail(struct request *r, const struct failure *f)
{
    http_set_owner(r->work.x, &answered, r);
    tell(r, failure_respond(r->work.x, f));
}

static void refuse(struct request *r, int status, const char *reason, const char *message)
{
    fail(r, &(struct failure){.status = status,
                              .reason = reason,
                              .message = message,
                              .request_id = r->id,
                              .refused = true});
}

static void refuse_method(struct request *r, uint32_t methods)
{
    char allow[ROUTE_METHODS_TEXT], headers[256];

    route_methods_text(methods, allow);
    snprintf(headers, sizeof(headers),
             "Rouse-Request-Id: %s\r\nContent-Type: application/json\r\nAllow: %s\r\n", r->id, allow);
    http_set_owner(r->work.x, &answered, r);
    tell(r, 405);
    http_respond(r->work.x, 405, headers, "{\"reason\":\"MethodNotAllowed\"}\n", 30);
}

/* ---------------------------------------------------------------- the instance's word */

static void on_invoked(struct instance_request *w, const struct invoke_outcome *o)
{
    struct request *r = container_of(w, struct request, work);

    if (o->client_gone)
        console_error(r->gateway->console, r->id, "the client left");
    tell(r, o->status);
    free(r);
}

static void on_failed(struct instance_request *w, const struct failure *f)
{
    fail(container_of(w, struct request, work), f);
}

/* ---------------------------------------------------------------- where it goes */

static void submit(struct request *r, struct str route, bool any)
{
    struct gateway *g = r->gateway;

    r->work.on_done = on_invoked;
    r->work.on_failed = on_failed;
    r->work.params = (struct invoke_params){
        .request_id = r->id,
        .trace = r->trace,
        .shape = r->target.kind == TARGET_INVOKE ? INVOKE_RAW : INVOKE_HTTP,
        .raw_path = r->target.raw_path,
        .route = route,
        .route_any = any,
        .trusted = true,
        .client_ip = r->client,
    };
    instance_submit(g->instance, &r->work);
}

static bool is_ours(const struct gateway *g, const char *key)
{
    size_t n = strlen(g->function->namespace);

    return !strncmp(key, g->function->namespace, n) && key[n] == '/' &&
           !strcmp(key + n + 1, g->function->name);
}

static void dispatch(struct request *r)
{
    struct gateway *g = r->gateway;
    const struct http_head *h = http_head(r->work.x);
    struct route_match m;

    target_parse(h->path, &r->target);
    if (r->target.kind == TARGET_INVOKE && !str_eq(h->method, "POST")) {
        refuse_method(r, route_method(STR("POST")));
        return;
    }
    if (r->target.kind != TARGET_PATH) {
        if (is_ours(g, r->target.function_key))
            submit(r, STR(""), false);
        else
            refuse(r, 404, "NotFound", "another function runs here");
        return;
    }
    switch (route_table_match(&g->routes, h->host, h->method, h->path, &m)) {
    case ROUTE_FOUND:
        submit(r, m.pattern, m.any_method);
        return;
    case ROUTE_WRONG_METHOD:
        refuse_method(r, m.allow);
        return;
    default:
        refuse(r, 404, "NotFound", "the function has no trigger for that host and path");
    }
}

static void on_request(struct http_exchange *x, void *user)
{
    struct gateway *g = user;
    struct request *r = calloc(1, sizeof(*r));

    if (!r) {
        http_respond(x, 503, NULL, NULL, 0);
        return;
    }
    r->gateway = g;
    r->work.x = x;
    r->since_ns = clock_monotonic_ns();
    request_id_make(&g->ids, r->id);
    http_trace_of(http_head(x),
                  (const uint64_t[3]){random_next(&g->traces), random_next(&g->traces),
                                      random_next(&g->traces)},
                  r->trace);
    http_client_text(x, r->client);
    http_set_owner(x, &ours, r);
    dispatch(r);
}

/* ---------------------------------------------------------------- life */

static int add_route(struct gateway *g, struct epoch_edit *edit, const struct local_trigger *t,
                     struct err *e)
{
    struct str path = str_of(t->path), host = t->host ? str_of(t->host) : STR("");
    char why[ROUTE_WHY_MAX];
    int r;

    if (route_pattern_check(path, why) < 0)
        return err_set(e, EINVAL, "spec.triggers: http.path %s: %s", t->path, why);
    if (t->host && route_host_check(host, why) < 0)
        return err_set(e, EINVAL, "spec.triggers: http.hosts %s: %s", t->host, why);
    r = route_table_add(edit, &g->routes, host, path, t->methods, (void *)t, NULL);
    if (r == -EEXIST)
        return err_set(e, EEXIST, "spec.triggers: two have the path %s", t->path);
    return r < 0 ? err_errno(e, -r, "spec.triggers") : 0;
}

int gateway_new(struct loop *loop, const struct local_function *f, struct instance *i,
                const struct console *console, struct gateway **ret, struct err *e)
{
    struct gateway *g = calloc(1, sizeof(*g));
    struct http_server_options o = {.on_request = on_request, .user = g};
    struct epoch_edit edit;
    int r;

    if (!g)
        return err_set(e, ENOMEM, "out of memory");
    g->function = f;
    g->instance = i;
    g->console = console;
    g->traces = random_u64();
    request_ids_init(&g->ids);
    epoch_edit_begin(&g->domain, &edit);
    r = http_server_new(loop, &o, &g->server);
    if (r < 0)
        err_errno(e, -r, "http");
    for (size_t k = 0; k < f->trigger_count && r == 0; k++)
        r = add_route(g, &edit, &f->triggers[k], e);
    epoch_commit(&edit);
    if (r < 0)
        gateway_free(g);
    else
        *ret = g;
    return r;
}

int gateway_listen(struct gateway *g, const char *address, uint16_t *ret_port)
{
    char text[128];
    int r = http_server_listen(g->server, address, NULL);

    if (r < 0)
        return r;
    http_server_address(g->server, text);
    *ret_port = strncmp(text, "tcp:", 4) == 0 ? (uint16_t)atoi(strrchr(text, ':') + 1) : 0;
    return 0;
}

struct gateway *gateway_free(struct gateway *g)
{
    if (!g)
        return NULL;
    http_server_free(g->server);
    route_table_free(&g->routes);
    epoch_domain_done(&g->domain);
    free(g);
    return NULL;
}
