/* session_test.c - the session against a fake channel and a fake owner: who gets what, and when. */
#include "router/session.h"
#include "base/clock.h"
#include "control/channel.h"
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
static int message_result, send_result;
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
static unsigned queued; /* not sent yet */
static bool stop_at_flush;

int control_client_queue(struct control_client *c, const AgentMessage *m)
{
    (void)c;
    say("queue:%d", (int)m->body_case);
    queued++;
    return send_result;
}
void control_client_flush(struct control_client *c)
{
    (void)c;
    say("flush:%u", queued);
    queued = 0;
    if (stop_at_flush)
        loop_stop(channel.loop);
}
int control_client_send(struct control_client *c, const AgentMessage *m)
{
    (void)c;
    queued = 0;
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
        ck_assert_uint_eq(m->hello->n_taints, 1);
        ck_assert_str_eq(m->hello->taints[0]->key, "gpu");
        ck_assert_str_eq(m->hello->taints[0]->value, "yes");
        ck_assert_str_eq(m->hello->peer_address, "tcp://127.0.0.1:2");
        hello_had_routes = m->hello->routes != NULL;
        say("hello");
        break;
    default:
        break;
    }
    return send_result;
}

static const Rouse__Control__V1__Hello *actual; /* what on_open() brings; NULL: later */
static struct session *session;

static void on_open(void *user)
{
    (void)user;
    say("open");
    if (actual)
        session_hello(session, actual);
}
static void on_welcome(void *user, const Rouse__Control__V1__Welcome *m)
{
    (void)user;
    say("welcome:%s", m->peer_secret);
}
static void on_away(void *user)
{
    (void)user;
    say("away");
}
static int on_message(void *user, const ControllerMessage *m, const char **ret_why)
{
    (void)user;
    say("message:%d", (int)m->body_case);
    *ret_why = "a double's reason";
    return message_result;
}
static void on_report(void *user)
{
    (void)user;
    say("report");
    loop_stop(channel.loop);
}
static void on_rejected(void *user, const char *reason)
{
    (void)user;
    say("rejected:%s", reason);
}
static const struct session_ops ops = {.on_open = on_open,
                                       .on_welcome = on_welcome,
                                       .on_away = on_away,
                                       .on_message = on_message,
                                       .on_report = on_report,
                                       .on_rejected = on_rejected};
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
static Rouse__Control__V1__Hello nothing = ROUSE__CONTROL__V1__HELLO__INIT;

static void start(void)
{
    static const struct session_label label = {"zone", "east"}, taint = {"gpu", "yes"};
    struct session_config c = {
        .address = "tcp://127.0.0.1:1",
        .node = "n1",
        .version = "v",
        .gateway_address = "tcp://127.0.0.1:3",
        .peer_address = "tcp://127.0.0.1:2",
        .labels = &label,
        .label_count = 1,
        .taints = &taint,
        .taint_count = 1,
        .memory = 1 << 30,
        .cpu_millis = 1000,
        .ops = &ops,
    };

    ck_assert_int_eq(loop_new(&loop), 0);
    actual = &nothing;
    c.loop = loop;
    ck_assert_int_eq(session_new(&c, &session), 0);
}
static void stop(void)
{
    session_free(session);
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
static void send_kind(int kind)
{
    static Rouse__Control__V1__Routes routes = ROUSE__CONTROL__V1__ROUTES__INIT;
    ControllerMessage m = message();

    m.body_case = (Rouse__Control__V1__ControllerMessage__BodyCase)kind;
    m.routes = &routes; /* nobody looks at it */
    channel.on_message(channel.user, &m);
}
#define ROUTES  ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES
#define DESIRED ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED

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
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__Hello held = ROUSE__CONTROL__V1__HELLO__INIT;

    start();
    ck_assert_uint_eq(dials, 1);
    ck_assert(!session_ready(session));
    channel.on_open(channel.user);
    expect("open hello ");
    ck_assert(!hello_had_routes);
    send_welcome(5);
    expect("welcome:s3cret ");
    ck_assert(!session_ready(session));
    send_kind(ROUTES);
    expect("message:4 ");
    ck_assert(session_ready(session));
    /* It breaks; the next Hello says which routes are held. Readiness stays: warm traffic needs no controller. */
    channel.on_closed(channel.user, "gone");
    expect("away ");
    ck_assert(session_ready(session));
    held.routes = &epoch;
    actual = &held;
    channel.on_open(channel.user);
    ck_assert(hello_had_routes);
    stop();
}
END_TEST

START_TEST(hello_may_come_later)
{
    start();
    actual = NULL;
    channel.on_open(channel.user);
    expect("open ");
    /* Nothing counts before it. */
    send_kind(DESIRED);
    expect("");
    ck_assert_int_eq(session_hello(session, &nothing), 0);
    expect("hello ");
    ck_assert_int_eq(session_hello(session, &nothing), -ENOTCONN);
    channel.on_closed(channel.user, "gone");
    expect("away ");
    /* Its connection is over. */
    ck_assert_int_eq(session_hello(session, &nothing), -ENOTCONN);
    expect("");
    stop();
}
END_TEST

START_TEST(messages_reach_their_owner)
{
    start();
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    for (int kind = DESIRED; kind <= ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST; kind++)
        send_kind(kind);
    /* A kind that this version does not know. */
    send_kind(0);
    expect("message:3 message:4 message:5 message:6 message:7 message:8 message:9 ");
    stop();
}
END_TEST

START_TEST(what_does_not_fit_ends_the_connection)
{
    start();
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    message_result = -ESTALE;
    send_kind(ROUTES);
    expect("message:4 away ");
    ck_assert(!session_ready(session));
    /* Nothing of the broken connection counts any more. */
    send_kind(DESIRED);
    session_break(session, "once more");
    expect("");
    run_until_dialled(2);
    expect("free ");
    message_result = 0;
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    session_break(session, "a shard could not");
    expect("away ");
    run_until_dialled(3);
    stop();
}
END_TEST

START_TEST(welcome_comes_first)
{
    start();
    channel.on_open(channel.user);
    story[0] = '\0';
    send_kind(DESIRED);
    expect("away ");
    run_until_dialled(2);
    stop();
}
END_TEST

static AgentMessage of_kind(int kind)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    m.body_case = (Rouse__Control__V1__AgentMessage__BodyCase)kind;
    return m;
}
#define STATUS ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS
#define GONE   ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE
#define SLOT   ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE

START_TEST(what_nobody_waits_for_goes_together)
{
    Rouse__Control__V1__InstanceStatus ready = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT,
                                       creating = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    AgentMessage status = of_kind(STATUS), gone = of_kind(GONE), slot = of_kind(SLOT),
                 early = of_kind(STATUS);
    struct loop_timer later = {.fn = stop_loop};

    ready.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY;
    creating.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_CREATING;
    status.instance_status = &ready;
    early.instance_status = &creating;
    start();
    channel.on_open(channel.user);
    send_welcome(5);
    story[0] = '\0';
    ck_assert_int_eq(session_send(session, &early), 0);
    ck_assert_int_eq(session_send(session, &status), 0);
    ck_assert_int_eq(session_send(session, &gone), 0);
    expect("queue:2 queue:2 queue:4 ");
    stop_at_flush = true;
    loop_run(loop);
    expect("flush:3 ");
    /* What is told on the way to ready waits longer for it, but not for ever. */
    ck_assert_int_eq(session_send(session, &early), 0);
    loop_run(loop);
    expect("queue:2 flush:1 ");
    /* What is waited for takes along what was said before it. */
    ck_assert_int_eq(session_send(session, &status), 0);
    ck_assert_int_eq(session_send(session, &slot), 0);
    ck_assert_uint_eq(queued, 0);
    /* Not in the next connection, which has said it all in its Hello. */
    ck_assert_int_eq(session_send(session, &status), 0);
    channel.on_closed(channel.user, "gone");
    expect("queue:2 queue:2 away ");
    loop_timer_set(loop, &later, clock_monotonic_ns() + 5 * NS_PER_MS);
    loop_run(loop);
    expect("");
    stop_at_flush = false;
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

UNIT_MAIN("session", hello_welcome_routes, hello_may_come_later, messages_reach_their_owner,
          what_does_not_fit_ends_the_connection, welcome_comes_first,
          what_nobody_waits_for_goes_together, nothing_is_sent_before_its_time,
          a_rejected_node_says_why, a_report_follows_the_welcome)
