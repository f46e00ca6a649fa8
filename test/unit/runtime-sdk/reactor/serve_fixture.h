/* serve_fixture.h - a server of <rouse/reactor.h> on a thread of its own, and plain blocking clients.
 *
 * Every test runs on every backend: START_TEST's `_i` is the enum rouse_backend. */
#pragma once
#include "base/clock.h"
#include "reactor/conn.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <rouse/reactor.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server {
    struct rouse_events events;
    const char *addresses[4];
    size_t count;
    struct rouse_server *handle;
    char bound[4][ROUSE_ADDRESS_MAX]; /* once it serves */
    pthread_t thread;
    sem_t serving;
    int result;
    struct rouse_error error;
};

static struct server server; /* a test is a process: one server is enough */

static inline enum rouse_action server_serving(struct rouse_server *s)
{
    server.handle = s;
    for (size_t i = 0; i < rouse_server_addresses(s); i++)
        snprintf(server.bound[i], ROUSE_ADDRESS_MAX, "%s", rouse_server_address(s, i));
    sem_post(&server.serving);
    return ROUSE_NONE;
}

static inline void *server_thread(void *arg)
{
    server.result = rouse_serve(&server.events, server.addresses, server.count, &server.error);
    sem_post(&server.serving); /* for one that never served */
    return arg;
}

/* Starts `server`; its events and addresses are set. */
static inline void server_start(int backend)
{
    server.events.backend = (enum rouse_backend)backend;
    if (!server.events.serving)
        server.events.serving = server_serving;
    while (server.count < 4 && server.addresses[server.count])
        server.count++;
    sem_init(&server.serving, 0, 0);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, server_thread, NULL), 0);
    while (sem_wait(&server.serving) < 0)
        ;
    if (server.handle)
        return;
    pthread_join(server.thread, NULL);
    if (backend == ROUSE_BACKEND_IO_URING) {
        printf("skipped: no io_uring here: %s\n", server.error.message);
        exit(0);
    }
    ck_abort_msg("%s", server.error.message);
}

static inline void server_join(void)
{
    pthread_join(server.thread, NULL);
    ck_assert_msg(server.result == 0, "%s", server.error.message);
}

static inline void server_stop(void)
{
    rouse_shutdown(server.handle);
    server_join();
}

static inline struct rouse_loop_stats stats_of(unsigned loop)
{
    struct rouse_loop_stats s;

    ck_assert_int_eq(rouse_server_stats(server.handle, loop, &s), 0);
    return s;
}

/* ---- clients */

static inline void set_timeouts(int fd)
{
    struct timeval t = {.tv_sec = 30};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* A socket connected to "tcp://..." or "unix://..." as rouse_server_address() tells it. */
static inline int dial_with(const char *address, int receive_buffer)
{
    struct sockaddr_storage sa;
    socklen_t size;
    int fd;

    ck_assert_int_eq(address_parse(address, &sa, &size), 0);
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    set_timeouts(fd);
    ck_assert_msg(connect(fd, (struct sockaddr *)&sa, size) == 0, "%s: %s", address, strerror(errno));
    return fd;
}
static inline int dial(const char *address)
{
    return dial_with(address, 0);
}

static inline void say(int fd, const char *text)
{
    size_t n = strlen(text);

    ck_assert_int_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* recv(2) with a time-out is not restarted: the end of another thread's ring interrupts it. */
static inline ssize_t receive(int fd, void *to, size_t n, int flags)
{
    ssize_t r;

    do
        r = recv(fd, to, n, flags);
    while (r < 0 && errno == EINTR);
    return r;
}

/* Reads exactly what is expected. */
static inline void hear(int fd, const char *text)
{
    char got[4096];
    size_t n = strlen(text), have = 0;

    while (have < n) {
        ssize_t r = receive(fd, got + have, n - have, 0);

        ck_assert_msg(r > 0, "expected '%s', have %zu bytes, then %s", text, have,
                      r ? strerror(errno) : "the end");
        have += (size_t)r;
    }
    got[n] = '\0';
    ck_assert_str_eq(got, text);
}

static inline void hear_end(int fd)
{
    char c;
    ssize_t r = receive(fd, &c, 1, 0);

    ck_assert_msg(r == 0, "expected the end: %s", r > 0 ? "a byte" : strerror(errno));
}

/* Waits for a condition that other threads make true. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t await_end = clock_monotonic_ns() + 30 * NS_PER_S;                                 \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_monotonic_ns() < await_end, "never: %s", #condition);              \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

#define SERVE_MAIN(name, ...)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const cases[] = {__VA_ARGS__};                                                \
        SRunner *sr;                                                                               \
        TCase *tc = unit_case(name, &sr);                                                          \
                                                                                                   \
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)                                \
            tcase_add_loop_test(tc, cases[i], ROUSE_BACKEND_EPOLL, ROUSE_BACKEND_IO_URING + 1);    \
        return unit_run(sr);                                                                       \
    }
