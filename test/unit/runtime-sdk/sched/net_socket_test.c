/* Sockets: listening, accepting, connecting, dialling several addresses, names, and waiting for several. */
#include "rouse/net.h"
#include "run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static uint16_t port_of(int fd)
{
    struct sockaddr_in sa;
    socklen_t size = sizeof(sa);

    MUST_BE(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    return ntohs(sa.sin_port);
}

static void addresses_run(void *unused)
{
    static const char *const wrong[] = {
        "",
        "tcp://",
        "tcp://1.2.3.4",
        "tcp://:80",
        "tcp://1.2.3.4:",
        "tcp://1.2.3.4:x",
        "udp://x",
        "tcp://::1:80",
        "tcp://[::1:80",
        "tcp://1.2.3.4:65536",
        "unix://relative",
        "tcp://a:000080",
    };
    char text[ROUSE_ADDRESS_MAX], peer[ROUSE_ADDRESS_MAX], name[300] = "tcp://";
    int fd, other, c, on = 0;
    socklen_t size = sizeof(on);

    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        MUST_BE(rouse_listen(wrong[i], 0, &fd), -EINVAL);
        MUST_BE(rouse_dial(wrong[i], ROUSE_NEVER, &fd), -EINVAL);
    }
    memset(name + 6, 'a', 254);
    strcpy(name + 260, ":80");
    MUST_BE(rouse_dial(name, ROUSE_NEVER, &fd), -EINVAL);
    MUST_BE(rouse_listen("tcp://localhost:0", 1, &fd), 0);
    MUST_BE(rouse_local_address(fd, text), 0);
    MUST(!strncmp(text, "tcp://127.0.0.1:", 16));
    MUST_BE(rouse_listen(text, 0, &other), -EADDRINUSE);
    MUST_BE(rouse_dial(text, ROUSE_NEVER, &other), 0);
    c = rouse_accept(fd, ROUSE_NEVER);
    MUST(c >= 0);
    MUST_BE(rouse_local_address(other, text), 0);
    MUST_BE(rouse_peer_address(c, peer), 0);
    MUST(!strcmp(text, peer));
    MUST(fcntl(c, F_GETFD) & FD_CLOEXEC && fcntl(other, F_GETFD) & FD_CLOEXEC);
    MUST_BE(getsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    MUST(on);
    on = 0;
    MUST_BE(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    MUST(on);
    MUST_BE(rouse_close(c), 0);
    MUST_BE(rouse_close(other), 0);
    MUST_BE(rouse_local_address(fd, text), 0);
    MUST_BE(rouse_close(fd), 0);
    MUST_BE(rouse_dial(text, ROUSE_NEVER, &fd), -ECONNREFUSED);
    MUST_BE(rouse_peer_address(fd, peer), -EBADF);
}
START_TEST(addresses)
{
    int fd;

    ck_assert_int_eq(rouse_dial("tcp://127.0.0.1:1", 0, &fd), -EPERM);
    ck_assert_int_eq(rouse_accept(0, 0), -EPERM);
    run(addresses_run);
}
END_TEST

/* Several tasks accept at one listener: each connection is one's. */
static _Atomic int accepted;
static void acceptor(void *fd)
{
    int c;

    while ((c = rouse_accept(*(int *)fd, ROUSE_NEVER)) >= 0) {
        accepted++;
        MUST_BE(rouse_close(c), 0);
    }
    MUST_BE(c, -EBADF);
}
static void acceptors_run(void *unused)
{
    char text[ROUSE_ADDRESS_MAX];
    struct rouse_scope *scope;
    int fd, c;

    (void)unused;
    accepted = 0;
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &fd), 0);
    MUST_BE(rouse_local_address(fd, text), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 4; i++)
        MUST_BE(rouse_scope_spawn(scope, acceptor, &fd), 0);
    for (int i = 0; i < 100; i++) {
        MUST_BE(rouse_dial(text, ROUSE_NEVER, &c), 0);
        MUST_BE(rouse_read(c, text + 64, 1, ROUSE_NEVER), 0);
        MUST_BE(rouse_close(c), 0);
    }
    MUST_BE(accepted, 100);
    MUST_BE(rouse_close(fd), 0);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
}
START_TEST(several_accept)
{
    run(acceptors_run);
}
END_TEST

/* A listener that accepts nothing and has no room left: nobody answers a connection any more. A backlog of 1 takes two. */
static int fill(int fd, const struct sockaddr *sa, socklen_t size, int ret_fds[16])
{
    int n = 0, r = 0;

    while (n < 16 && r == 0) {
        ret_fds[n] = rouse_socket(sa->sa_family, SOCK_STREAM, 0);
        MUST(ret_fds[n] >= 0);
        r = rouse_connect(ret_fds[n], sa, size, n < 2 ? ROUSE_NEVER : rouse_after(20 * ROUSE_MS));
        n++;
    }
    (void)fd;
    MUST_BE(r, -ETIMEDOUT);
    return n;
}

static void accept_late(void *fd)
{
    int c;

    rouse_sleep(3 * ROUSE_MS);
    c = rouse_accept(*(int *)fd, ROUSE_NEVER);
    MUST(c >= 0);
    MUST_BE(rouse_close(c), 0);
}
static void unix_run(void *unused)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char text[ROUSE_ADDRESS_MAX];
    int fds[16], fd, c, n;

    (void)unused;
    snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/rouse-net-test-%d", (int)getpid());
    snprintf(text, sizeof(text), "unix://%s", un.sun_path);
    unlink(un.sun_path);
    MUST_BE(rouse_dial(text, ROUSE_NEVER, &c), -ENOENT);
    MUST_BE(rouse_listen(text, 1, &fd), 0);
    n = fill(fd, (struct sockaddr *)&un, sizeof(un), fds);
    MUST(n > 1);
    MUST_BE(rouse_spawn(accept_late, &fd), 0);
    MUST_BE(rouse_connect(fds[n - 1], (struct sockaddr *)&un, sizeof(un), ROUSE_NEVER), 0);
    for (int i = 0; i < n - 1; i++) { /* of n, one was accepted */
        c = rouse_accept(fd, ROUSE_NEVER);
        MUST(c >= 0);
        MUST_BE(rouse_close(c), 0);
    }
    MUST_BE(rouse_accept(fd, 0), -ETIMEDOUT);
    for (int i = 0; i < n; i++)
        MUST_BE(rouse_close(fds[i]), 0);
    MUST_BE(rouse_dial(text, ROUSE_NEVER, &c), 0);
    MUST_BE(rouse_close(c), 0);
    MUST_BE(rouse_close(fd), 0);
    MUST_BE(unlink(un.sun_path), 0);
}
START_TEST(unix_backlog)
{
    run(unix_run);
}
END_TEST

static int listen6(uint16_t port, int *ret_fd)
{
    struct sockaddr_in6 sa = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = rouse_socket(AF_INET6, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0)
        return -1;
    *ret_fd = fd;
    return 0;
}

/* The first address of localhost refuses, or says nothing: the second one is dialled. */
static void eyeballs_run(void *unused)
{
    char text[ROUSE_ADDRESS_MAX], peer[ROUSE_ADDRESS_MAX];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[16], first, second, c, n;

    (void)unused;
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 1, &first), 0);
    sa.sin_port = htons(port_of(first));
    if (listen6(port_of(first), &second) < 0) {
        printf("skipped: no IPv6 here\n");
        rouse_close(first);
        return;
    }
    snprintf(text, sizeof(text), "tcp://localhost:%u", port_of(first));
    n = fill(first, (struct sockaddr *)&sa, sizeof(sa), fds);
    for (int round = 0; round < 2; round++) {
        MUST_BE(rouse_dial(text, ROUSE_NEVER, &c), 0);
        MUST_BE(rouse_peer_address(c, peer), 0);
        MUST(!strncmp(peer, "tcp://[::1]:", 12));
        MUST_BE(rouse_close(c), 0);
        for (int i = 0; round == 0 && i < n; i++)
            MUST_BE(rouse_close(fds[i]), 0);
        if (round == 0)
            MUST_BE(rouse_close(first), 0);
    }
    MUST_BE(rouse_close(second), 0);
    MUST_BE(rouse_dial(text, ROUSE_NEVER, &c), -ECONNREFUSED);
}
START_TEST(a_second_address)
{
    run_on("1", eyeballs_run, NULL);
    run_on("2", eyeballs_run, NULL);
}
END_TEST

static void connect_run(void *unused)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[16], fd, n, c;

    (void)unused;
    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 1, &fd), 0);
    sa.sin_port = htons(port_of(fd));
    n = fill(fd, (struct sockaddr *)&sa, sizeof(sa), fds);
    MUST_BE(rouse_connect(fds[0], (struct sockaddr *)&sa, sizeof(sa), ROUSE_NEVER), -EISCONN);
    for (int i = 0; i < n; i++)
        MUST_BE(rouse_close(fds[i]), 0);
    MUST_BE(rouse_close(fd), 0);
    for (int i = 0; i < 50; i++) { /* a socket that was known before it is connected */
        c = rouse_socket(AF_INET, SOCK_STREAM, 0);
        MUST(rouse_wait_fd(c, POLLIN, rouse_after(ROUSE_MS)) > 0); /* HUP: not connected */
        MUST_BE(rouse_connect(c, (struct sockaddr *)&sa, sizeof(sa), ROUSE_NEVER), -ECONNREFUSED);
        MUST_BE(rouse_close(c), 0);
    }
}
START_TEST(connecting)
{
    run(connect_run);
}
END_TEST

static void names_run(void *unused)
{
    struct rouse_address a[4];
    char text[INET6_ADDRSTRLEN];

    (void)unused;
    MUST_BE(rouse_resolve("", 80, a, 4, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_resolve("x", 80, a, 0, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_resolve("::1", 80, a, 4, ROUSE_NEVER), 1);
    MUST_BE(a[0].address.ss_family, AF_INET6);
    MUST_BE(rouse_resolve("1.2.3.4", 80, a, 4, ROUSE_NEVER), 1);
    MUST_BE(a[0].size, sizeof(struct sockaddr_in));
    MUST(!strcmp(
        inet_ntop(AF_INET, &((struct sockaddr_in *)&a[0].address)->sin_addr, text, sizeof(text)),
        "1.2.3.4"));
    MUST_BE(((struct sockaddr_in *)&a[0].address)->sin_port, htons(80));
    MUST_BE(rouse_resolve("localhost", 80, a, 1, ROUSE_NEVER), 1);
    MUST_BE(rouse_resolve("localhost", 80, a, 4, ROUSE_NEVER), 2);
    MUST_BE(rouse_resolve("a name with spaces", 80, a, 4, 0), -ETIMEDOUT);
    MUST(rouse_resolve("a name with spaces", 80, a, 4, ROUSE_NEVER) < 0);
}
START_TEST(names)
{
    run(names_run);
}
END_TEST

/* ---- rouse_poll() */

static int pipes[3][2];
static void write_later(void *arg)
{
    rouse_sleep(ROUSE_MS);
    MUST_BE(rouse_write(pipes[(intptr_t)arg][1], "x", 1, NULL, ROUSE_NEVER), 0);
}
static void poll_run(void *unused)
{
    struct pollfd fds[65] = {{0}};
    char x;

    (void)unused;
    for (int i = 0; i < 3; i++)
        MUST_BE(pipe(pipes[i]), 0);
    MUST_BE(rouse_poll(fds, 0, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_poll(fds, 65, ROUSE_NEVER), -EINVAL);
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 4; k++)
            fds[k] = (struct pollfd){.fd = k < 3 ? pipes[k][0] : -1, .events = POLLIN};
        if (i % 4 < 3)
            MUST_BE(rouse_spawn(write_later, (void *)(intptr_t)(i % 4)), 0);
        if (i % 4 == 3) {
            MUST_BE(rouse_poll(fds, 4, rouse_after(ROUSE_MS)), -ETIMEDOUT);
            continue;
        }
        MUST_BE(rouse_poll(fds, 4, ROUSE_NEVER), 1);
        for (int k = 0; k < 4; k++)
            MUST_BE(fds[k].revents, k == i % 4 ? POLLIN : 0);
        MUST_BE(rouse_poll(fds, 4, 0), 1); /* the same again: a level, not an edge */
        MUST_BE(rouse_poll(fds, 4, ROUSE_NEVER), 1);
        MUST_BE(rouse_read(pipes[i % 4][0], &x, 1, ROUSE_NEVER), 1);
        MUST_BE(rouse_poll(fds, 4, 0), -ETIMEDOUT);
    }
    for (int i = 0; i < 6; i++)
        MUST_BE(close(pipes[i / 2][i % 2]), 0); /* as a library does */
    MUST_BE(pipe(pipes[0]), 0);
    MUST_BE(pipes[0][0], fds[0].fd);
    MUST_BE(rouse_spawn(write_later, NULL), 0);
    MUST_BE(rouse_wait_fd(pipes[0][0], POLLIN, ROUSE_NEVER), POLLIN);
    MUST_BE(rouse_close(pipes[0][0]), 0);
    MUST_BE(rouse_close(pipes[0][1]), 0);
    MUST_BE(rouse_poll(fds, 1, ROUSE_NEVER), 1);
    MUST_BE(fds[0].revents, POLLNVAL);
}
START_TEST(several_at_once)
{
    run(poll_run);
}
END_TEST

UNIT_MAIN("sched sockets", addresses, several_accept, unix_backlog, a_second_address, connecting,
          names, several_at_once)
