/* How the hub's thread waits changes as agents come and go: whoever sends meanwhile is not forgotten; what it waits for is
 * what the kernel says of its epoll. */
#include "control_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 200, SENDS = 2000, LARGE = 3 << 20, LARGE_COUNT = 9 };

static struct {
    struct loop *loop;
    struct control_server *server;
    struct control_client *client;
    uint64_t peers[2]; /* the client's, which stays, and one that leaves in each round */
    unsigned opened, closed, messages;
    unsigned watched; /* for bytes, before there was a channel */
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

static void on_message(void *user, uint64_t peer, const AgentMessage *m)
{
    (void)user, (void)peer, (void)m;
    w.messages++;
    loop_stop(w.loop);
}

/* Of all descriptors in this process's epolls: how many wait for bytes, or for nothing. */
static unsigned watched(bool for_bytes)
{
    DIR *d = opendir("/proc/self/fdinfo");
    unsigned n = 0;

    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], line[200];
        unsigned fd, events;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
            if (sscanf(line, "tfd: %u events: %x", &fd, &events) == 2)
                n += !!(events & EPOLLIN) == for_bytes;
        if (f)
            fclose(f);
    }
    closedir(d);
    return n;
}

/* That a link is open is told before its thread waits for it. */
static void await_links(unsigned n)
{
    while (watched(true) != w.watched + 1 + n) /* and the bell */
        sched_yield();
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
                                        .on_message = on_message,
                                        .on_closed = on_closed};
    struct control_client_options co = {
        .address = address, .token = "secret", .on_open = on_connected, .on_message = on_told};

    ck_assert_int_eq(loop_new(&w.loop), 0);
    so.loop = co.loop = w.loop;
    w.watched = watched(true);
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

static int another_peer(const char *address)
{
    int fd = raw_dial(address);

    ck_assert_int_eq(raw_upgrade(fd, RAW_HEADERS), 101);
    await(&w, w.opened == 2);
    return fd;
}

/* A child has the descriptors of all links until it has executed its program: the kernel does not take a link that was
 * closed here off the epoll. */
START_TEST(a_child_keeps_no_link)
{
    char address[128], reason[128];
    pid_t child;
    int fd;

    start(address);
    fd = another_peer(address);
    await_links(2);
    child = fork();
    if (!child)
        for (;;)
            pause();
    ck_assert_int_gt(child, 0);
    raw_frame(fd, 0x88, "\x03\xe8", 2, true);
    ck_assert_int_eq(raw_close_status(fd, reason), 1000);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    await(&w, w.closed == 1);
    await_links(1);
    ck_assert_int_eq(send_reject(w.server, w.peers[0], "still there"), 0);
    await(&w, !strcmp(w.last, "still there"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    stop();
}
END_TEST

static void *send_large(void *fd)
{
    static uint8_t text[LARGE];
    Rouse__Control__V1__LogChunk chunk = ROUSE__CONTROL__V1__LOG_CHUNK__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    cleanup_free uint8_t *packed = malloc(LARGE + 64);

    ck_assert_ptr_nonnull(packed);
    chunk.text.data = text;
    chunk.text.len = LARGE;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK;
    m.log_chunk = &chunk;
    for (int i = 0; i < LARGE_COUNT; i++)
        raw_frame(*(int *)fd, 0x82, packed, protobuf_c_message_pack(&m.base, packed), true);
    return NULL;
}

/* While more than it may hold has not been taken, the thread waits for nothing of that link; then it does again. */
START_TEST(a_link_that_pauses_is_not_waited_for)
{
    char address[128];
    pthread_t sender;
    int fd;

    start(address);
    fd = another_peer(address);
    await_links(2);
    ck_assert_uint_eq(watched(false), 0);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_large, &fd), 0);
    while (!watched(false)) /* nobody takes messages: the loop does not turn */
        sched_yield();
    await_links(1);
    await(&w, w.messages == LARGE_COUNT);
    pthread_join(sender, NULL);
    while (watched(false))
        sched_yield();
    await_links(2);
    close(fd);
    await(&w, w.closed == 1);
    stop();
}
END_TEST

UNIT_MAIN("many", a_change_forgets_nobody, a_child_keeps_no_link, a_link_that_pauses_is_not_waited_for)
