/* peer_test.c - two nodes in one loop: an entry's gateway, another node's peer server, real HTTP between them. */
#include "router/peer.h"
#include "agent/router/client.h"
#include "agent/router/fake_pool.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/metrics_server.h"
#include "router/request.h"
#include "router/routes.h"
#include "unit.h"

static struct world {
    struct loop *loop;
    struct pool here, there;
    struct routes *routes, *there_routes;
    struct report *report;
    struct gateway *gateway;
    struct peer_server *peer;
    struct client client;
    char gateway_address[128], peer_address[128];
    uint64_t ticket;
    uint32_t attempt;
    unsigned tickets;
} w;

static int to_controller(void *user, const Rouse__Control__V1__AgentMessage *m)
{
    (void)user;
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET) {
        w.ticket = m->ticket->id;
        w.attempt = m->ticket->attempt;
        w.tickets++;
    }
    return 0;
}

/* default/a at /a with an endpoint on n2. */
static void apply_routes_at(const char *path, const char *method)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__HttpTrigger trigger = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT;
    Rouse__Control__V1__Endpoint there = ROUSE__CONTROL__V1__ENDPOINT__INIT;
    Rouse__Control__V1__Route route = ROUSE__CONTROL__V1__ROUTE__INIT;
    Rouse__Control__V1__Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;

    trigger.path = (char *)path;
    trigger.methods = (char *[]){(char *)method};
    trigger.n_methods = method != NULL;
    route.function_key = there.function_key = (char *)"default/a";
    route.revision = there.revision = (char *)"r1";
    route.timeout_ms = 10000;
    route.body_limit = 1000000;
    route.triggers = (Rouse__Control__V1__HttpTrigger *[]){&trigger};
    route.n_triggers = 1;
    there.instance = (char *)"i2";
    there.node = (char *)"n2";
    there.peer_address = w.peer_address;
    m.epoch = &epoch;
    m.routes = (Rouse__Control__V1__Route *[]){&route};
    m.n_routes = 1;
    m.endpoints = (Rouse__Control__V1__Endpoint *[]){&there};
    m.n_endpoints = 1;
    ck_assert_int_eq(routes_apply(w.routes, &m), 0);
}

static void apply_routes(void)
{
    apply_routes_at("/a", NULL);
}

static void start(void)
{
    struct gateway_config g = {.pool = &w.here, .node = "n1", .send = to_controller};
    struct peer_server_config p = {.pool = &w.there};

    memset(&w, 0, sizeof(w));
    w.here = (struct pool){.name = "n1", .result = -EAGAIN};
    w.there = (struct pool){.name = "n2"};
    ck_assert_int_eq(loop_new(&w.loop), 0);
    ck_assert_int_eq(routes_new("n1", &w.routes), 0);
    ck_assert_int_eq(routes_new("n2", &w.there_routes), 0);
    ck_assert_int_eq(report_new(&w.report), 0);
    g.loop = p.loop = w.loop;
    g.routes = w.routes;
    g.report = w.report;
    p.routes = w.there_routes;
    ck_assert_int_eq(gateway_new(&g, &w.gateway), 0);
    ck_assert_int_eq(gateway_listen(w.gateway, "tcp://127.0.0.1:0"), 0);
    gateway_address(w.gateway, w.gateway_address);
    ck_assert_int_eq(peer_server_new(&p, &w.peer), 0);
    ck_assert_int_eq(peer_server_listen(w.peer, "tcp://127.0.0.1:0"), 0);
    peer_server_address(w.peer, w.peer_address);
    apply_routes();
    gateway_welcome(w.gateway, "s3cret");
    peer_server_secret(w.peer, "s3cret");
}
static void stop(void)
{
    gateway_free(w.gateway);
    peer_server_free(w.peer);
    routes_free(w.routes);
    routes_free(w.there_routes);
    report_free(w.report);
    loop_free(w.loop);
}

static bool answered(void *user)
{
    (void)user;
    return !w.client.conn;
}
static bool ticket_came(void *user)
{
    return w.tickets >= *(unsigned *)user;
}
static bool held_there(void *user)
{
    (void)user;
    return w.there.held != NULL;
}
static void ask(const char *address, const char *text)
{
    client_send(&w.client, w.loop, address, text);
    ck_assert(run_until(w.loop, answered, NULL));
}
static void expect(int status, const char *has)
{
    client_expect(&w.client, status, has);
}

/* ---------------------------------------------------------------- the peer server by itself */
#define CALL_LINES                                                                                 \
    "Host: h\r\nConnection: close\r\nRouse-Function: default/a\r\nRouse-Revision: r1\r\n"          \
    "Rouse-Request-Id: id-7\r\nRouse-Shape: raw\r\nRouse-Path: /p\r\nRouse-Client: 10.0.0.9\r\n"
#define WITH_SECRET "GET / HTTP/1.1\r\nRouse-Peer: s3cret\r\n"

START_TEST(without_the_secret_nothing)
{
    static const char *const shown[] = {"", "Rouse-Peer: s3creT\r\n", "Rouse-Peer: s3cret2\r\n",
                                        "Rouse-Peer:\r\n", "Rouse-Peer: x\r\n"};

    start();
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        char text[1024];

        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s" CALL_LINES "\r\n", shown[i]);
        ask(w.peer_address, text);
        expect(403, "HTTP/1.1 403");
        ck_assert_ptr_null(strstr(w.client.answer, "Rouse"));
        ck_assert_ptr_nonnull(strstr(w.client.answer, "Content-Length: 0\r\n"));
    }
    ck_assert_uint_eq(w.there.invoked, 0);
    ck_assert_uint_eq(peer_server_stats(w.peer).forbidden, 5);
    stop();
}
END_TEST

START_TEST(before_the_first_welcome_nothing)
{
    struct peer_server_config p = {.pool = &w.there};
    char address[128];

    start();
    peer_server_free(w.peer);
    p.loop = w.loop;
    p.routes = w.there_routes;
    ck_assert_int_eq(peer_server_new(&p, &w.peer), 0);
    ck_assert_int_eq(peer_server_listen(w.peer, "tcp://127.0.0.1:0"), 0);
    peer_server_address(w.peer, address);
    ask(address, "GET / HTTP/1.1\r\nRouse-Peer: \r\n" CALL_LINES "\r\n");
    expect(403, "HTTP/1.1 403");
    stop();
}
END_TEST

START_TEST(a_call_is_what_its_headers_say)
{
    start();
    ask(w.peer_address,
        WITH_SECRET CALL_LINES "Rouse-Slot: 18446744073709551615\r\nRouse-Timeout: 1234\r\n"
                               "Rouse-Body-Limit: 99\r\nRouse-Trusted: 1\r\n\r\n");
    expect(200, "n2 ran default/a@r1 /p shape=1 client=10.0.0.9 trusted=1 id=id-7");
    ck_assert_uint_eq(w.there.slot, UINT64_MAX);
    ck_assert_uint_eq(w.there.timeout_ms, 1234);
    ck_assert_uint_eq(w.there.body_limit, 99);
    /* What is not said: any slot, the platform's body limit, not trusted. */
    ask(w.peer_address, WITH_SECRET CALL_LINES "\r\n");
    expect(200, "trusted=0");
    ck_assert_uint_eq(w.there.slot, 0);
    ck_assert_uint_eq(w.there.body_limit, 6 << 20);
    stop();
}
END_TEST

START_TEST(what_does_not_parse_is_malformed)
{
    static const char *const bad[] = {
        "Rouse-Slot: -1\r\n",       "Rouse-Slot: 18446744073709551616\r\n",
        "Rouse-Slot:\r\n",          "Rouse-Timeout: 4294967296\r\n",
        "Rouse-Deadline: soon\r\n", "Rouse-Body-Limit: 1k\r\n",
    };

    start();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[1024];

        snprintf(text, sizeof(text), WITH_SECRET CALL_LINES "%s\r\n", bad[i]);
        ask(w.peer_address, text);
        expect(400, "HTTP/1.1 400");
    }
    ask(w.peer_address,
        WITH_SECRET "Host: h\r\nConnection: close\r\nRouse-Function: default/a\r\n\r\n");
    expect(400, "HTTP/1.1 400");
    ask(w.peer_address,
        WITH_SECRET "Host: h\r\nConnection: close\r\nRouse-Function: a/b\r\nRouse-Revision: r\r\n"
                    "Rouse-Request-Id: i\r\nRouse-Shape: round\r\n\r\n");
    expect(400, "HTTP/1.1 400");
    ck_assert_uint_eq(w.there.invoked, 0);
    stop();
}
END_TEST

START_TEST(refusals_say_why)
{
    static const struct {
        int result;
        const char *header;
    } refusals[] = {{-EAGAIN, "Rouse-Refused: busy\r\n"},
                    {-ESTALE, "Rouse-Refused: stale\r\n"},
                    {-ENOENT, "Rouse-Refused: unknown\r\n"}};

    start();
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        w.there.result = refusals[i].result;
        ask(w.peer_address, WITH_SECRET CALL_LINES "\r\n");
        expect(503, refusals[i].header);
    }
    stop();
}
END_TEST

static void on_drained(void *user)
{
    *(bool *)user = true;
}
static bool is_true(void *user)
{
    return *(bool *)user;
}
/* The bytes lie in an accepted connection; one more turn of the loop reads them. */
static bool head_begun(void *user)
{
    unsigned *turns = user;

    if (w.client.conn && !conn_pending(w.client.conn) && peer_server_stats(w.peer).connections == 1)
        ++*turns;
    return *turns == 3;
}

START_TEST(a_call_that_meets_a_draining_node_goes_elsewhere)
{
    static const char rest[] = CALL_LINES "\r\n";
    bool drained = false;
    unsigned turns = 0;

    start();
    client_send(&w.client, w.loop, w.peer_address, WITH_SECRET);
    ck_assert(run_until(w.loop, head_begun, &turns));
    peer_server_drain(w.peer, clock_monotonic_ns() + 10 * NS_PER_S, on_drained, &drained);
    ck_assert_int_eq(conn_write(w.client.conn, rest, sizeof(rest) - 1), 0);
    ck_assert(run_until(w.loop, answered, NULL));
    expect(503, "Rouse-Refused: draining\r\n");
    ck_assert(run_until(w.loop, is_true, &drained));
    ck_assert_uint_eq(w.there.invoked, 0);
    stop();
}
END_TEST

/* ---------------------------------------------------------------- an entry and another node */
#define GET_A "GET /a?q=1 HTTP/1.1\r\nHost: h\r\nRouse-Client: forged\r\nConnection: close\r\n\r\n"

START_TEST(a_request_crosses)
{
    const char *id, *ran;

    start();
    ask(w.gateway_address, GET_A);
    expect(200, "n2 ran default/a@r1 /a shape=0 client=127.0.0.1 trusted=0 id=");
    id = strstr(w.client.answer, "Rouse-Request-Id: ");
    ran = strstr(w.client.answer, " id=");
    ck_assert_ptr_nonnull(id);
    ck_assert_int_eq(memcmp(id + 18, ran + 4, 36), 0);
    ck_assert_uint_eq(w.tickets, 0);
    stop();
}
END_TEST

START_TEST(a_body_crosses)
{
    static const size_t sizes[] = {0, 10, 60000, 300000};

    start();
    w.there.mode = FAKE_COUNT_BODY;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = calloc(1, sizes[i] + 256), want[64];
        int n = sprintf(
            text, "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
            sizes[i]);

        memset(text + n, 'x', sizes[i]);
        ask(w.gateway_address, text);
        snprintf(want, sizeof(want), "body of %zu bytes", sizes[i]);
        expect(200, want);
        free(text);
    }
    stop();
}
END_TEST

static void grant_there_by(const char *address, const char *route)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;

    g.ticket = w.ticket;
    g.function_key = (char *)"default/a";
    g.revision = (char *)"r1";
    g.node = (char *)"n2";
    g.peer_address = (char *)address;
    g.slot = 5;
    g.timeout_ms = 10000;
    g.route = (char *)route;
    gateway_grant(w.gateway, &g);
}

static void grant_there(const char *address)
{
    grant_there_by(address, "GET /{granted}");
}

START_TEST(a_busy_node_costs_nothing)
{
    unsigned first = 1;

    start();
    w.there.result = -EAGAIN;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &first));
    w.there.result = 0;
    grant_there(w.peer_address);
    ck_assert(run_until(w.loop, answered, NULL));
    expect(200, "n2 ran");
    ck_assert_uint_eq(w.there.slot, 5);
    stop();
}
END_TEST

START_TEST(the_route_crosses)
{
    start();
    ask(w.peer_address, WITH_SECRET CALL_LINES "Rouse-Route: GET /p/{x}\r\n\r\n");
    expect(200, " route=one /p/{x};");
    ask(w.gateway_address, GET_A);
    expect(200, " route=ANY /a;");
    apply_routes_at("/{name}", "GET");
    ask(w.gateway_address, GET_A);
    expect(200, " route=one /{name};");
    /* By its name there is none, and a client cannot make one up. */
    ask(w.gateway_address, "GET /function/default/a HTTP/1.1\r\nHost: h\r\nRouse-Route: GET /forged\r\n"
                           "Connection: close\r\n\r\n");
    expect(200, "n2 ran");
    ck_assert_ptr_null(strstr(w.client.answer, "route="));
    stop();
}
END_TEST

/* The entry does not know the path yet: the grant tells, and a try that is refused does not lose it. */
START_TEST(the_route_of_a_grant_crosses)
{
    unsigned first = 1, second = 2;

    start();
    apply_routes_at("/other", NULL);
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &first));
    w.there.result = -EAGAIN;
    grant_there(w.peer_address);
    ck_assert(run_until(w.loop, ticket_came, &second));
    w.there.result = 0;
    grant_there_by(w.peer_address, "");
    ck_assert(run_until(w.loop, answered, NULL));
    expect(200, " route=one /{granted};");
    stop();
}
END_TEST

START_TEST(a_grant_to_a_dead_peer_asks_again)
{
    unsigned first = 1, second = 2;

    start();
    w.there.result = -EAGAIN;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &first));
    w.there.result = 0;
    /* Nothing listens on port 1 of loopback. */
    grant_there("tcp://127.0.0.1:1");
    ck_assert(run_until(w.loop, ticket_came, &second));
    ck_assert_uint_eq(w.attempt, 1);
    grant_there(w.peer_address);
    ck_assert(run_until(w.loop, answered, NULL));
    expect(200, "n2 ran");
    stop();
}
END_TEST

START_TEST(a_node_that_dies_with_the_request)
{
    start();
    w.there.mode = FAKE_HOLD;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, held_there, NULL));
    w.peer = peer_server_free(w.peer);
    ck_assert(run_until(w.loop, answered, NULL));
    expect(502, "{\"reason\":\"InstanceLost\"");
    ck_assert_uint_eq(w.there.invoked, 1);
    stop();
}
END_TEST

START_TEST(a_kept_connection_that_dies_with_the_request_is_not_run_twice)
{
    start();
    ask(w.gateway_address, GET_A);
    expect(200, "n2 ran");
    w.there.mode = FAKE_HOLD;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, held_there, NULL));
    /* The connection breaks, the node lives on. */
    http_abort(w.there.held->x);
    ck_assert(run_until(w.loop, answered, NULL));
    expect(502, "{\"reason\":\"InstanceLost\"");
    ck_assert_uint_eq(w.there.invoked, 2);
    stop();
}
END_TEST

START_TEST(a_client_that_leaves_frees_the_other_node)
{
    start();
    w.there.mode = FAKE_HOLD;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, held_there, NULL));
    conn_abort(w.client.conn, -ECANCELED);
    for (int i = 0; i < 1000 && !w.there.gone; i++)
        ck_assert(run_until(w.loop, answered, NULL));
    ck_assert_uint_eq(w.there.gone, 1);
    stop();
}
END_TEST

/* ---------------------------------------------------------------- the operators' server */
static void fill(void *user, struct buffer *out)
{
    (void)user;
    buffer_puts(out, "x 1\n");
}
static struct metrics_server *m;
static void collect(void *user)
{
    struct buffer text = {0};

    (void)user;
    fill(user, &text);
    metrics_server_answer(m, &text);
    buffer_done(&text);
}
static bool ready(void *user)
{
    return *(bool *)user;
}

START_TEST(operators_ask)
{
    bool is_ready = false;
    struct metrics_server_config c = {.collect = collect, .ready = ready, .user = &is_ready};
    char address[128];

    start();
    c.loop = w.loop;
    ck_assert_int_eq(metrics_server_new(&c, &m), 0);
    ck_assert_int_eq(metrics_server_listen(m, "tcp://127.0.0.1:0"), 0);
    metrics_server_address(m, address);
    ask(address, "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(503, "waiting");
    is_ready = true;
    ask(address, "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(200, "ready");
    ask(address, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(200, "ok");
    ask(address, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(200, "\r\n\r\nx 1\n");
    ask(address,
        "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect(405, "Allow: GET, HEAD");
    ask(address, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(404, "/metrics");
    metrics_server_free(m);
    stop();
}
END_TEST

UNIT_MAIN("peer", without_the_secret_nothing, before_the_first_welcome_nothing,
          a_call_is_what_its_headers_say, what_does_not_parse_is_malformed, refusals_say_why,
          a_call_that_meets_a_draining_node_goes_elsewhere, a_request_crosses, a_body_crosses,
          the_route_crosses, the_route_of_a_grant_crosses, a_busy_node_costs_nothing,
          a_grant_to_a_dead_peer_asks_again, a_node_that_dies_with_the_request,
          a_kept_connection_that_dies_with_the_request_is_not_run_twice,
          a_client_that_leaves_frees_the_other_node, operators_ask)
