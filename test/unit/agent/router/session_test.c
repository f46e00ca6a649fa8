/* session_test.c - the session against a fake channel, pool, gateway and peer server: who gets what, and when. */
#include "router/session.h"
#include "base/clock.h"
#include "control/channel.h"
#include "pool/pool.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/routes.h"
#include "runtime/runtimes.h"
#include "unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- doubles: each writes a word to the story */
static char story[1024];
static struct control_client_options channel;
static unsigned dials;
static int desired_result, send_result;
static bool hello_had_routes;
static char client_handle;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
    size_t n = strlen(story);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(story + n, sizeof(story) - n, fmt, ap);
    va_end(ap);
    strcat(story, " ");
}
static void expect(const char *want)
{
    ck_assert_str_eq(story, want);
    story[0] = '\0';
}

int control_client_new(const struct control_client_options *o, struct control_client **ret)
{
    channel = *o;
    dials++;
    *ret = (struct control_client *)&client_handle;
    return 0;
}
struct control_client *control_client_free(struct control_client *c)
{
    ck_assert_ptr_eq((void *)c, (void *)&client_handle);
    say("free");
    return NULL;
}
int control_client_send(struct control_client *c, const AgentMessage *m)
{
    (void)c;
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO:
        ck_assert_uint_eq(m->hello->protocol, 1);
        ck_assert_str_eq(m->hello->node, "n1");
        ck_assert_uint_ne(m->hello->incarnation, 0);
        ck_assert_uint_eq(m->hello->allocatable->memory, 1 << 30);
        ck_assert_uint_eq(m->hello->n_runtimes, 1);
        ck_assert_str_eq(m->hello->runtimes[0]->name, "python3");
        ck_assert_uint_eq(m->hello->n_labels, 1);
        ck_assert_str_eq(m->hello->labels[0]->value, "east");
        ck_assert_str_eq(m->hello->peer_address, "tcp://127.0.0.1:2");
        hello_had_routes = m->hello->routes != NULL;
        say("hello");
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        ck_assert_ptr_null(m->ack->desired);
        say("ack:%u", (unsigned)m->ack->routes->sequence);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT:
        say("report");
        loop_stop(channel.loop);
        break;
    default:
        say("message:%d", (int)m->body_case);
    }
    return send_result;
}

int pool_desired(struct pool *p, const Rouse__Control__V1__Desired *d)
{
    (void)p, (void)d;
    say("desired");
    return desired_result;
}
void pool_slot_wanted(struct pool *p, const Rouse__Control__V1__SlotWanted *w)
{
    (void)p;
    say("wanted:%u", w->count);
}
void pool_log_request(struct pool *p, const Rouse__Control__V1__LogRequest *r)
{
    (void)p;
    say("log:%u", (unsigned)r->id);
}
void pool_cordon(struct pool *p, bool cordoned)
{
    (void)p;
    say("cordon:%d", cordoned);
}
void pool_hello(struct pool *p, Rouse__Control__V1__Hello *hello)
{
    (void)p, (void)hello;
    say("pool");
}
void pool_hello_done(struct pool *p, Rouse__Control__V1__Hello *hello)
{
    (void)p, (void)hello;
    say("done");
}
void gateway_welcome(struct gateway *g, const char *peer_secret)
{
    (void)g;
    say("gateway:%s", peer_secret);
}
void gateway_away(struct gateway *g)
{
    (void)g;
    say("away");
}
void gateway_grant(struct gateway *g, const Rouse__Control__V1__Grant *m)
{
    (void)g;
    say("grant:%u", (unsigned)m->ticket);
}
void gateway_refuse(struct gateway *g, const Rouse__Control__V1__Refuse *m)
{
    (void)g;
    say("refuse:%u", (unsigned)m->ticket);
}
void peer_server_secret(struct peer_server *s, const char *secret)
{
    (void)s;
    say("peer:%s", secret);
}
size_t runtimes_count(const struct runtimes *r)
{
    (void)r;
    return 1;
}
const struct runtime *runtimes_at(const struct runtimes *r, size_t i)
{
    static struct runtime python = {.name = (char *)"python3", .digest = (char *)"d"};

    (void)r, (void)i;
    return &python;
}

/* ---------------------------------------------------------------- the session under test */
static struct loop *loop;
static struct routes *routes;
static struct report *report;
static struct session *session;

static void on_rejected(void *user, const char *reason)
{
    (void)user;
    say("rejected:%s", reason);
}

static void start(void)
{
    static const struct session_label label = {"zone", "east"};
    struct session_config c = {
        .address = "tcp://127.0.0.1:1",
        .node = "n1",
        .version = "v",
        .gateway_address = "tcp://127.0.0.1:3",
        .peer_address = "tcp://127.0.0.1:2",
        .labels = &label,
        .label_count = 1,
        .memory = 1 << 30,
        .cpu_millis = 1000,
        .on_rejected = on_rejected,
    };

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(routes_new("n1", &routes), 0);
    ck_assert_int_eq(report_new(&report), 0);
    c.loop = loop;
    c.routes = routes;
    c.report = report;
    ck_assert_int_eq(session_new(&c, &session), 0);
}
static void stop(void)
{
    session_free(session);
    routes_free(routes);
    report_free(report);
    loop_free(loop);
}

static ControllerMessage message(void)
{
    return (ControllerMessage)ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;
}
static void send_welcome(uint64_t incarnation)
{
    Rouse__Control__V1__Welcome w = ROUSE__CONTROL__V1__WELCOME__INIT;
    ControllerMessage m = message();

    w.incarnation = incarnation;
    w.peer_secret = (char *)"s3cret";
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME;
    m.welcome = &w;
    channel.on_message(channel.user, &m);
}
static void send_routes(uint64_t since_sequence, uint64_t sequence)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                              since = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__Routes r = ROUSE__CONTROL__V1__ROUTES__INIT;
    ControllerMessage m = message();

    epoch.sequence = sequence;
    since.sequence = since_sequence;
    r.epoch = &epoch;
    r.since = since_sequence ? &since : NULL;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES;
    m.routes = &r;
    channel.on_message(channel.user, &m);
}
static void send_desired(void)
{
    Rouse__Control__V1__Desired d = ROUSE__CONTROL__V1__DESIRED__INIT;
    ControllerMessage m = message();

    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
    m.desired = &d;
    channel.on_message(channel.user, &m);
}

static void stop_loop(struct loop_timer *t)
{
    (void)t;
    loop_stop(loop);
}
/* Runs the loop until a second dial was made. */
static void run_until_dialled(unsigned wanted)
{
    for (int i = 0; dials < wanted && i < 500; i++) {
        struct loop_timer t = {.fn = stop_loop};

        loop_timer_set(loop, &t, clock_monotonic_ns() + 10 * NS_PER_MS);
        loop_run(loop);
    }
    ck_assert_uint_eq(dials, wanted);
}

START_TEST(hello_welcome_routes)
{
    start();
    ck_assert_uint_eq(dials, 1);
    ck_assert(!session_ready(session));
    channel.on_open(channel.user);
    expect("pool hello done ");
    ck_assert(!hello_had_routes);
    send_welcome(5);
    expect("peer:s3cret gateway:s3cret ");
    ck_assert(!session_ready(session));
    send_routes(0, 3);
    expect("ack:3 ");
    ck_assert(session_ready(session));
    send_routes(3, 4);
    expect("ack:4 ");
    /* It breaks; the next Hello says which routes are held. Readiness stays: warm traffic needs no controller. */
    channel.on_closed(channel.user, "gone");
    expect("away ");
    ck_assert(session_ready(session));
    channel.on_open(channel.user);
    ck_assert(hello_had_routes);
    stop();
}
END_TEST

START_TEST(messages_reach_their_owners)
{
    Rouse__Control__V1__SlotWanted wanted = ROUSE__CONTROL__V1__SLOT_WANTED__INIT;
    Rouse__Control__V1__Grant grant = ROUSE__CONTROL__V1__GRANT__INIT;
    Rouse__Control__V1__Refuse refuse = ROUSE__CONTROL__V1__REFUSE__INIT;
    Rouse__Control__V1__Cordon cordon = ROUSE__CONTROL__V1__CORDON__INIT;
    Rouse__Control__V1__LogRequest log = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;
    ControllerMessage m = message();

    start();
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    wanted.count = 2;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED;
    m.slot_wanted = &wanted;
    channel.on_message(channel.user, &m);
    grant.ticket = 3;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT;
    m.grant = &grant;
    channel.on_message(channel.user, &m);
    refuse.ticket = 4;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE;
    m.refuse = &refuse;
    channel.on_message(channel.user, &m);
    cordon.cordoned = true;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON;
    m.cordon = &cordon;
    channel.on_message(channel.user, &m);
    log.id = 6;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST;
    m.log_request = &log;
    channel.on_message(channel.user, &m);
    send_desired();
    /* A kind that this version does not know. */
    m = message();
    channel.on_message(channel.user, &m);
    expect("wanted:2 grant:3 refuse:4 cordon:1 log:6 desired ");
    stop();
}
END_TEST

START_TEST(what_does_not_fit_ends_the_connection)
{
    start();
    channel.on_open(channel.user);
    send_welcome(5);
    send_routes(0, 3);
    story[0] = '\0';
    send_routes(2, 9);
    expect("away ");
    /* Nothing of the broken connection counts any more. */
    send_desired();
    expect("");
    run_until_dialled(2);
    expect("free ");
    channel.on_open(channel.user);
    ck_assert(hello_had_routes);
    send_welcome(5);
    story[0] = '\0';
    desired_result = -ESTALE;
    send_desired();
    expect("desired away ");
    run_until_dialled(3);
    stop();
}
END_TEST

START_TEST(welcome_comes_first)
{
    start();
    channel.on_open(channel.user);
    story[0] = '\0';
    send_desired();
    expect("away ");
    run_until_dialled(2);
    stop();
}
END_TEST

START_TEST(nothing_is_sent_before_its_time)
{
    Rouse__Control__V1__Ticket ticket = ROUSE__CONTROL__V1__TICKET__INIT;
    Rouse__Control__V1__SlotFree slot = ROUSE__CONTROL__V1__SLOT_FREE__INIT;
    AgentMessage t = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT,
                 f = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    t.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    t.ticket = &ticket;
    f.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
    f.slot_free = &slot;
    ck_assert_int_eq(session_send(NULL, &f), -ENOTCONN);
    start();
    ck_assert_int_eq(session_send(session, &f), -ENOTCONN);
    channel.on_open(channel.user);
    ck_assert_int_eq(session_send(session, &f), 0);
    ck_assert_int_eq(session_send(session, &t), -ENOTCONN);
    send_welcome(5);
    ck_assert_int_eq(session_send(session, &t), 0);
    channel.on_closed(channel.user, "gone");
    ck_assert_int_eq(session_send(session, &f), -ENOTCONN);
    stop();
}
END_TEST

START_TEST(a_rejected_node_says_why)
{
    Rouse__Control__V1__HelloReject reject = ROUSE__CONTROL__V1__HELLO_REJECT__INIT;
    ControllerMessage m = message();

    start();
    channel.on_open(channel.user);
    story[0] = '\0';
    reject.reason = (char *)"name-taken";
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT;
    m.hello_reject = &reject;
    channel.on_message(channel.user, &m);
    expect("rejected:name-taken ");
    stop();
}
END_TEST

START_TEST(a_report_follows_the_welcome)
{
    start();
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    loop_run(loop);
    expect("report ");
    stop();
}
END_TEST

UNIT_MAIN("session", hello_welcome_routes, messages_reach_their_owners,
          what_does_not_fit_ends_the_connection, welcome_comes_first,
          nothing_is_sent_before_its_time, a_rejected_node_says_why, a_report_follows_the_welcome)
