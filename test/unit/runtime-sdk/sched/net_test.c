/* Bytes of descriptors: order, ends, deadlines, cancelling, closing, and what a short count is taken for. */
#include "rouse/net.h"
#include "run.h"

#include "sched/poller.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void make_pair(int domain, int fds[2])
{
    int listening, accepted, dialled;
    char address[ROUSE_ADDRESS_MAX];

    if (domain == AF_UNIX) {
        MUST_BE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        return;
    }
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &listening), 0);
    MUST_BE(rouse_local_address(listening, address), 0);
    MUST_BE(rouse_dial(address, ROUSE_NEVER, &dialled), 0);
    accepted = rouse_accept(listening, ROUSE_NEVER);
    MUST(accepted >= 0);
    MUST_BE(rouse_close(listening), 0);
    fds[0] = dialled;
    fds[1] = accepted;
}

static void close_pair(const int fds[2])
{
    MUST_BE(rouse_close(fds[0]), 0);
    MUST_BE(rouse_close(fds[1]), 0);
}

static void write_text(int fd, const char *text)
{
    MUST_BE(rouse_write(fd, text, strlen(text), NULL, ROUSE_NEVER), 0);
}

static void must_read(int fd, const char *text)
{
    char data[64] = "";

    MUST_BE(rouse_read(fd, data, sizeof(data), ROUSE_NEVER), strlen(text));
    MUST(!memcmp(data, text, strlen(text)));
}

/* A task of its own that does one call; `result` is what it returned. */
struct call {
    int fd;
    enum { READ, WRITE, ACCEPT, POLL, QUEUED } what;
    int64_t deadline;
    _Atomic long result;
};
enum { PENDING = 1 << 20, BIG = 8 << 20 };
static void one_call(void *arg)
{
    static char big[BIG];
    struct call *c = arg;
    char data[64];
    long r = 0;

    if (c->what == READ)
        r = rouse_read(c->fd, data, sizeof(data), c->deadline);
    else if (c->what == WRITE)
        r = rouse_write(c->fd, big, sizeof(big), NULL, c->deadline);
    else if (c->what == ACCEPT)
        r = rouse_accept(c->fd, c->deadline);
    else if (c->what == POLL)
        r = rouse_wait_fd(c->fd, POLLIN, c->deadline);
    atomic_store(&c->result, r);
}
static void spawn_call(struct rouse_scope *scope, struct call *c)
{
    c->result = PENDING;
    if (scope)
        MUST_BE(rouse_scope_spawn(scope, one_call, c), 0);
    else
        MUST_BE(rouse_spawn(one_call, c), 0);
}

/* ---- */

static void echo(void *arg)
{
    const int *fds = arg;
    char data[64];
    ssize_t n;

    while ((n = rouse_read(fds[1], data, sizeof(data), ROUSE_NEVER)) > 0)
        MUST_BE(rouse_write(fds[1], data, (size_t)n, NULL, ROUSE_NEVER), 0);
    MUST_BE(n, 0);
    MUST_BE(shutdown(fds[1], SHUT_WR), 0);
}
static void echoes_of(int domain)
{
    int fds[2];
    char data[8];

    make_pair(domain, fds);
    MUST_BE(rouse_spawn(echo, fds), 0);
    for (int i = 0; i < 2000; i++) {
        write_text(fds[0], "ping");
        must_read(fds[0], "ping");
    }
    MUST_BE(shutdown(fds[0], SHUT_WR), 0);
    MUST_BE(rouse_read(fds[0], data, sizeof(data), ROUSE_NEVER), 0);
    MUST_BE(rouse_read(fds[0], data, sizeof(data), ROUSE_NEVER), 0);
    close_pair(fds);
}
static void echoes_run(void *unused)
{
    (void)unused;
    echoes_of(AF_INET);
    echoes_of(AF_UNIX);
}
START_TEST(echoes)
{
    run(echoes_run);
}
END_TEST

static void errors_run(void *unused)
{
    struct iovec iov = {NULL, 0};
    size_t written = 99;
    char data[8];
    int fds[2];

    (void)unused;
    signal(SIGPIPE, SIG_DFL);
    MUST_BE(rouse_read(-1, data, 8, ROUSE_NEVER), -EBADF);
    MUST_BE(rouse_read(19999, data, 8, ROUSE_NEVER), -EBADF);
    MUST_BE(rouse_write(19999, data, 8, &written, ROUSE_NEVER), -EBADF);
    MUST_BE(written, 0);
    MUST_BE(rouse_close(19999), -EBADF);
    MUST_BE(rouse_close(-1), -EBADF);
    MUST_BE(rouse_wait_fd(19999, POLLIN, ROUSE_NEVER), -EBADF);
    MUST_BE(rouse_writev(1, &iov, 0, &written, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_writev(1, &iov, 65, &written, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_readv(1, &iov, 1025, ROUSE_NEVER), -EINVAL);
    make_pair(AF_INET, fds);
    MUST_BE(rouse_accept(fds[0], ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_close(fds[1]), 0);
    while (rouse_write(fds[0], data, 8, NULL, ROUSE_NEVER) == 0)
        rouse_yield(); /* until the peer's RST is here; no SIGPIPE */
    MUST_BE(rouse_write(fds[0], data, 8, &written, ROUSE_NEVER), -EPIPE);
    MUST_BE(rouse_close(fds[0]), 0);
    MUST_BE(rouse_read(fds[0], data, 8, ROUSE_NEVER), -EBADF);
}
START_TEST(errors)
{
    char data[8];

    ck_assert_int_eq(rouse_read(0, data, 8, 0), -EPERM);
    ck_assert_int_eq(rouse_write(1, data, 8, NULL, 0), -EPERM);
    ck_assert_int_eq(rouse_close(19999), -EPERM);
    ck_assert_int_eq(rouse_wait_fd(0, POLLIN, 0), -EPERM);
    run(errors_run);
}
END_TEST

static void deadlines_of(int domain)
{
    size_t written = 0, again = 0;
    static char big[BIG];
    char data[8];
    int fds[2];

    make_pair(domain, fds);
    MUST_BE(rouse_read(fds[0], data, 8, 0), -ETIMEDOUT);
    MUST_BE(rouse_read(fds[0], data, 8, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_wait_fd(fds[0], POLLIN, 0), -ETIMEDOUT);
    MUST_BE(rouse_wait_fd(fds[0], POLLIN, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    write_text(fds[1], "abc");
    MUST_BE(rouse_wait_fd(fds[0], POLLIN, ROUSE_NEVER), POLLIN);
    MUST_BE(rouse_read(fds[0], data, 8, 0), 3); /* what is there needs no wait, nobody polled */
    write_text(fds[1], "abc");
    MUST_BE(rouse_wait_fd(fds[0], POLLIN, ROUSE_NEVER), POLLIN);
    MUST_BE(rouse_read(fds[0], data, 8, 0), 3); /* nor after a short count */
    write_text(fds[1], "abc");
    MUST_BE(rouse_read(fds[0], data, 8, 1), 3); /* nor one that has passed but is not 0 */
    MUST_BE(rouse_write(fds[1], big, BIG, &written, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST(written > 0 && written < BIG);
    MUST_BE(rouse_write(fds[1], big, BIG, &again, 0), -ETIMEDOUT);
    MUST(written + again < BIG);
    MUST_BE(rouse_read_full(fds[0], big, written + again, ROUSE_NEVER), written + again);
    MUST_BE(rouse_read(fds[0], data, 8, 0), -ETIMEDOUT);
    close_pair(fds);
}
static void deadlines_run(void *unused)
{
    int fd;

    (void)unused;
    deadlines_of(AF_INET);
    deadlines_of(AF_UNIX);
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &fd), 0);
    MUST_BE(rouse_accept(fd, 0), -ETIMEDOUT);
    MUST_BE(rouse_accept(fd, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_close(fd), 0);
}
START_TEST(deadlines)
{
    run(deadlines_run);
}
END_TEST

/* Each kind of wait, ended by the scope, and by a close; the last one queues behind a reader. */
static void end_waits(bool by_close, int expected)
{
    struct call calls[5];
    struct rouse_scope *scope;
    int fds[2], listening;

    make_pair(AF_INET, fds);
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &listening), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 5; i++) {
        calls[i] = (struct call){fds[0], i == QUEUED ? READ : i, ROUSE_NEVER, 0};
        if (i == ACCEPT)
            calls[i].fd = listening;
        spawn_call(scope, &calls[i]);
        rouse_sleep(ROUSE_MS / 2); /* most often all of them wait by then: both orders must do */
    }
    if (by_close) {
        MUST_BE(rouse_close(fds[0]), 0);
        MUST_BE(rouse_close(listening), 0);
    } else {
        rouse_scope_cancel(scope);
    }
    for (int i = 0; i < 5; i++) {
        UNTIL(calls[i].result != PENDING);
        MUST_BE(calls[i].result, expected);
    }
    rouse_scope_close(scope);
    if (!by_close) {
        close_pair(fds);
        MUST_BE(rouse_close(listening), 0);
    } else {
        MUST_BE(rouse_close(fds[1]), 0);
    }
}
static void cancelled_run(void *unused)
{
    (void)unused;
    end_waits(false, -ECANCELED);
}
START_TEST(cancelled)
{
    run(cancelled_run);
}
END_TEST
static void closed_run(void *unused)
{
    (void)unused;
    end_waits(true, -EBADF);
}
START_TEST(closed_by_another)
{
    run(closed_run);
}
END_TEST

/* The number is another descriptor's after a close: what was known is of no use to it. */
static void reused_run(void *unused)
{
    int fds[2], first;

    (void)unused;
    for (int i = 0; i < 200; i++) {
        struct call c = {.what = READ, .deadline = ROUSE_NEVER};

        make_pair(i % 2 ? AF_INET : AF_UNIX, fds);
        first = fds[0];
        write_text(fds[1], "last words");
        must_read(fds[0], "last words"); /* a short count: an edge is expected now */
        c.fd = fds[0];
        spawn_call(NULL, &c);
        if (i % 3)
            rouse_yield();
        write_text(fds[1], "an edge on its way");
        MUST_BE(rouse_close(fds[0]), 0);
        UNTIL(c.result != PENDING);
        MUST(c.result == -EBADF || c.result == 18);
        MUST_BE(rouse_close(fds[1]), 0);
        make_pair(AF_UNIX, fds);
        MUST(first == fds[0] || i % 2);
        MUST_BE(rouse_read(fds[0], &(char){0}, 1, rouse_after(ROUSE_MS / 10)), -ETIMEDOUT);
        write_text(fds[1], "new");
        must_read(fds[0], "new");
        close_pair(fds);
    }
}
START_TEST(numbers_are_used_again)
{
    run(reused_run);
}
END_TEST

/* The end, in the same segment as the last bytes or with an edge of its own, is read after them. */
static void ends_of(int domain, bool parked)
{
    char data[64];
    int fds[2];

    make_pair(domain, fds);
    write_text(fds[1], "first");
    must_read(fds[0], "first");
    MUST_BE(rouse_read(fds[0], data, 8, rouse_after(ROUSE_MS / 10)), -ETIMEDOUT); /* registered */
    for (int i = 0; i < 3; i++) {
        write_text(fds[1], "more");
        must_read(fds[0], "more");
    }
    if (domain == AF_INET)
        MUST_BE(send(fds[1], "last", 4, MSG_MORE), 4); /* leaves with the FIN */
    else
        write_text(fds[1], "last");
    MUST_BE(shutdown(fds[1], SHUT_WR), 0);
    if (parked)
        MUST(rouse_wait_fd(fds[0], POLLIN, ROUSE_NEVER) & POLLIN);
    must_read(fds[0], "last");
    MUST_BE(rouse_read(fds[0], data, 8, ROUSE_NEVER), 0);
    MUST_BE(rouse_read(fds[0], data, 8, ROUSE_NEVER), 0);
    write_text(fds[0], "answer"); /* the other half is open still */
    must_read(fds[1], "answer");
    MUST_BE(rouse_close(fds[0]), 0);
    MUST_BE(rouse_read(fds[1], data, 8, ROUSE_NEVER), 0);
    MUST_BE(rouse_close(fds[1]), 0);
}
static void half_closed_run(void *unused)
{
    (void)unused;
    for (int i = 0; i < 50; i++) {
        ends_of(i % 2 ? AF_INET : AF_UNIX, i % 4 / 2);
    }
}
START_TEST(half_closed)
{
    run(half_closed_run);
}
END_TEST

UNIT_MAIN("sched net", echoes, errors, deadlines, cancelled, closed_by_another,
          numbers_are_used_again, half_closed)
