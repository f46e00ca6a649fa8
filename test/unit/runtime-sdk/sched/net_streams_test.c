/* Streams under load: slow readers, several writers, a thousand pairs; control data, urgent data, files, pipes. */
#include "rouse/net.h"
#include "run.h"

#include "sched/netdesc.h"
#include "sched/poller.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void tcp_pair(int fds[2])
{
    int listening;
    char address[ROUSE_ADDRESS_MAX];

    MUST_BE(rouse_listen("tcp://localhost:0", 0, &listening), 0);
    MUST_BE(rouse_local_address(listening, address), 0);
    MUST_BE(rouse_dial(address, ROUSE_NEVER, &fds[0]), 0);
    fds[1] = rouse_accept(listening, ROUSE_NEVER);
    MUST(fds[1] >= 0);
    MUST_BE(rouse_close(listening), 0);
}

enum { BULK = 4 << 20 };
static unsigned char bulk[BULK];

static void write_bulk(void *arg)
{
    struct iovec parts[3] = {{bulk, 100}, {bulk + 100, 0}, {bulk + 100, BULK - 100}};
    int fd = *(int *)arg;
    size_t written;

    MUST_BE(rouse_write(fd, bulk, BULK, &written, ROUSE_NEVER), 0);
    MUST_BE(written, BULK);
    MUST_BE(rouse_writev(fd, parts, 3, &written, ROUSE_NEVER), 0);
    MUST_BE(written, BULK);
    MUST_BE(rouse_close(fd), 0);
}
static void slow_of(bool unix_domain)
{
    static unsigned char got[BULK];
    unsigned random = 1;
    size_t at = 0;
    int fds[2];

    if (unix_domain)
        MUST_BE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    else
        tcp_pair(fds);
    MUST_BE(rouse_spawn(write_bulk, &fds[1]), 0);
    while (at < BULK) { /* in pieces of any size, with rests */
        size_t want = next_random(&random) % 100000 + 1;
        ssize_t n = rouse_read(fds[0], got + at, want < BULK - at ? want : BULK - at, ROUSE_NEVER);

        MUST(n > 0);
        at += (size_t)n;
        if (next_random(&random) % 8 == 0)
            rouse_sleep(ROUSE_US * 50);
    }
    MUST(!memcmp(got, bulk, BULK));
    memset(got, 0, BULK);
    MUST_BE(rouse_read_full(fds[0], got, BULK, ROUSE_NEVER), BULK);
    MUST(!memcmp(got, bulk, BULK));
    MUST_BE(rouse_read_full(fds[0], got, BULK, ROUSE_NEVER), 0);
    MUST_BE(rouse_close(fds[0]), 0);
}
static void slow_readers_run(void *unused)
{
    (void)unused;
    pattern(bulk, BULK, 3);
    slow_of(false);
    slow_of(true);
}
START_TEST(slow_readers)
{
    run(slow_readers_run);
}
END_TEST

/* What one call writes stays together, and each of several readers gets whole turns. */
enum { WRITERS = 8, MESSAGE = 500000 /* more than its buffer holds */, READERS = 4 };
static int shared[2];
static _Atomic size_t read_by_all;
static void write_letter(void *arg)
{
    char *message = malloc(MESSAGE);

    memset(message, 'a' + (int)(intptr_t)arg, MESSAGE);
    for (int i = 0; i < 3; i++)
        MUST_BE(rouse_write(shared[1], message, MESSAGE, NULL, ROUSE_NEVER), 0);
    free(message);
}
static void read_letters(void *unused)
{
    char *message = malloc(MESSAGE);
    ssize_t n;

    (void)unused;
    while ((n = rouse_read_full(shared[0], message, MESSAGE, ROUSE_NEVER)) > 0) {
        MUST_BE(n, MESSAGE);
        for (int i = 1; i < MESSAGE; i++)
            MUST(message[i] == message[0]);
        read_by_all += (size_t)n;
    }
    free(message);
}
static void together_run(void *unused)
{
    struct rouse_scope *writers, *readers;

    (void)unused;
    MUST_BE(socketpair(AF_UNIX, SOCK_STREAM, 0, shared), 0);
    read_by_all = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &readers), 0);
    for (int i = 0; i < READERS; i++)
        MUST_BE(rouse_scope_spawn(readers, read_letters, NULL), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &writers), 0);
    for (intptr_t i = 0; i < WRITERS; i++)
        MUST_BE(rouse_scope_spawn(writers, write_letter, (void *)i), 0);
    MUST_BE(rouse_scope_wait(writers, ROUSE_NEVER), 0);
    rouse_scope_close(writers);
    MUST_BE(rouse_close(shared[1]), 0);
    MUST_BE(rouse_scope_wait(readers, ROUSE_NEVER), 0);
    rouse_scope_close(readers);
    MUST_BE(read_by_all, (size_t)WRITERS * 3 * MESSAGE);
    MUST_BE(rouse_close(shared[0]), 0);
}
START_TEST(calls_stay_together)
{
    run(together_run);
}
END_TEST

/* A thousand pairs of tasks on a thousand connections, each with some rounds; TSan makes tasks slowly. */
#ifdef __SANITIZE_THREAD__
enum { PAIRS = 200, ROUNDS = 10 };
#else
enum { PAIRS = 1000, ROUNDS = 10 };
#endif
static void answer(void *arg)
{
    int fd = (int)(intptr_t)arg;
    unsigned char data[300];
    ssize_t n;

    while ((n = rouse_read(fd, data, sizeof(data), ROUSE_NEVER)) > 0)
        MUST_BE(rouse_write(fd, data, (size_t)n, NULL, ROUSE_NEVER), 0);
    MUST_BE(n, 0);
    MUST_BE(rouse_close(fd), 0);
}
static void ask(void *address)
{
    unsigned char data[200], back[200];
    unsigned random = (unsigned)rouse_task_id();
    int fd;

    MUST_BE(rouse_dial(address, ROUSE_NEVER, &fd), 0);
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = next_random(&random) % sizeof(data) + 1;

        pattern(data, n, random);
        MUST_BE(rouse_write(fd, data, n, NULL, ROUSE_NEVER), 0);
        MUST_BE(rouse_read_full(fd, back, n, rouse_after(30 * ROUSE_SECOND)), n);
        MUST(!memcmp(data, back, n));
    }
    MUST_BE(rouse_close(fd), 0);
}
static void pairs_run(void *unused)
{
    char address[ROUSE_ADDRESS_MAX];
    struct rouse_scope *scope;
    int fd;

    (void)unused;
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &fd), 0);
    MUST_BE(rouse_local_address(fd, address), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < PAIRS; i++)
        MUST_BE(rouse_scope_spawn(scope, ask, address), 0);
    for (int i = 0; i < PAIRS; i++) {
        int c = rouse_accept(fd, ROUSE_NEVER);

        MUST(c >= 0);
        MUST_BE(rouse_scope_spawn(scope, answer, (void *)(intptr_t)c), 0);
    }
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
    MUST_BE(rouse_close(fd), 0);
}
START_TEST(a_thousand_pairs)
{
    run_on("1", pairs_run, NULL);
    run_on("2", pairs_run, NULL);
}
END_TEST

/* A stream of the Unix domain is short before a message with descriptors, and more is behind it. */
static void send_descriptor(int fd, const char *text)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(char *)text, strlen(text)};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
    MUST_BE(rouse_sendmsg(fd, &message, 0, ROUSE_NEVER), iov.iov_len);
}
/* Waits on fds[0], and gets several things with one edge: all of it is read. */
struct reader {
    int fd;
    const char *expected;
    bool whole; /* as one rouse_read_full(); else a call for each word */
    struct rouse_wait_group waits, over;
};
static void reader(void *arg)
{
    struct reader *r = arg;
    char data[64];

    rouse_wait_group_done(&r->waits);
    if (r->whole) {
        MUST_BE(rouse_read_full(r->fd, data, strlen(r->expected), ROUSE_NEVER), strlen(r->expected));
        MUST(!memcmp(data, r->expected, strlen(r->expected)));
    }
    for (const char *at = r->expected; !r->whole && *at; at += strcspn(at, " "), at += *at == ' ') {
        MUST_BE(rouse_read(r->fd, data, sizeof(data), ROUSE_NEVER), strcspn(at, " "));
        MUST(!memcmp(data, at, strcspn(at, " ")));
    }
    rouse_wait_group_done(&r->over);
}
static void start_reader(struct reader *r, int fd, const char *expected, bool whole)
{
    *r = (struct reader){.fd = fd, .expected = expected, .whole = whole};
    rouse_wait_group_add(&r->waits, 1);
    rouse_wait_group_add(&r->over, 1);
    MUST_BE(rouse_spawn(reader, r), 0);
    MUST_BE(rouse_wait_group_wait(&r->waits, ROUSE_NEVER), 0);
    UNTIL(poller_waited_for());
}

static void control_run(void *unused)
{
    struct reader r;
    int fds[2];

    (void)unused;
    for (int i = 0; i < 20; i++) {
        MUST_BE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        start_reader(&r, fds[0], "withandend", true);
        send_descriptor(fds[1], "with");
        MUST_BE(rouse_write(fds[1], "and", 3, NULL, ROUSE_NEVER), 0);
        send_descriptor(fds[1], "end");
        MUST_BE(rouse_wait_group_wait(&r.over, ROUSE_NEVER), 0);
        MUST_BE(rouse_close(fds[0]), 0);
        MUST_BE(rouse_close(fds[1]), 0);
    }
}
START_TEST(control_data)
{
    run(control_run);
}
END_TEST

/* A read stops short before urgent data. */
static void urgent_run(void *unused)
{
    struct reader r;
    int fds[2];

    (void)unused;
    for (int i = 0; i < 20; i++) {
        tcp_pair(fds);
        start_reader(&r, fds[0], "beforebehind", true);
        MUST_BE(send(fds[1], "before", 6, 0), 6);
        MUST_BE(send(fds[1], "!", 1, MSG_OOB), 1);
        MUST_BE(send(fds[1], "behind", 6, 0), 6);
        MUST_BE(rouse_wait_group_wait(&r.over, ROUSE_NEVER), 0);
        MUST_BE(rouse_close(fds[0]), 0);
        MUST_BE(rouse_close(fds[1]), 0);
    }
}
START_TEST(urgent_data)
{
    run(urgent_run);
}
END_TEST

static void files_run(void *unused)
{
    char path[] = "/tmp/rouse-net-test-XXXXXX", data[16];
    int fds[2], fd = mkstemp(path), null = open("/dev/null", O_RDWR);
    uint64_t one = 1;
    struct reader r;

    (void)unused;
    MUST(fd >= 0 && null >= 0);
    MUST_BE(unlink(path), 0);
    MUST_BE(rouse_write(fd, "on a disk", 9, NULL, 0), 0);
    MUST_BE(lseek(fd, 0, SEEK_SET), 0);
    MUST_BE(rouse_read(fd, data, sizeof(data), ROUSE_NEVER), 9);
    MUST_BE(rouse_read(fd, data, sizeof(data), ROUSE_NEVER), 0);
    MUST(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    MUST_BE(rouse_wait_fd(fd, POLLIN, 0), POLLIN);
    MUST_BE(rouse_close(fd), 0);
    MUST_BE(rouse_write(null, data, 9, NULL, ROUSE_NEVER), 0);
    MUST_BE(rouse_read(null, data, 9, ROUSE_NEVER), 0);
    MUST_BE(rouse_close(null), 0);
    MUST_BE(pipe2(fds, O_DIRECT), 0); /* a read is short at the end of each packet */
    start_reader(&r, fds[0], "one four", false);
    MUST_BE(rouse_write(fds[1], "one", 3, NULL, ROUSE_NEVER), 0);
    MUST_BE(rouse_write(fds[1], "four", 4, NULL, ROUSE_NEVER), 0);
    MUST_BE(rouse_wait_group_wait(&r.over, ROUSE_NEVER), 0);
    MUST_BE(rouse_close(fds[1]), 0);
    MUST_BE(rouse_read(fds[0], data, 9, ROUSE_NEVER), 0);
    MUST_BE(rouse_close(fds[0]), 0);
    fd = eventfd(0, EFD_CLOEXEC);
    MUST_BE(rouse_read(fd, &one, 8, rouse_after(ROUSE_MS / 10)), -ETIMEDOUT);
    one = 1;
    MUST_BE(rouse_write(fd, &one, 8, NULL, ROUSE_NEVER), 0);
    MUST_BE(rouse_read(fd, &one, 8, ROUSE_NEVER), 8);
    MUST_BE(rouse_close(fd), 0);
}
START_TEST(files_and_pipes)
{
    run(files_run);
}
END_TEST

/* A Unix socket's edges of room for writing are not taken any more when nobody waits for them. */
static uint8_t interest_of(int fd)
{
    struct netdesc *d;
    uint8_t interest;

    MUST_BE(netdesc_get(fd, &d), 0);
    spin_acquire(&d->spin);
    interest = d->interest;
    spin_release(&d->spin);
    return interest;
}
struct bulk_write {
    int fd;
    struct rouse_wait_group *over;
};
static void write_message(void *arg)
{
    static char message[MESSAGE];
    struct bulk_write *b = arg;

    MUST_BE(rouse_write(b->fd, message, MESSAGE, NULL, ROUSE_NEVER), 0);
    rouse_wait_group_done(b->over);
}
static void idle_edges_run(void *unused)
{
    static char got[MESSAGE];
    int fds[2];

    (void)unused;
    for (int round = 0; round < 3; round++) {
        MUST_BE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        for (int i = 0; i < 2; i++) { /* and asked for again */
            struct rouse_wait_group over = {0};
            struct bulk_write b = {fds[1], &over};

            rouse_wait_group_add(&over, 1);
            MUST_BE(rouse_spawn(write_message, &b), 0);
            UNTIL(interest_of(fds[1]) & SIDE_WRITE);
            MUST_BE(rouse_read_full(fds[0], got, MESSAGE, ROUSE_NEVER), MESSAGE);
            MUST_BE(rouse_wait_group_wait(&over, ROUSE_NEVER), 0);
            MUST_BE(rouse_read(fds[1], got, 1, rouse_after(ROUSE_MS / 10)), -ETIMEDOUT);
            while (interest_of(fds[1]) & SIDE_WRITE) {
                MUST_BE(rouse_write(fds[1], "x", 1, NULL, ROUSE_NEVER), 0);
                MUST_BE(rouse_read(fds[0], got, 1, ROUSE_NEVER), 1);
                rouse_sleep(200 * ROUSE_US); /* somebody looks at the poller */
            }
            MUST_BE(interest_of(fds[1]), SIDE_READ);
        }
        MUST_BE(rouse_close(fds[0]), 0);
        MUST_BE(rouse_close(fds[1]), 0);
    }
}
START_TEST(edges_for_nobody)
{
    run(idle_edges_run);
}
END_TEST

UNIT_MAIN("sched net streams", slow_readers, calls_stay_together, a_thousand_pairs, control_data,
          urgent_data, files_and_pipes, edges_for_nobody)
