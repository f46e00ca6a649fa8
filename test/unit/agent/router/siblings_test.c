/* siblings_test.c - two loops of one agent, played by one: whom an entry and a peer server ask that have no slot. */
#include "router/siblings.h"
#include "agent/router/client.h"
#include "agent/router/fake_pool.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/request.h"
#include "router/routes.h"
#include "unit.h"

#include <unistd.h>

static struct world {
    struct loop *loop;
    struct pool own, other, far; /* of this loop, of its sibling, of another node */
    struct routes *routes;
    struct report *report;
    struct gateway *gateway;
    struct peer_server *peer, *inner, *node; /* this loop's; the sibling's; another node's */
    struct slot_hints hints[2];
    struct slot_hints *hint_list[2];
    const char *addresses[2];
    struct siblings siblings;
    struct client client;
    char gateway_address[128], peer_address[128], node_address[128], dir[64], socket[128];
    uint64_t ticket;
    unsigned tickets;
} w;

static int to_controller(void *user, const Rouse__Control__V1__AgentMessage *m)
{
    (void)user;
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET) {
        w.ticket = m->ticket->id;
        w.tickets++;
    }
    return 0;
}

static void apply_routes(bool elsewhere)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__HttpTrigger trigger = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT;
    Rouse__Control__V1__Endpoint far = ROUSE__CONTROL__V1__ENDPOINT__INIT;
    Rouse__Control__V1__Route route = ROUSE__CONTROL__V1__ROUTE__INIT;
    Rouse__Control__V1__Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;

    trigger.path = (char *)"/a";
    route.function_key = far.function_key = (char *)"default/a";
    route.revision = far.revision = (char *)"r1";
    route.timeout_ms = 10000;
    route.body_limit = 1000000;
    route.triggers = (Rouse__Control__V1__HttpTrigger *[]){&trigger};
    route.n_triggers = 1;
    far.instance = (char *)"i2";
    far.node = (char *)"n2";
    far.peer_address = w.node_address;
    m.epoch = &epoch;
    m.routes = (Rouse__Control__V1__Route *[]){&route};
    m.n_routes = 1;
    m.endpoints = (Rouse__Control__V1__Endpoint *[]){&far};
    m.n_endpoints = elsewhere;
    ck_assert_int_eq(routes_apply(w.routes, &m), 0);
}

static struct peer_server *serve(struct pool *pool, const struct siblings *siblings,
                                 const char *address, const char *secret)
{
    struct peer_server_config c = {
        .loop = w.loop, .pool = pool, .routes = w.routes, .siblings = siblings};
    struct peer_server *s;

    ck_assert_int_eq(peer_server_new(&c, &s), 0);
    ck_assert_int_eq(peer_server_listen(s, address), 0);
    peer_server_secret(s, secret);
    return s;
}

static void start(bool elsewhere)
{
    struct gateway_config g = {
        .pool = &w.own, .node = "n1", .siblings = &w.siblings, .send = to_controller};

    memset(&w, 0, sizeof(w));
    w.own = (struct pool){.name = "own", .result = -EAGAIN};
    w.other = (struct pool){.name = "other"};
    w.far = (struct pool){.name = "far"};
    strcpy(w.dir, "/tmp/siblings-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    snprintf(w.socket, sizeof(w.socket), "unix://%s/1.sock", w.dir);
    w.addresses[1] = w.socket;
    w.hint_list[0] = &w.hints[0];
    w.hint_list[1] = &w.hints[1];
    w.siblings = (struct siblings){
        .count = 2, .secret = "among us", .addresses = w.addresses, .hints = w.hint_list};
    ck_assert_int_eq(loop_new(&w.loop), 0);
    ck_assert_int_eq(routes_new("n1", &w.routes), 0);
    ck_assert_int_eq(report_new(&w.report), 0);
    g.loop = w.loop;
    g.routes = w.routes;
    g.report = w.report;
    ck_assert_int_eq(gateway_new(&g, &w.gateway), 0);
    ck_assert_int_eq(gateway_listen(w.gateway, "tcp://127.0.0.1:0"), 0);
    gateway_address(w.gateway, w.gateway_address);
    w.peer = serve(&w.own, &w.siblings, "tcp://127.0.0.1:0", "s3cret");
    peer_server_address(w.peer, w.peer_address);
    w.inner = serve(&w.other, NULL, w.socket, "among us");
    w.node = serve(&w.far, NULL, "tcp://127.0.0.1:0", "s3cret");
    peer_server_address(w.node, w.node_address);
    apply_routes(elsewhere);
    gateway_welcome(w.gateway, "s3cret");
}
static void stop(void)
{
    gateway_free(w.gateway);
    peer_server_free(w.peer);
    peer_server_free(w.inner);
    peer_server_free(w.node);
    routes_free(w.routes);
    report_free(w.report);
    loop_free(w.loop);
    rmdir(w.dir);
}

static void hint(int delta)
{
    slot_hint_add(&w.hints[1], slot_hint_place("default/a", "r1"), delta);
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
static void expect(int status, const char *has)
{
    ck_assert(run_until(w.loop, answered, NULL));
    client_expect(&w.client, status, has);
}
#define GET_A "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

/* ---------------------------------------------------------------- the entry */
START_TEST(a_sibling_comes_before_other_nodes)
{
    start(true);
    hint(1);
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    expect(200, "other ran default/a@r1 /a");
    ck_assert_ptr_nonnull(strstr(w.client.answer, "Rouse-Request-Id: "));
    ck_assert_uint_eq(w.gateway->stats.sibling, 1);
    ck_assert_uint_eq(w.gateway->stats.remote, 0);
    /* Without a hint nobody asks it. */
    hint(-1);
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    expect(200, "far ran default/a@r1 /a");
    ck_assert_uint_eq(w.other.invoked, 1);
    /* A slot of its own comes before all. */
    hint(1);
    w.own.result = 0;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    expect(200, "own ran default/a@r1 /a");
    stop();
}
END_TEST

START_TEST(a_hint_that_is_wrong_costs_nothing)
{
    start(true);
    hint(1);
    w.other.result = -EAGAIN;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    expect(200, "far ran default/a@r1 /a");
    ck_assert_uint_ge(w.gateway->stats.sibling_refused, 1);
    ck_assert_uint_le(w.gateway->stats.sibling_refused, REQUEST_SIBLING_TRIES);
    stop();
}
END_TEST

static void grant(uint64_t slot)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;

    g.ticket = w.ticket;
    g.function_key = (char *)"default/a";
    g.revision = (char *)"r1";
    g.node = (char *)"n1";
    g.peer_address = w.peer_address;
    g.slot = slot;
    g.timeout_ms = 10000;
    gateway_grant(w.gateway, &g);
}

START_TEST(a_granted_slot_is_taken_where_it_is)
{
    const uint64_t of_other = (1ull << LOOP_SHIFT) + 7;
    unsigned one = 1, two = 2;

    start(false);
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &one));
    grant(of_other);
    expect(200, "other ran default/a@r1 /a");
    ck_assert_uint_eq(w.other.slot, of_other);
    ck_assert_uint_eq(w.own.invoked, 0);
    /* One of its own, and one of a loop that there is not, are its own pool's to refuse. */
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &two));
    w.own.result = 0;
    grant(9ull << LOOP_SHIFT);
    expect(200, "own ran default/a@r1 /a");
    stop();
}
END_TEST

START_TEST(a_lease_that_is_over_asks_for_another)
{
    unsigned one = 1, two = 2;

    start(false);
    w.other.result = -ESTALE;
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &one));
    grant((1ull << LOOP_SHIFT) + 7);
    ck_assert(run_until(w.loop, ticket_came, &two));
    w.own.result = 0;
    grant(3);
    expect(200, "own ran");
    stop();
}
END_TEST

START_TEST(the_controller_is_away_and_a_sibling_has_a_slot)
{
    unsigned one = 1;

    start(false);
    client_send(&w.client, w.loop, w.gateway_address, GET_A);
    ck_assert(run_until(w.loop, ticket_came, &one));
    gateway_away(w.gateway);
    hint(1);
    expect(200, "other ran");
    stop();
}
END_TEST

/* ---------------------------------------------------------------- the peer server */
#define CALL                                                                                       \
    "GET / HTTP/1.1\r\nRouse-Peer: s3cret\r\nHost: h\r\nConnection: close\r\n"                     \
    "Rouse-Function: default/a\r\nRouse-Revision: r1\r\nRouse-Request-Id: id-7\r\n"                \
    "Rouse-Shape: raw\r\nRouse-Path: /p\r\nRouse-Client: 10.0.0.9\r\nRouse-Trusted: 1\r\n"         \
    "Rouse-Route: ANY /p\r\n"

START_TEST(a_call_is_passed_on_as_it_is)
{
    start(false);
    w.own.result = -ESTALE;
    client_send(&w.client, w.loop, w.peer_address,
                CALL "Rouse-Slot: 281474976710663\r\nRouse-Timeout: 1234\r\n\r\n");
    expect(200, "other ran default/a@r1 /p");
    expect(200, "shape=1 client=10.0.0.9 trusted=1");
    expect(200, "id=id-7");
    ck_assert_uint_eq(w.other.slot, (1ull << LOOP_SHIFT) + 7);
    ck_assert_uint_eq(w.other.timeout_ms, 1234);
    ck_assert_uint_eq(peer_server_stats(w.peer).passed_on, 1);
    /* Any slot: where the hint is. */
    w.own.result = -EAGAIN;
    client_send(&w.client, w.loop, w.peer_address, CALL "\r\n");
    expect(503, "Rouse-Refused: busy\r\n");
    hint(1);
    client_send(&w.client, w.loop, w.peer_address, CALL "\r\n");
    expect(200, "other ran");
    stop();
}
END_TEST

START_TEST(what_nobody_has_is_refused)
{
    start(false);
    hint(1);
    w.other.result = -EAGAIN;
    client_send(&w.client, w.loop, w.peer_address, CALL "\r\n");
    expect(503, "Rouse-Refused: busy\r\n");
    w.own.result = w.other.result = -ESTALE;
    client_send(&w.client, w.loop, w.peer_address, CALL "Rouse-Slot: 281474976710663\r\n\r\n");
    expect(503, "Rouse-Refused: stale\r\n");
    /* Its own slot, and that of a loop that there is not: asked nowhere else. */
    client_send(&w.client, w.loop, w.peer_address, CALL "Rouse-Slot: 7\r\n\r\n");
    expect(503, "Rouse-Refused: stale\r\n");
    client_send(&w.client, w.loop, w.peer_address, CALL "Rouse-Slot: 18446744073709551615\r\n\r\n");
    expect(503, "Rouse-Refused: stale\r\n");
    ck_assert_uint_eq(peer_server_stats(w.peer).passed_on, 2);
    ck_assert_uint_eq(peer_server_stats(w.inner).calls, 2);
    stop();
}
END_TEST

START_TEST(siblings_know_each_other)
{
    start(false);
    /* The platform's secret is not theirs, nor the other way round. */
    peer_server_secret(w.inner, "another");
    hint(1);
    client_send(&w.client, w.loop, w.peer_address, CALL "\r\n");
    expect(403, "HTTP/1.1 403");
    ck_assert_uint_eq(w.other.invoked, 0);
    stop();
}
END_TEST

static bool held_there(void *user)
{
    (void)user;
    return w.other.held != NULL;
}
static bool gone_there(void *user)
{
    (void)user;
    return w.other.gone == 1;
}

START_TEST(a_caller_that_leaves_frees_the_sibling)
{
    start(false);
    hint(1);
    w.other.mode = FAKE_HOLD;
    client_send(&w.client, w.loop, w.peer_address, CALL "\r\n");
    ck_assert(run_until(w.loop, held_there, NULL));
    conn_close(w.client.conn);
    ck_assert(run_until(w.loop, gone_there, NULL));
    stop();
}
END_TEST

UNIT_MAIN("siblings", a_sibling_comes_before_other_nodes, a_hint_that_is_wrong_costs_nothing,
          a_granted_slot_is_taken_where_it_is, a_lease_that_is_over_asks_for_another,
          the_controller_is_away_and_a_sibling_has_a_slot, a_call_is_passed_on_as_it_is,
          what_nobody_has_is_refused, siblings_know_each_other,
          a_caller_that_leaves_frees_the_sibling)
