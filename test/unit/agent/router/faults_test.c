/* faults_test.c - the table (state of a request at its entry x fault) -> answer, a test a cell.
 *
 * The gateway and its HTTP server are real; pool, proxy and controller are
 * doubles that do what the cell's script says, word by word. */
#include "router/gateway.h"
#include "agent/router/client.h"
#include "agent/router/fake_pool.h"
#include "http/proxy.h"
#include "report/report.h"
#include "router/request.h"
#include "router/routes.h"
#include "unit.h"

/* ---------------------------------------------------------------- the proxy's double */
enum fake_proxy_mode {
    PROXY_ANSWER,
    PROXY_REFUSE,
    PROXY_RESET,
    PROXY_TIMEOUT,
    PROXY_CUT,
    PROXY_HOLD,
    PROXY_SWITCH,
    PROXY_FAIL /* it cannot be made */
};
struct http_proxy {
    struct loop_timer timer;
    struct http_exchange *x;
    const struct http_proxy_ops *ops;
    void *user;
    enum fake_proxy_mode mode;
    struct conn *stream; /* of a tunnel; x is NULL then */
};
static struct {
    enum fake_proxy_mode modes[8]; /* of the next calls; the last one goes on */
    size_t count, at;
    unsigned calls;
    char set[2048], address[64];
    struct http_proxy *tunnel;
} proxies;

int http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **ret)
{
    (void)l, (void)o;
    *ret = NULL;
    return 0;
}
struct http_client *http_client_free(struct http_client *c)
{
    return c;
}
const struct http_client_stats *http_client_stats(const struct http_client *c)
{
    (void)c;
    return NULL;
}
/* As the real one: the exchange is the owner's again when the last word is said, and lives on. */
static void proxy_end(struct http_proxy *p, int error)
{
    p->ops->on_done(p->user, p->x, error);
    loop_timer_cancel(http_loop(p->x), &p->timer);
    free(p);
}
static void proxy_gone(struct http_exchange *x, int error)
{
    (void)error;
    proxy_end(http_user(x), -ECANCELED);
}
static const struct http_exchange_ops proxy_exchange_ops = {.on_gone = proxy_gone};

/* As the real one: the exchange is over at the end of this turn, and the proxy is not. */
static void proxy_switch(struct http_proxy *p)
{
    struct http_exchange *x = p->x;
    uint8_t *rest;
    size_t n;

    ck_assert_int_eq(http_upgrade(x, NULL, &p->stream, &rest, &n), 0);
    p->x = NULL;
    proxies.tunnel = p;
    p->ops->on_head(p->user, x, 101);
}
static void tunnel_ends(void)
{
    struct http_proxy *p = proxies.tunnel;

    proxies.tunnel = NULL;
    conn_close(p->stream);
    p->ops->on_done(p->user, NULL, 0);
    free(p);
}

static void proxy_act(struct loop_timer *t)
{
    struct http_proxy *p = list_entry(t, struct http_proxy, timer);

    switch (p->mode) {
    case PROXY_ANSWER:
        p->ops->on_head(p->user, p->x, 200);
        http_respond(p->x, 200, NULL, "from a peer", 11);
        proxy_end(p, 0);
        return;
    case PROXY_REFUSE:
        p->ops->on_refused(p->user, p->x, "busy");
        free(p);
        return;
    case PROXY_RESET:
        proxy_end(p, -ECONNRESET);
        return;
    case PROXY_TIMEOUT:
        proxy_end(p, -ETIMEDOUT);
        return;
    case PROXY_CUT:
        p->ops->on_head(p->user, p->x, 200);
        http_respond_start(p->x, 200, NULL, 100);
        http_abort(p->x);
        proxy_end(p, -EPIPE);
        return;
    case PROXY_FAIL:
    case PROXY_HOLD:
        return;
    case PROXY_SWITCH:
        proxy_switch(p);
        return;
    }
}
int http_proxy_start(struct http_client *c, struct http_exchange *x,
                     const struct http_proxy_request *r, const struct http_proxy_ops *ops,
                     void *user, struct http_proxy **ret)
{
    struct http_proxy *p = calloc(1, sizeof(*p));

    (void)c;
    ck_assert_ptr_nonnull(p);
    *p = (struct http_proxy){.timer.fn = proxy_act, .x = x, .ops = ops, .user = user};
    p->mode = proxies.modes[proxies.at];
    proxies.at += proxies.at + 1 < proxies.count;
    if (p->mode == PROXY_FAIL) {
        free(p);
        return -ENOMEM;
    }
    proxies.calls++;
    snprintf(proxies.set, sizeof(proxies.set), "%s", r->set);
    snprintf(proxies.address, sizeof(proxies.address), "%s", r->address);
    http_set_owner(x, &proxy_exchange_ops, p);
    loop_timer_set(http_loop(x), &p->timer, loop_now(http_loop(x)));
    *ret = p;
    return 0;
}

void http_proxy_cancel(struct http_proxy *p)
{
    ck_assert_ptr_eq(p, proxies.tunnel);
    proxies.tunnel = NULL;
    conn_abort(p->stream, 0);
    free(p);
}

/* ---------------------------------------------------------------- the world of one cell */
struct cell {
    const char *state, *fault;
    const char *request; /* method, path and more headers; NULL: "GET /a HTTP/1.1\r\n" */
    const char *script;
    int status;       /* 0: no answer */
    const char *has;  /* a part of the answer */
    const char *sent; /* what the controller got: T<attempt>:<function or path>, G */
    unsigned limit;
    uint64_t held_limit;
    unsigned deadline_ms;
};
static struct world {
    struct loop *loop;
    struct pool pool;
    struct routes *routes;
    struct report *report;
    struct gateway *gateway;
    struct client client, other;
    char sent[512];
    uint64_t ticket; /* the last one */
    char unused[64]; /* slot, too; another node's: instance/slot */
    unsigned tickets, gone;
    bool connected, drained;
} w;

static int to_controller(void *user, const Rouse__Control__V1__AgentMessage *m)
{
    size_t n = strlen(w.sent);

    (void)user;
    if (!w.connected)
        return -ENOTCONN;
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE) {
        w.gone++;
        snprintf(w.sent + n, sizeof(w.sent) - n, "G ");
        return 0;
    }
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_UNUSED) {
        snprintf(w.unused, sizeof(w.unused), "%s/%llu", m->slot_unused->instance,
                 (unsigned long long)m->slot_unused->slot);
        return 0;
    }
    w.tickets++;
    w.ticket = m->ticket->id;
    snprintf(w.sent + n, sizeof(w.sent) - n, "T%u:%s ", m->ticket->attempt,
             *m->ticket->function_key ? m->ticket->function_key : m->ticket->path);
    return 0;
}

/* default/a at /a by GET, revision r1, with an endpoint on n2 and one on n3. */
static void apply_routes(bool peers)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__HttpTrigger trigger = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT;
    Rouse__Control__V1__Endpoint second = ROUSE__CONTROL__V1__ENDPOINT__INIT;
    Rouse__Control__V1__Endpoint third = ROUSE__CONTROL__V1__ENDPOINT__INIT;
    Rouse__Control__V1__Route route = ROUSE__CONTROL__V1__ROUTE__INIT;
    Rouse__Control__V1__Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;

    trigger.path = (char *)"/a";
    trigger.methods = (char *[]){(char *)"GET", (char *)"POST"};
    trigger.n_methods = 2;
    route.function_key = second.function_key = third.function_key = (char *)"default/a";
    route.revision = second.revision = third.revision = (char *)"r1";
    route.timeout_ms = 1000;
    route.body_limit = 1000;
    route.triggers = (Rouse__Control__V1__HttpTrigger *[]){&trigger};
    route.n_triggers = 1;
    second.instance = (char *)"i2";
    second.node = (char *)"n2";
    second.peer_address = (char *)"tcp://127.0.0.1:2";
    third.instance = (char *)"i3";
    third.node = (char *)"n3";
    third.peer_address = (char *)"tcp://127.0.0.1:3";
    m.epoch = &epoch;
    m.routes = (Rouse__Control__V1__Route *[]){&route};
    m.n_routes = 1;
    m.endpoints = (Rouse__Control__V1__Endpoint *[]){&second, &third};
    m.n_endpoints = peers ? 2 : 0;
    ck_assert_int_eq(routes_apply(w.routes, &m), 0);
}

static void apply_nothing(void)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;

    m.epoch = &epoch;
    ck_assert_int_eq(routes_apply(w.routes, &m), 0);
}

static bool ticket_came(void *user)
{
    return w.tickets > *(unsigned *)user;
}
static bool gone_came(void *user)
{
    return w.gone > *(unsigned *)user;
}
static bool client_answered(void *user)
{
    return !((struct client *)user)->conn;
}
static bool pool_holds(void *user)
{
    (void)user;
    return w.pool.held != NULL;
}
static bool proxy_called(void *user)
{
    return proxies.calls > *(unsigned *)user;
}
static bool waits(void *user)
{
    (void)user;
    return tickets_stats(w.gateway->tickets)->open > 0;
}
static bool is_near(void *user)
{
    (void)user;
    return near_count(w.gateway->near) > 0;
}
static bool switched(void *user)
{
    return proxies.tunnel && client_status(user) == 101;
}
static bool all_requests_freed(void *user)
{
    (void)user;
    return list_empty(&w.gateway->requests);
}
static void on_drained(void *user)
{
    (void)user;
    w.drained = true;
}

static void send_request(struct client *c, const char *request)
{
    char text[1024], address[128];

    gateway_address(w.gateway, address);
    snprintf(text, sizeof(text), "%sHost: h\r\nRouse-Request-Id: forged\r\nConnection: close\r\n\r\n",
             request ? request : "GET /a HTTP/1.1\r\n");
    client_send(c, w.loop, address, text);
}

static void grant(const char *node, uint64_t body_limit)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;

    g.ticket = w.ticket;
    g.function_key = (char *)"default/a";
    g.revision = (char *)"r1";
    g.instance = (char *)"i";
    g.node = (char *)node;
    g.peer_address = (char *)"tcp://127.0.0.1:9";
    g.slot = 77;
    g.timeout_ms = 1000;
    g.body_limit = body_limit;
    gateway_grant(w.gateway, &g);
}

static void refuse(uint32_t status, const char *reason)
{
    Rouse__Control__V1__Refuse r = ROUSE__CONTROL__V1__REFUSE__INIT;

    r.ticket = w.ticket;
    r.status = status;
    r.reason = (char *)reason;
    r.message = (char *)"said the activator";
    r.retry_after_s = status == 429 || status == 503 ? 7 : 0;
    r.allow = (char *)(status == 405 ? "GET, POST" : "");
    gateway_refuse(w.gateway, &r);
}

static void proxy_next(enum fake_proxy_mode mode)
{
    proxies.modes[proxies.count++] = mode;
}

/* One word of a script; false if it is none. */
static bool setting(const char *word)
{
    static const struct {
        const char *word;
        int result;
        enum fake_mode mode;
    } locals[] = {{"local-free", 0, FAKE_ANSWER},
                  {"local-holds", 0, FAKE_HOLD},
                  {"local-busy", -EAGAIN, FAKE_ANSWER},
                  {"local-stale", -ESTALE, FAKE_ANSWER},
                  {"local-unknown", -ENOENT, FAKE_ANSWER}};
    static const char *const modes[] = {"peer-answers",  "peer-refuses", "peer-resets",
                                        "peer-hangs",    "peer-cuts",    "peer-holds",
                                        "peer-switches", "peer-fails"};

    for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
        if (strcmp(word, locals[i].word) != 0)
            continue;
        w.pool.result = locals[i].result;
        w.pool.mode = locals[i].mode;
        w.pool.has_slot = locals[i].result == 0;
        return true;
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(word, modes[i]) != 0)
            continue;
        proxy_next((enum fake_proxy_mode)i);
        return true;
    }
    if (!strcmp(word, "soon"))
        w.pool.soon_free = 1;
    else if (!strcmp(word, "wanted")) /* by others more than by us */
        w.pool.wanted = 2;
    else if (!strcmp(word, "peers"))
        apply_routes(true);
    else if (!strcmp(word, "no-peers"))
        apply_routes(false);
    else if (!strcmp(word, "unroute"))
        apply_nothing();
    else if (!strcmp(word, "fails-502"))
        w.pool.status = 502;
    else
        return false;
    return true;
}

static bool event(const struct cell *c, const char *word)
{
    if (!strcmp(word, "send"))
        send_request(&w.client, c->request);
    else if (!strcmp(word, "send-other"))
        send_request(&w.other, c->request);
    else if (!strcmp(word, "leave"))
        conn_abort(w.client.conn, -ECANCELED);
    else if (!strcmp(word, "away")) {
        w.connected = false;
        gateway_away(w.gateway);
    } else if (!strcmp(word, "welcome")) {
        w.connected = true;
        gateway_welcome(w.gateway, "s3cret");
    } else if (!strcmp(word, "slot"))
        gateway_slot_free(w.gateway, "default/a", "r1", w.pool.wanted);
    else if (!strcmp(word, "grant-here"))
        grant("n1", 1000);
    else if (!strcmp(word, "grant-first")) {
        w.ticket--; /* the last ticket but one */
        grant("n1", 1000);
    } else if (!strcmp(word, "grant-there"))
        grant("n2", 1000);
    else if (!strcmp(word, "grant-small"))
        grant("n1", 5);
    else if (!strcmp(word, "refuse-404"))
        refuse(404, "NotFound");
    else if (!strcmp(word, "refuse-405"))
        refuse(405, "MethodNotAllowed");
    else if (!strcmp(word, "refuse-429"))
        refuse(429, "QueueFull");
    else if (!strcmp(word, "refuse-503"))
        refuse(503, "NoCapacity");
    else if (!strcmp(word, "refuse-200"))
        refuse(200, "Nonsense");
    else if (!strcmp(word, "release"))
        fake_answer(w.pool.held);
    else if (!strcmp(word, "stream-ends"))
        tunnel_ends();
    else if (!strcmp(word, "drain"))
        gateway_drain(w.gateway, clock_monotonic_ns() + 700 * NS_PER_MS, on_drained, NULL);
    else
        return false;
    return true;
}

/* Words that wait: *: until it happened once more than at the word before. */
static bool await(const char *word, unsigned tickets, unsigned gone, unsigned calls)
{
    if (!strcmp(word, "*ticket"))
        return run_until(w.loop, ticket_came, &tickets);
    if (!strcmp(word, "*gone"))
        return run_until(w.loop, gone_came, &gone);
    if (!strcmp(word, "*proxied"))
        return run_until(w.loop, proxy_called, &calls);
    if (!strcmp(word, "*held"))
        return run_until(w.loop, pool_holds, NULL);
    if (!strcmp(word, "*waits"))
        return run_until(w.loop, waits, NULL);
    if (!strcmp(word, "*answer"))
        return run_until(w.loop, client_answered, &w.client);
    if (!strcmp(word, "*near"))
        return run_until(w.loop, is_near, NULL);
    if (!strcmp(word, "*switched"))
        return run_until(w.loop, switched, &w.client);
    if (!strcmp(word, "*other"))
        return run_until(w.loop, client_answered, &w.other);
    return !strcmp(word, "*freed") && run_until(w.loop, all_requests_freed, NULL);
}

static void run_script(const struct cell *c)
{
    unsigned tickets = 0, gone = 0, calls = 0;
    char script[512], *save = NULL;

    snprintf(script, sizeof(script), "%s", c->script);
    for (char *word = strtok_r(script, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (word[0] == '*') {
            ck_assert_msg(await(word, tickets, gone, calls), "%s x %s: %s never came; sent: %s",
                          c->state, c->fault, word, w.sent);
            tickets = w.tickets;
            gone = w.gone;
            calls = proxies.calls;
        } else {
            ck_assert_msg(setting(word) || event(c, word), "no such word: %s", word);
        }
    }
}

static void slot_unused(void *user, uint64_t slot)
{
    (void)user;
    snprintf(w.unused, sizeof(w.unused), "%llu", (unsigned long long)slot);
}

static void run_cell(const struct cell *c)
{
    struct gateway_config g = {
        .pool = &w.pool,
        .node = "n1",
        .queue_deadline_ns = (c->deadline_ms ? c->deadline_ms : 15000) * NS_PER_MS,
        .tickets_limit = c->limit,
        .held_limit = c->held_limit,
        .send = to_controller,
        .slot_unused = slot_unused,
    };

    memset(&w, 0, sizeof(w));
    memset(&proxies, 0, sizeof(proxies));
    w.pool.name = "n1";
    w.pool.result = -ENOENT;
    w.connected = true;
    ck_assert_int_eq(loop_new(&w.loop), 0);
    ck_assert_int_eq(routes_new("n1", &w.routes), 0);
    ck_assert_int_eq(report_new(&w.report), 0);
    g.loop = w.loop;
    g.routes = w.routes;
    g.report = w.report;
    apply_routes(false);
    ck_assert_int_eq(gateway_new(&g, &w.gateway), 0);
    ck_assert_int_eq(gateway_listen(w.gateway, "tcp://127.0.0.1:0"), 0);
    gateway_welcome(w.gateway, "s3cret");
    run_script(c);
    ck_assert_msg(client_status(&w.client) == c->status, "%s x %s: %d, not %d\n%s", c->state,
                  c->fault, client_status(&w.client), c->status, w.client.answer);
    if (c->has)
        ck_assert_msg(strstr(w.client.answer, c->has), "%s x %s lacks \"%s\":\n%s", c->state,
                      c->fault, c->has, w.client.answer);
    ck_assert_ptr_null(strstr(w.client.answer, "forged"));
    if (c->sent)
        ck_assert_str_eq(w.sent, c->sent);
    ck_assert_uint_eq(tickets_stats(w.gateway->tickets)->open, 0);
    gateway_free(w.gateway);
    ck_assert_ptr_null(proxies.tunnel);
    routes_free(w.routes);
    report_free(w.report);
    loop_free(w.loop);
}

#define POST_LONG "POST /a HTTP/1.1\r\nContent-Length: 1001\r\n"
#define UPGRADE   "GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
#define CELLS                                                                                               \
    /* ---- new */                                                                                          \
    CELL(new_local, "new", "none", NULL, "local-free peers send *answer", 200,                              \
         "n1 ran default/a@r1 /a", "")                                                                      \
    CELL(new_local_busy, "new", "local busy", NULL, "local-busy peers peer-answers send *answer",           \
         200, "from a peer", "")                                                                            \
    CELL(new_one_peer_busy, "new", "local and one peer busy", NULL,                                         \
         "local-busy peers peer-refuses peer-answers send *answer", 200, "from a peer", "")                 \
    CELL(new_all_busy, "new", "all busy", NULL,                                                             \
         "local-busy peers peer-refuses send *ticket local-free grant-here *answer", 200,                   \
         "n1 ran default/a@r1 /a", "T0:default/a ")                                                         \
    CELL(new_body_too_large, "new", "body over the limit", POST_LONG, "local-free send *answer",            \
         413, "over the function's limit: 1000 bytes", "")                                                  \
    CELL(new_unknown_path, "new", "path not known here", "GET /z HTTP/1.1\r\n",                             \
         "local-free send *ticket refuse-404 *answer", 404, "{\"reason\":\"NotFound\"", "T0:/z ")           \
    CELL(new_fresh_path, "new", "path applied a moment ago", "GET /z?q=1 HTTP/1.1\r\n",                     \
         "local-free send *ticket grant-here *answer", 200, "n1 ran default/a@r1 /z", "T0:/z ")             \
    CELL(new_wrong_method, "new", "method not allowed", "PUT /a HTTP/1.1\r\n",                              \
         "local-free send *ticket refuse-405 *answer", 405, "Allow: GET, POST\r\n", "T0:/a ")               \
    CELL(new_direct, "new", "none, by name", "GET /function/default/a/x HTTP/1.1\r\n",                      \
         "local-free send *answer", 200, "n1 ran default/a@r1 /x shape=0", "")                              \
    CELL(new_direct_unknown, "new", "name not known here", "GET /function/default/b HTTP/1.1\r\n",          \
         "local-free send *ticket refuse-404 *answer", 404, "NotFound", "T0:default/b ")                    \
    CELL(new_invoke, "new", "none, Lambda's Invoke",                                                        \
         "POST /2015-03-31/functions/a/invocations HTTP/1.1\r\nX-Amz-Invocation-Type: RequestResponse\r\n", \
         "local-free send *answer", 200, "n1 ran default/a@r1 / shape=1", "")                               \
    CELL(new_invoke_get, "new", "Invoke by GET",                                                            \
         "GET /2015-03-31/functions/a/invocations HTTP/1.1\r\n", "local-free send *answer", 405,            \
         "Allow: POST\r\n", "")                                                                             \
    CELL(new_invoke_event, "new", "Invoke of a type not offered",                                           \
         "POST /2015-03-31/functions/a/invocations HTTP/1.1\r\nX-Amz-Invocation-Type: Event\r\n",           \
         "local-free send *answer", 400, "InvalidParameterValue", "")                                       \
    CELL(new_draining, "new", "this agent stops", NULL,                                                     \
         "local-holds send *held drain release *answer", 200, "n1 ran", "")                                 \
    /* ---- near */                                                                                         \
    CELL(near_slot_frees, "near", "a slot frees here", NULL,                                                \
         "local-busy soon send *near local-free slot *answer", 200, "n1 ran default/a@r1 /a", "")           \
    CELL(near_over, "near", "none frees in time", NULL,                                                     \
         "local-busy soon send *ticket refuse-503 *answer", 503, "NoCapacity", "T0:default/a ")             \
    CELL(near_stolen, "near", "the slot is taken by another", NULL,                                         \
         "local-busy soon send *near slot *ticket refuse-503 *answer", 503, "NoCapacity",                   \
         "T0:default/a ")                                                                                   \
    CELL(near_client_gone, "near", "client gone", NULL, "local-busy soon send *near leave *freed",          \
         0, NULL, "")                                                                                       \
    CELL(near_away, "near", "controller away", NULL,                                                        \
         "away local-busy soon send *near local-free slot *answer", 200, "n1 ran", "")                      \
    CELL(near_shutdown, "near", "this agent stops", NULL,                                                   \
         "local-busy soon send *near drain *answer", 503, "ShuttingDown", NULL)                             \
    CELL(near_others_wait, "near", "others have tickets", NULL,                                             \
         "local-busy soon wanted send *ticket refuse-503 *answer", 503, "NoCapacity",                       \
         "T0:default/a ")                                                                                   \
    CELL(near_is_older, "near", "a slot frees here, and one that came later has a ticket", NULL,            \
         "local-busy soon send *near send-other *ticket local-free slot *answer refuse-503 *other",         \
         200, "n1 ran", NULL)                                                                               \
    CELL(near_unroute, "near", "unrouted", NULL,                                                            \
         "local-busy soon send *near unroute slot *ticket refuse-404 *answer", 404, "NotFound",             \
         "T0:default/a ")                                                                                   \
    /* ---- waiting */                                                                                      \
    CELL(waiting_client_gone, "waiting", "client gone", NULL, "send *ticket leave *gone *freed",            \
         0, NULL, "T0:default/a G ")                                                                        \
    CELL(waiting_refused, "waiting", "no capacity", NULL, "send *ticket refuse-503 *answer", 503,           \
         "Retry-After: 7\r\n", "T0:default/a ")                                                             \
    CELL(waiting_queue_full, "waiting", "scaling.max and queue full", NULL,                                 \
         "send *ticket refuse-429 *answer", 429, "Retry-After: 7\r\n", "T0:default/a ")                     \
    CELL(waiting_nonsense, "waiting", "refusal with a status that is none", NULL,                           \
         "send *ticket refuse-200 *answer", 503, "Nonsense", "T0:default/a ")                               \
    CELL(waiting_controller_away, "waiting", "controller away and back", NULL,                              \
         "send *ticket away welcome *ticket local-free grant-here *answer", 200, "n1 ran",                  \
         "T0:default/a T0:default/a ")                                                                      \
    CELL(waiting_sent_while_away, "waiting", "controller away when it came", NULL,                          \
         "away send *waits welcome *ticket local-free grant-here *answer", 200, "n1 ran",                   \
         "T0:default/a ")                                                                                   \
    CELL(waiting_away_slot_frees, "waiting", "controller away, a slot frees here", NULL,                    \
         "away local-busy send *waits local-free slot *answer", 200, "n1 ran", "")                          \
    CELL(waiting_away_peer_frees, "waiting", "controller away, a peer becomes free", NULL,                  \
         "away peers peer-refuses peer-refuses peer-answers send *answer", 200, "from a peer", "")          \
    CELL(waiting_slot_frees, "waiting", "a slot frees here, controller present", NULL,                      \
         "local-busy send *ticket local-free slot *gone *answer", 200, "n1 ran", "T0:default/a G ")         \
    CELL(waiting_slot_shared, "waiting", "a slot frees here, others wait as well", NULL,                    \
         "local-busy send *ticket local-free wanted slot refuse-503 *answer", 503, "NoCapacity",            \
         "T0:default/a ")                                                                                   \
    CELL(waiting_slot_share, "waiting", "a second slot frees here, others wait as well", NULL,              \
         "local-busy send *ticket local-free wanted slot slot *gone *answer", 200, "n1 ran",                \
         "T0:default/a G ")                                                                                 \
    CELL(waiting_grant_of_another, "waiting", "the grant of one that was served here", NULL,                \
         "local-busy send-other *ticket local-free slot *gone *other local-busy send *ticket local-free "   \
         "grant-first *answer",                                                                             \
         200, "n1 ran", "T0:default/a G T0:default/a G ")                                                   \
    CELL(waiting_shutdown, "waiting", "this agent stops", NULL, "send *ticket drain *answer", 503,          \
         "ShuttingDown", "T0:default/a ")                                                                   \
    CELL(waiting_unknown_grant, "waiting", "granted after its client left", NULL,                           \
         "send *ticket leave *gone local-free grant-here *freed", 0, NULL, "T0:default/a G ")               \
    /* ---- granted */                                                                                      \
    CELL(granted_here_stale, "granted here", "lease over", NULL,                                            \
         "local-stale send *ticket grant-here *ticket local-free grant-here *answer", 200,                  \
         "n1 ran", "T0:default/a T1:default/a ")                                                            \
    CELL(granted_there_refused, "granted there", "refused, or the peer is dead", NULL,                      \
         "send *ticket peer-refuses peer-answers grant-there *ticket grant-there *answer", 200,             \
         "from a peer", "T0:default/a T1:default/a ")                                                       \
    CELL(granted_there_lost, "granted there", "lost after INVOKE", NULL,                                    \
         "send *ticket peer-resets grant-there *answer", 502, "{\"reason\":\"InstanceLost\"",               \
         "T0:default/a ")                                                                                   \
    CELL(granted_unknown_refused, "granted there", "refused; path not known here",                          \
         "GET /z HTTP/1.1\r\n", "send *ticket peer-refuses grant-there *ticket refuse-503 *answer",         \
         503, "NoCapacity", "T0:/z T1:default/a ")                                                          \
    CELL(granted_body_too_large, "granted here", "body over the limit",                                     \
         "POST /z HTTP/1.1\r\nContent-Length: 6\r\n",                                                       \
         "local-free send *ticket grant-small *answer", 413, "RequestTooLarge", "T0:/z ")                   \
    /* ---- remote */                                                                                       \
    CELL(remote_upgraded, "remote", "protocols are switched", UPGRADE,                                      \
         "local-busy peers peer-switches send *switched stream-ends *answer *freed", 101,                   \
         "HTTP/1.1 101", "")                                                                                \
    CELL(remote_upgraded_end, "remote", "an upgraded stream outlives the gateway", UPGRADE,                 \
         "local-busy peers peer-switches send *switched", 101, "HTTP/1.1 101", "")                          \
    CELL(remote_lost, "remote", "node lost after INVOKE", NULL, "peers peer-resets send *answer",           \
         502, "InstanceLost", "")                                                                           \
    CELL(remote_timeout, "remote", "no answer in time", NULL, "peers peer-hangs send *answer",              \
         504, "Timeout", "")                                                                                \
    CELL(remote_cut, "remote", "node lost in mid-answer", NULL,                                             \
         "peers peer-cuts send *answer *freed", 0, NULL, "")                                                \
    CELL(remote_client_gone, "remote", "client gone", NULL,                                                 \
         "peers peer-holds send *proxied leave *freed", 0, NULL, "")                                        \
    /* ---- local */                                                                                        \
    CELL(local_client_gone, "local", "client gone", NULL, "local-holds send *held leave *freed",            \
         0, NULL, "")                                                                                       \
    CELL(local_failed, "local", "instance lost", NULL, "local-free fails-502 send *answer", 502,            \
         NULL, "")                                                                                          \
    CELL(local_away, "local", "controller away", NULL, "away local-free send *answer", 200,                 \
         "n1 ran", "")                                                                                      \
    CELL(local_held_away, "local", "controller lost in the middle", NULL,                                   \
         "local-holds send *held away release *answer", 200, "n1 ran", "")                                  \
    /* ---- limits */                                                                                       \
    LIMIT(limit_count, "new", "tickets at their limit",                                                     \
          "send-other *ticket send *answer refuse-503 *other", 503, "too many requests wait",               \
          .limit = 1)                                                                                       \
    LIMIT(limit_bytes, "new", "held bytes at their limit", "send *answer", 503,                             \
          "hold too many bytes", .held_limit = 64)                                                          \
    LIMIT(limit_deadline, "waiting", "queue deadline passed", "send *ticket *answer", 503,                  \
          "DeadlineExceeded", .deadline_ms = 50)                                                            \
    LIMIT(limit_deadline_away, "waiting", "queue deadline passed, controller away",                         \
          "away send *answer", 503, "Retry-After: 1\r\n", .deadline_ms = 50)                                \
    LIMIT(limit_deadline_refused, "granted there", "refused until the deadline passed",                     \
          "send *ticket peer-refuses grant-there *answer", 503, "DeadlineExceeded",                         \
          .deadline_ms = 300)

#define CELL(name, s, f, r, how, code, part, messages)                                             \
    START_TEST(name)                                                                               \
    {                                                                                              \
        static const struct cell c = {.state = s,                                                  \
                                      .fault = f,                                                  \
                                      .request = r,                                                \
                                      .script = how,                                               \
                                      .status = code,                                              \
                                      .has = part,                                                 \
                                      .sent = messages};                                           \
        run_cell(&c);                                                                              \
    }                                                                                              \
    END_TEST
#define LIMIT(name, s, f, how, code, part, ...)                                                    \
    START_TEST(name)                                                                               \
    {                                                                                              \
        static const struct cell c = {                                                             \
            .state = s, .fault = f, .script = how, .status = code, .has = part, __VA_ARGS__};      \
        run_cell(&c);                                                                              \
    }                                                                                              \
    END_TEST
CELLS
#undef CELL
#undef LIMIT

START_TEST(what_a_peer_is_told)
{
    static const struct cell c = {.state = "remote",
                                  .fault = "none",
                                  .request = "GET /function/default/a/x%20y?q=1 HTTP/1.1\r\n",
                                  .script = "local-busy peers peer-answers send *answer",
                                  .status = 200};

    run_cell(&c);
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Peer: s3cret\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Function: default/a\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Revision: r1\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Slot: 0\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Path: /x%20y\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Client: 127.0.0.1\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Trusted: 0\r\n"));
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Shape: http\r\n"));
    ck_assert_ptr_null(strstr(proxies.set, "forged"));
}
END_TEST

START_TEST(a_grant_carries_its_lease)
{
    static const struct cell there = {.state = "granted",
                                      .fault = "none",
                                      .script = "send *ticket peer-answers grant-there *answer",
                                      .status = 200};
    static const struct cell here = {.state = "granted",
                                     .fault = "none",
                                     .script = "send *ticket local-free grant-here *answer",
                                     .status = 200};

    run_cell(&there);
    ck_assert_ptr_nonnull(strstr(proxies.set, "Rouse-Slot: 77\r\n"));
    ck_assert_str_eq(proxies.address, "tcp://127.0.0.1:9");
    run_cell(&here);
    ck_assert_uint_eq(w.pool.slot, 77);
    ck_assert_uint_eq(w.pool.timeout_ms, 1000);
    ck_assert_uint_eq(w.pool.body_limit, 1000);
}
END_TEST

/* It would stand idle until the lease is over. */
START_TEST(a_grant_for_nobody_frees_its_slot)
{
    static const struct cell elsewhere = {.state = "waiting",
                                          .fault = "client gone",
                                          .script = "send *ticket leave *gone grant-there *freed"};
    static const struct cell here = {.state = "waiting",
                                     .fault = "client gone",
                                     .script = "send *ticket leave *gone grant-here *freed"};
    static const struct cell too_small = {.state = "granted here",
                                          .fault = "body over the limit",
                                          .request = "POST /z HTTP/1.1\r\nContent-Length: 6\r\n",
                                          .script = "send *ticket grant-small *answer",
                                          .status = 413,
                                          .has = "RequestTooLarge",
                                          .sent = "T0:/z "};
    static const struct cell not_taken = {.state = "granted there",
                                          .fault = "the call cannot be made",
                                          .script = "send *ticket peer-fails grant-there *ticket "
                                                    "local-free grant-here *answer",
                                          .status = 200,
                                          .sent = "T0:default/a T1:default/a "};

    run_cell(&elsewhere);
    ck_assert_str_eq(w.unused, "i/77");
    run_cell(&here);
    ck_assert_str_eq(w.unused, "77");
    run_cell(&too_small);
    ck_assert_str_eq(w.unused, "77");
    run_cell(&not_taken);
    ck_assert_str_eq(w.unused, ""); /* it would be granted to this call again */
}
END_TEST

START_TEST(metrics_are_written)
{
    struct gateway_config g = {.node = "n1", .send = to_controller, .pool = &w.pool};
    struct buffer out = {0};

    ck_assert_int_eq(loop_new(&w.loop), 0);
    ck_assert_int_eq(routes_new("n1", &w.routes), 0);
    g.loop = w.loop;
    g.routes = w.routes;
    ck_assert_int_eq(gateway_new(&g, &w.gateway), 0);
    gateway_metrics(w.gateway, &out);
    ck_assert_int_eq(buffer_append(&out, "", 1), 0);
    ck_assert_ptr_nonnull(strstr((char *)out.data, "\nrouse_gateway_tickets 0\n"));
    ck_assert_ptr_nonnull(
        strstr((char *)out.data, "rouse_gateway_tickets_over_limit_total{limit=\"bytes\"} 0\n"));
    buffer_done(&out);
    gateway_free(w.gateway);
    routes_free(w.routes);
    loop_free(w.loop);
}
END_TEST

#define CELL(name, ...)  name,
#define LIMIT(name, ...) name,
UNIT_MAIN("faults", CELLS what_a_peer_is_told, a_grant_carries_its_lease,
          a_grant_for_nobody_frees_its_slot, metrics_are_written)
