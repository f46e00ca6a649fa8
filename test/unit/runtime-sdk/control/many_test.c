/* How the hub's thread waits changes as agents come and go: whoever sends meanwhile is not forgotten. */
#include "control_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { ROUNDS = 200, SENDS = 2000 };

static struct {
    struct loop *loop;
    struct control_server *server;
    struct control_client *client;
    uint64_t peers[2]; /* the client's, which stays, and one that leaves in each round */
    unsigned opened, closed, messages;
    bool client_opened;
    char last[64];
} w;

static void on_open(void *user, uint64_t peer, const char *address)
{
    (void)user, (void)address;
    w.peers[w.opened++ ? 1 : 0] = peer;
    loop_stop(w.loop);
}

static void on_closed(void *user, uint64_t peer, const char *reason)
{
    (void)user, (void)reason;
    ck_assert_uint_eq(peer, w.peers[1]);
    w.closed++;
    loop_stop(w.loop);
}

static void on_connected(void *user)
{
    (void)user;
    w.client_opened = true;
    loop_stop(w.loop);
}

static void on_told(void *user, const ControllerMessage *m)
{
    (void)user;
    w.messages++;
    snprintf(w.last, sizeof(w.last), "%s", m->hello_reject->reason);
    loop_stop(w.loop);
}

static void *send_to_both(void *unused)
{
    static char reason[] = "both";
    Rouse__Control__V1__HelloReject reject = ROUSE__CONTROL__V1__HELLO_REJECT__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    reject.reason = reason;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT;
    m.hello_reject = &reject;
    for (int i = 0; i < SENDS; i++)
        ck_assert_int_eq(control_server_send_all(w.server, w.peers, 2, &m), 0);
    return unused;
}

static void start(char address[128])
{
    struct control_server_options so = {.address = "tcp://127.0.0.1:0",
                                        .token = "secret",
                                        .many_from = 2,
                                        .on_open = on_open,
                                        .on_closed = on_closed};
    struct control_client_options co = {
        .address = address, .token = "secret", .on_open = on_connected, .on_message = on_told};

    ck_assert_int_eq(loop_new(&w.loop), 0);
    so.loop = co.loop = w.loop;
    ck_assert_int_eq(control_server_new(&so, &w.server), 0);
    control_server_address(w.server, address);
    ck_assert_int_eq(control_client_new(&co, &w.client), 0);
    await(&w, w.opened && w.client_opened);
}

static void stop(void)
{
    struct world all = {.loop = w.loop, .server = w.server, .client = w.client};

    world_done(&all);
}

START_TEST(a_change_forgets_nobody)
{
    char address[128], mark[32];

    start(address);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_t sender;
        int fd = raw_dial(address);

        ck_assert_int_eq(raw_upgrade(fd, RAW_HEADERS), 101);
        await(&w, w.opened == i + 2);
        ck_assert_int_eq(pthread_create(&sender, NULL, send_to_both, NULL), 0);
        raw_frame(fd, 0x88, "\x03\xe8", 2, true);
        pthread_join(sender, NULL);
        await(&w, w.closed == i + 1);
        snprintf(mark, sizeof(mark), "round %u", i);
        ck_assert_int_eq(send_reject(w.server, w.peers[0], mark), 0);
        await(&w, !strcmp(w.last, mark));
        ck_assert_uint_eq(w.messages, (i + 1) * (SENDS + 1));
        close(fd);
    }
    stop();
}
END_TEST

UNIT_MAIN("many", a_change_forgets_nobody)
