/* The brain as it is run: its own thread, a control server with a real agent channel, the front's
 * tickets by mail. */
#include "brain/brain.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "brain/access.h"
#include "brain/brain_entry.h"
#include "brain/function_make.h"
#include "instance_state.h"
#include "store/store.h"
#include "unit.h"
#include "values.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct rig {
    char dir[64];
    struct store *store;
    struct registry *registry;
    struct brain *brain;
    struct control_server *control;
    pthread_t thread;
    /* the agent, and the front, on this thread's loop */
    struct loop *loop;
    struct control_client *client;
    struct front_ticket ticket, second;
    unsigned answers, released, welcomed;
    char instance[64], text[64];
    bool last;
    _Atomic uint64_t peer;
    uint64_t slot_back;
    bool written;
    bool unused; /* its answers are of no use */
};
static struct rig rig;

static void *run(void *user)
{
    brain_run(((struct rig *)user)->brain);
    return NULL;
}

static void say_hello(void *user)
{
    struct rig *r = user;
    struct hello h;

    hello_init(&h, "n1", 5, 1 << 30, 4000);
    control_client_send(r->client, &h.message);
}

static void tell_ready(struct rig *r)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;

    s.id = r->instance;
    s.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY;
    s.slots = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    control_client_send(r->client, &m);
}

static void slot_init(SlotFree *s, AgentMessage *m, uint64_t slot)
{
    rouse__control__v1__agent_message__init(m);
    rouse__control__v1__slot_free__init(s);
    s->slot = slot;
    s->instance = rig.instance;
    s->lease_ms = 60000;
    m->body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
    m->slot_free = s;
}

static void on_message(void *user, const ControllerMessage *m)
{
    struct rig *r = user;
    AgentMessage a;
    SlotFree s;

    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME:
        ck_assert_str_eq(m->welcome->peer_secret, "secret");
        r->welcomed++;
        loop_stop(r->loop);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        if (!m->desired->n_instances)
            break;
        snprintf(r->instance, sizeof(r->instance), "%s", m->desired->instances[0]->id);
        tell_ready(r);
        loop_stop(r->loop);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        slot_init(&s, &a, 7);
        if (m->slot_wanted->count)
            control_client_send(r->client, &a);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK:
        r->slot_back = m->slot_back->slot;
        loop_stop(r->loop);
        break;
    default:
        break;
    }
}

static void on_open(void *user, uint64_t peer, const char *address)
{
    rig.peer = peer;
    brain_on_agent_open(user, peer, address);
}

static void on_closed(void *user, const char *reason)
{
    (void)user;
    (void)reason;
}

static void start(void)
{
    struct brain_config c = {.peer_secret = "secret", .activator_address = "tcp://127.0.0.1:7081"};
    struct control_server_options o = {.address = "tcp://127.0.0.1:0",
                                       .on_open = on_open,
                                       .on_message = brain_on_agent_message,
                                       .on_closed = brain_on_agent_closed};
    struct err e = {0};

    strcpy(rig.dir, "/tmp/rouse-brain-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig.dir));
    ck_assert_msg(store_open_sqlite(rig.dir, &rig.store, &e) == 0, "%s", e.message);
    ck_assert_msg(registry_new(rig.store, &rig.registry, &e) == 0, "%s", e.message);
    ck_assert_int_eq(brain_new(&c, rig.registry, &rig.brain), 0);
    registry_attach(rig.registry, brain_loop(rig.brain));
    o.loop = brain_loop(rig.brain);
    o.user = rig.brain;
    ck_assert_int_eq(control_server_new(&o, &rig.control), 0);
    brain_set_control(rig.brain, rig.control);
    ck_assert_int_eq(loop_new(&rig.loop), 0);
    pthread_create(&rig.thread, NULL, run, &rig);
}

static void on_empty(struct mail *m)
{
    (void)m;
    loop_stop(rig.loop);
}

static void stop(void)
{
    struct mail last = {.fn = on_empty};

    control_client_free(rig.client);
    loop_post(rig.loop, &last); /* what the client left is before it */
    loop_run(rig.loop);
    brain_stop(rig.brain);
    pthread_join(rig.thread, NULL);
    control_server_free(rig.control);
    brain_drain(rig.brain);
    store_free(rig.store);
    brain_free(rig.brain);
    registry_free(rig.registry);
    loop_free(rig.loop);
    file_remove_tree(rig.dir);
}

static void on_answer(struct front_ticket *t)
{
    rig.answers++;
    if (rig.unused) {
        brain_entry_cancel(rig.brain, t);
        return;
    }
    loop_stop(rig.loop);
}

static void on_released(struct front_ticket *t)
{
    rig.released++;
    free(t->route);
    loop_stop(rig.loop);
}

static void prepare(struct front_ticket *t, const char *path)
{
    *t = (struct front_ticket){.function_key = "",
                               .method = "GET",
                               .host = "h",
                               .path = path,
                               .home = rig.loop,
                               .on_answer = on_answer,
                               .on_released = on_released};
}

START_TEST(a_ticket_goes_there_and_back)
{
    start();
    prepare(&rig.ticket, "/nowhere");
    brain_entry_submit(rig.brain, &rig.ticket);
    loop_run(rig.loop);
    ck_assert_uint_eq(rig.answers, 1);
    ck_assert(!rig.ticket.grant.granted);
    ck_assert_int_eq(rig.ticket.grant.status, 404);
    ck_assert_str_eq(rig.ticket.grant.reason, "NotFound");
    stop();
}
END_TEST

START_TEST(a_cancelled_ticket_is_released)
{
    start();
    prepare(&rig.ticket, "/nowhere");
    brain_entry_submit(rig.brain, &rig.ticket);
    brain_entry_cancel(rig.brain, &rig.ticket);
    while (!rig.released) /* the answer may have been faster */
        loop_run(rig.loop);
    ck_assert_uint_le(rig.answers, 1);
    stop();
}
END_TEST

static void join(void)
{
    char address[128];
    struct control_client_options o = {
        .on_open = say_hello, .on_message = on_message, .on_closed = on_closed, .user = &rig};

    control_server_address(rig.control, address);
    o.address = address;
    o.loop = rig.loop;
    ck_assert_int_eq(control_client_new(&o, &rig.client), 0);
    loop_run(rig.loop);
    ck_assert_uint_eq(rig.welcomed, 1);
}

START_TEST(an_agent_is_welcome)
{
    start();
    join();
    stop();
}
END_TEST

static void on_written(struct access_request *q)
{
    ck_assert_int_eq(q->error, 0);
    access_request_done(q);
    rig.written = true;
    loop_stop(rig.loop);
}

/* default/a, and an instance of it that is ready. */
static void have_instance(void)
{
    static const char metadata[] =
        "{\"name\":\"a\",\"namespace\":\"default\",\"uid\":\"u\",\"generation\":1}",
                      spec[] = "{\"runtime\":\"python3\",\"handler\":\"index.handler\","
                               "\"memory\":\"128Mi\",\"cpu\":\"500m\",\"timeout\":\"3s\","
                               "\"concurrency\":1,"
                               "\"scaling\":{\"min\":1,\"max\":1,\"idleTimeout\":\"60s\"}}";
    struct access_request q = {.verb = ACCESS_WRITE, .caller = rig.loop, .on_reply = on_written};
    struct json_object *m = json_tokener_parse(metadata), *s = json_tokener_parse(spec);
    struct function *f;

    ck_assert_int_eq(function_make(m, s, "sha256:00", 5, &f), 0);
    ck_assert_int_eq(content_new(metadata, spec, "{}", f, &q.content), 0);
    json_object_put(m);
    json_object_put(s);
    access_post(rig.registry, &q);
    while (!rig.written || !rig.instance[0])
        loop_run(rig.loop);
}

/* It would stand idle until its lease is over. */
START_TEST(an_answer_of_no_use_gives_its_slot_back)
{
    start();
    join();
    have_instance();
    rig.unused = true;
    prepare(&rig.ticket, "/");
    rig.ticket.function_key = "default/a";
    brain_entry_submit(rig.brain, &rig.ticket);
    while (!rig.slot_back || !rig.released)
        loop_run(rig.loop);
    ck_assert(rig.ticket.grant.granted);
    ck_assert_uint_eq(rig.slot_back, 7);
    stop();
}
END_TEST

static void never(void *user, uint64_t ticket, const struct grant *g)
{
    (void)user;
    (void)g;
    ck_abort_msg("ticket %llu was cancelled", (unsigned long long)ticket);
}

START_TEST(so_does_one_that_is_cancelled_in_the_turn_of_its_answer)
{
    uint64_t ticket;
    AgentMessage m;
    SlotFree s;

    start();
    join();
    have_instance();
    brain_stop(rig.brain);
    pthread_join(rig.thread, NULL); /* this thread is the brain's now */
    ticket = brain_ticket_submit(rig.brain, "default/a", "GET", "h", "/", 1, 0, 0, never, NULL);
    slot_init(&s, &m, 8);
    brain_on_agent_message(rig.brain, rig.peer, &m);
    brain_ticket_cancel(rig.brain, ticket);
    pthread_create(&rig.thread, NULL, run, &rig);
    while (!rig.slot_back)
        loop_run(rig.loop);
    ck_assert_uint_eq(rig.slot_back, 8);
    stop();
}
END_TEST

static void on_text(void *user, const void *text, size_t n, bool last)
{
    (void)user;
    snprintf(rig.text, sizeof(rig.text), "%.*s", (int)n, (const char *)text);
    rig.last = last;
}

START_TEST(logs_of_nobody)
{
    struct brain_log *l;

    start();
    brain_stop(rig.brain);
    pthread_join(rig.thread, NULL); /* this thread is the brain's now */
    ck_assert_int_eq(brain_log_start(rig.brain, "default/none", 0, false, on_text, &rig, &l),
                     -ENOENT);
    pthread_create(&rig.thread, NULL, run, &rig);
    stop();
}
END_TEST

UNIT_MAIN("brain", a_ticket_goes_there_and_back, a_cancelled_ticket_is_released,
          an_agent_is_welcome, an_answer_of_no_use_gives_its_slot_back,
          so_does_one_that_is_cancelled_in_the_turn_of_its_answer, logs_of_nobody)
