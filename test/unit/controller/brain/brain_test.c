/* The brain as it is run: its own thread, a control server with a real agent channel, the front's
 * tickets by mail. */
#include "brain/brain.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "brain/brain_entry.h"
#include "store/store.h"
#include "unit.h"
#include "values.h"

#include <errno.h>
#include <pthread.h>
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

static void on_message(void *user, const ControllerMessage *m)
{
    struct rig *r = user;

    if (m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME)
        return;
    ck_assert_str_eq(m->welcome->peer_secret, "secret");
    r->welcomed++;
    loop_stop(r->loop);
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
                                       .on_open = brain_on_agent_open,
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
    (void)t;
    rig.answers++;
    loop_stop(rig.loop);
}

static void on_released(struct front_ticket *t)
{
    (void)t;
    rig.released++;
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

START_TEST(an_agent_is_welcome)
{
    char address[128];
    struct control_client_options o = {
        .on_open = say_hello, .on_message = on_message, .on_closed = on_closed, .user = &rig};

    start();
    control_server_address(rig.control, address);
    o.address = address;
    o.loop = rig.loop;
    ck_assert_int_eq(control_client_new(&o, &rig.client), 0);
    loop_run(rig.loop);
    ck_assert_uint_eq(rig.welcomed, 1);
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
          an_agent_is_welcome, logs_of_nobody)
