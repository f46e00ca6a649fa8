/* The events, addresses and options of <rouse/reactor.h>. */
#include "serve_fixture.h"

#include <netinet/tcp.h>
#include <sched.h>
#include <sys/un.h>

static enum rouse_action echo(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    (void)c;
    rouse_append(out, in->data, in->size);
    return ROUSE_NONE;
}

static enum rouse_action shared_input(struct rouse_conn *c, struct rouse_conn_options *options,
                                      struct rouse_output *out)
{
    (void)c, (void)out;
    options->reuse_input_buffer = true;
    return ROUSE_NONE;
}

/* ---- addresses */

static enum rouse_action where(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    char local[ROUSE_ADDRESS_MAX], remote[ROUSE_ADDRESS_MAX];

    (void)in;
    rouse_conn_local_address(c, local);
    rouse_conn_remote_address(c, remote);
    rouse_appendf(out, "%zu %s %s", rouse_conn_address_index(c), local, remote);
    return ROUSE_NONE;
}

static void expect_where(int fd, size_t index, const char *bound)
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);
    char local[128], remote[128], text[300];

    getpeername(fd, (struct sockaddr *)&sa, &size);
    address_text(&sa, size, local);
    size = sizeof(sa);
    getsockname(fd, (struct sockaddr *)&sa, &size);
    address_text(&sa, size, remote);
    ck_assert_str_eq(local, bound);
    snprintf(text, sizeof(text), "%zu %s %s", index, local, remote);
    say(fd, "?");
    hear(fd, text);
    close(fd);
}

START_TEST(every_kind_of_address_at_once)
{
    char path[64];

    snprintf(path, sizeof(path), "unix:///tmp/rouse-serve-test-%d", getpid());
    server.events = (struct rouse_events){.data = where};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server.addresses[1] = "tcp6://localhost:0";
    server.addresses[2] = path;
    server.addresses[3] = "tcp4://localhost:0?reuseport=true";
    server_start(_i);
    for (size_t i = 0; i < 4; i++)
        expect_where(dial(server.bound[i]), i, server.bound[i]);
    ck_assert_ptr_eq(rouse_server_address(server.handle, 4), NULL);
    server_stop();
    ck_assert_int_lt(access(path + 7, F_OK), 0);
}
END_TEST

START_TEST(no_host_is_all_addresses)
{
    char text[128];
    const char *port;

    server.events = (struct rouse_events){.data = echo};
    server.addresses[0] = "tcp://:0";
    server_start(_i);
    port = strrchr(server.bound[0], ':');
    for (int i = 0; i < 2; i++) {
        int fd;

        snprintf(text, sizeof(text), "tcp://%s%s", i ? "[::1]" : "127.0.0.1", port);
        fd = dial(text);
        say(fd, "x");
        hear(fd, "x");
        close(fd);
    }
    server_stop();
}
END_TEST

/* One port, both families, each its own address: tcp6 does not take IPv4's too. */
START_TEST(the_families_share_a_port)
{
    char six[64];

    server.events = (struct rouse_events){.data = where};
    server.addresses[0] = "tcp4://:0";
    server_start(_i);
    snprintf(six, sizeof(six), "tcp6://%s", strrchr(server.bound[0], ':'));
    server_stop();
    memset(&server.serving, 0, sizeof(server.serving));
    server.handle = NULL;
    server.addresses[1] = six;
    snprintf(server.bound[2], ROUSE_ADDRESS_MAX, "tcp4://%s", strrchr(server.bound[0], ':'));
    server.addresses[0] = server.bound[2];
    server.count = 0;
    server_start(_i); /* at once: the port of one that ended is free */
    ck_assert_str_eq(strrchr(server.bound[0], ':'), strrchr(server.bound[1], ':'));
    server_stop();
}
END_TEST

START_TEST(an_error_names_the_address)
{
    static const struct {
        const char *address;
        int error;
    } cases[] = {
        {"http://127.0.0.1:1", -EINVAL},       {"tcp://example.org:80", -EINVAL},
        {"tcp://127.0.0.1", -EINVAL},          {"tcp://127.0.0.1:65536", -EINVAL},
        {"tcp4://[::1]:0", -EINVAL},           {"tcp6://127.0.0.1:0", -EINVAL},
        {"unix://relative", -EINVAL},          {"unix:///tmp/x?reuseport=true", -EINVAL},
        {"tcp://127.0.0.1:0?mode=1", -EINVAL}, {"tcp://127.0.0.1:0?reuseport=maybe", -EINVAL},
        {"unix:///nowhere/at/all", -ENOENT},   {"udp://198.51.100.1:0", -EADDRNOTAVAIL},
    };
    struct rouse_events none = {.loops = 2, .backend = (enum rouse_backend)_i};
    struct rouse_error e;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *const both[] = {"tcp://127.0.0.1:0", cases[i].address};
        int r = rouse_serve(&none, both, 2, &e);

        if (_i == ROUSE_BACKEND_IO_URING && strstr(e.message, "event loop"))
            return; /* no io_uring here */
        ck_assert_msg(r == cases[i].error, "%s: %d: %s", cases[i].address, r, e.message);
        ck_assert_int_eq(e.code, -r);
        ck_assert_msg(!strncmp(e.message, cases[i].address, strcspn(cases[i].address, "?")),
                      "%s: %s", cases[i].address, e.message);
    }
    ck_assert_int_eq(rouse_serve(&none, &cases[0].address, 1, NULL), -EINVAL);
    none.loops = 2000;
    ck_assert_int_eq(rouse_serve(&none, NULL, 0, &e), -EINVAL);
}
END_TEST

START_TEST(a_live_socket_is_refused_a_stale_one_replaced)
{
    char address[64];
    const char *text = address;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct rouse_events none = {.backend = (enum rouse_backend)_i};
    struct rouse_error e;
    int fd;

    snprintf(address, sizeof(address), "unix:///tmp/rouse-serve-stale-%d", getpid());
    server.events = (struct rouse_events){.data = echo};
    server.addresses[0] = address;
    server_start(_i);
    ck_assert_int_eq(rouse_serve(&none, &text, 1, &e), -EADDRINUSE);
    ck_assert_ptr_ne(strstr(e.message, address), NULL);
    server_stop();

    snprintf(un.sun_path, sizeof(un.sun_path), "%s", address + 7);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    close(fd);
    server.handle = NULL;
    server_start(_i);
    fd = dial(address);
    say(fd, "x");
    hear(fd, "x");
    server_stop();
    hear_end(fd);
    close(fd);
}
END_TEST

/* ---- events */

static atomic_int opened_count, closed_count, closed_error, prewrites;

static enum rouse_action greet(struct rouse_conn *c, struct rouse_conn_options *options,
                               struct rouse_output *out)
{
    ck_assert_ptr_eq(rouse_conn_context(c), NULL);
    rouse_conn_set_context(c, &opened_count);
    options->reuse_input_buffer = true;
    opened_count++;
    rouse_append_text(out, "hello\n");
    return ROUSE_NONE;
}
static enum rouse_action count_closed(struct rouse_conn *c, int error)
{
    ck_assert_ptr_eq(rouse_conn_context(c), &opened_count);
    ck_assert_ptr_eq(rouse_server_user(rouse_conn_server(c)), &server);
    closed_error = error;
    closed_count++;
    return ROUSE_NONE;
}
static void count_prewrite(struct rouse_conn *c)
{
    (void)c;
    prewrites++;
}
static enum rouse_action lines(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    const char *at = in->data, *last = in->data + in->size, *end;

    ck_assert_ptr_eq(rouse_conn_context(c), &opened_count);
    while ((end = memchr(at, '\n', (size_t)(last - at)))) {
        if (end - at == 4 && !memcmp(at, "quit", 4)) {
            rouse_append_text(out, "bye\n");
            return ROUSE_CLOSE;
        }
        rouse_appendf(out, "<%.*s>\n", (int)(end - at), at);
        at = end + 1;
    }
    in->keep = (size_t)(last - at);
    return ROUSE_NONE;
}

START_TEST(a_connection_from_opened_to_closed)
{
    struct linger reset = {.l_onoff = 1};
    int fd;

    server.events = (struct rouse_events){.user = &server,
                                          .opened = greet,
                                          .closed = count_closed,
                                          .prewrite = count_prewrite,
                                          .data = lines};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial(server.bound[0]);
    hear(fd, "hello\n");
    ck_assert_int_eq(prewrites, 1);
    for (const char *p = "one byte\n"; *p; p++) /* kept until the line is there */
        say(fd, (char[]){*p, '\0'});
    hear(fd, "<one byte>\n");
    ck_assert_int_eq(prewrites, 2);
    say(fd, "a\nb\nquit\nnever");
    hear(fd, "<a>\n<b>\nbye\n");
    hear_end(fd);
    close(fd);
    AWAIT(closed_count == 1);
    ck_assert_int_eq(closed_error, 0);

    fd = dial(server.bound[0]);
    hear(fd, "hello\n");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    AWAIT(closed_count == 2);
    ck_assert_int_eq(closed_error, -ECONNRESET);
    ck_assert_int_eq(opened_count, 2);
    server_stop();
}
END_TEST

static atomic_int stops;
static enum rouse_action stop_at_close(struct rouse_conn *c, int error)
{
    (void)c, (void)error;
    stops++;
    return ROUSE_SHUTDOWN;
}
static enum rouse_action never_serve(struct rouse_server *s)
{
    (void)s;
    return ROUSE_SHUTDOWN;
}

START_TEST(shutdown_by_any_event)
{
    const char *const address = "tcp://127.0.0.1:0";
    struct rouse_events none = {.serving = never_serve, .backend = (enum rouse_backend)_i, .loops = 3};
    struct rouse_error e;
    int r = rouse_serve(&none, &address, 1, &e);

    if (r < 0 && _i == ROUSE_BACKEND_IO_URING)
        return;
    ck_assert_msg(r == 0, "%s", e.message);
    server.events = (struct rouse_events){.data = echo, .closed = stop_at_close, .loops = 3};
    server.addresses[0] = address;
    server_start(_i);
    close(dial(server.bound[0]));
    server_join();
    ck_assert_int_eq(stops, 1);
}
END_TEST

START_TEST(loops_of_all_numbers)
{
    cpu_set_t mine;

    ck_assert_int_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    server.addresses[0] = "tcp://127.0.0.1:0";
    for (int n = -1; n <= 5; n += 2) {
        server.events = (struct rouse_events){.data = echo, .loops = n};
        server.handle = NULL;
        server_start(_i);
        ck_assert_int_eq((int)rouse_server_loops(server.handle), n < 0 ? CPU_COUNT(&mine) : n);
        server_stop();
    }
}
END_TEST

/* ---- wake */

static struct later {
    _Atomic(struct rouse_conn *) conn; /* a semaphore orders it; the ring in between is not seen by TSan */
    sem_t asked;
    atomic_int answer; /* 0: not yet */
    atomic_bool closed;
} later;

static enum rouse_action answer_later(struct rouse_conn *c, struct rouse_input *in,
                                      struct rouse_output *out)
{
    if (in->size) {
        later.conn = rouse_conn_ref(c);
        sem_post(&later.asked);
    } else if (later.answer) {
        rouse_appendf(out, "%d\n", atomic_exchange(&later.answer, 0));
    }
    return ROUSE_NONE;
}
static enum rouse_action later_closed(struct rouse_conn *c, int error)
{
    (void)c, (void)error;
    later.closed = true;
    return ROUSE_NONE;
}

static void start_later(int backend)
{
    sem_init(&later.asked, 0, 0);
    server.events = (struct rouse_events){.data = answer_later, .closed = later_closed, .loops = 2};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(backend);
}
static void answer(int n)
{
    later.answer = n;
    rouse_wake(later.conn);
    rouse_conn_unref(later.conn);
}

START_TEST(an_answer_from_another_thread)
{
    int fd;

    start_later(_i);
    fd = dial(server.bound[0]);
    for (int i = 1; i <= 50; i++) {
        char text[16];

        say(fd, "?");
        sem_wait(&later.asked);
        snprintf(text, sizeof(text), "%d\n", i);
        answer(i);
        hear(fd, text);
    }
    close(fd);
    server_stop();
}
END_TEST

START_TEST(a_half_closed_peer_gets_its_late_answer)
{
    int fd;

    start_later(_i);
    fd = dial(server.bound[0]);
    say(fd, "?");
    shutdown(fd, SHUT_WR);
    sem_wait(&later.asked);
    answer(7);
    hear(fd, "7\n");
    hear_end(fd);
    close(fd);
    server_stop();
}
END_TEST

START_TEST(a_referenced_connection_may_be_woken_after_its_end)
{
    struct linger reset = {.l_onoff = 1};
    int fd;

    start_later(_i);
    fd = dial(server.bound[0]);
    say(fd, "?");
    sem_wait(&later.asked);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    AWAIT(later.closed);
    rouse_wake(later.conn);
    answer(1);
    server_stop();
    ck_assert_int_eq(later.answer, 1); /* data() did not run */
}
END_TEST

static void *wake_much(void *arg)
{
    for (int i = 0; i < 2000; i++)
        rouse_wake(arg);
    rouse_conn_unref(arg);
    return NULL;
}

START_TEST(wakes_of_many_threads_at_once)
{
    pthread_t threads[4];
    int fd;

    start_later(_i);
    fd = dial(server.bound[0]);
    for (int i = 0; i < 4; i++) {
        say(fd, "?");
        sem_wait(&later.asked);
        pthread_create(&threads[i], NULL, wake_much, later.conn);
    }
    close(fd);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    server_stop();
}
END_TEST

/* ---- detach and options */

static struct {
    atomic_int fd;
    char rest[16];
    size_t n;
} taken = {.fd = -1};

static enum rouse_action keep_alive(struct rouse_conn *c, struct rouse_conn_options *options,
                                    struct rouse_output *out)
{
    (void)c, (void)out;
    options->tcp_keepalive_s = 77;
    return ROUSE_NONE;
}
/* "N" bytes of answer, then the descriptor, with what follows the 'd'. */
static enum rouse_action detach_at_d(struct rouse_conn *c, struct rouse_input *in,
                                     struct rouse_output *out)
{
    size_t n = 8 << 20;

    (void)c;
    memset(rouse_reserve(out, n), 'x', n);
    rouse_commit(out, n);
    in->keep = in->size - 1;
    return ROUSE_DETACH;
}
static enum rouse_action take(struct rouse_conn *c, int fd, const void *rest, size_t n)
{
    (void)c;
    ck_assert_uint_le(n, sizeof(taken.rest));
    memcpy(taken.rest, rest, n);
    taken.n = n;
    taken.fd = fd;
    return ROUSE_NONE;
}

START_TEST(detach_after_the_output_with_the_rest)
{
    static char got[8 << 20];
    int fd, seconds = 0, on = 0, flags;
    socklen_t size = sizeof(int);
    size_t have = 0;

    server.events = (struct rouse_events){
        .opened = keep_alive, .data = detach_at_d, .detached = take, .closed = stop_at_close};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial_with(server.bound[0], 65536);
    say(fd, "drest");
    while (have < sizeof(got)) {
        ssize_t r = receive(fd, got + have, sizeof(got) - have, 0);

        ck_assert_int_gt(r, 0);
        ck_assert_int_eq(taken.fd, have == 0 ? -1 : taken.fd);
        have += (size_t)r;
    }
    AWAIT(taken.fd >= 0);
    ck_assert_uint_eq(taken.n, 4);
    ck_assert_int_eq(memcmp(taken.rest, "rest", 4), 0);
    ck_assert_int_eq(getsockopt(taken.fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
    ck_assert_int_eq(on, 1);
    ck_assert_int_eq(getsockopt(taken.fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &size), 0);
    ck_assert_int_eq(seconds, 77);
    server_stop(); /* the descriptor outlives it */
    flags = fcntl(taken.fd, F_GETFL);
    ck_assert_int_eq(fcntl(taken.fd, F_SETFL, flags & ~O_NONBLOCK), 0);
    say(fd, "still");
    hear(taken.fd, "still");
    say(taken.fd, "there");
    hear(fd, "there");
    ck_assert_int_eq(stops, 0);
    close(taken.fd);
    close(fd);
}
END_TEST

/* Without reuse_input_buffer the bytes stay, whatever other connections send meanwhile. */
static const char *_Atomic mine[2];
static enum rouse_action remember(struct rouse_conn *c, struct rouse_input *in,
                                  struct rouse_output *out)
{
    (void)c;
    if (!strncmp(in->data, "first", 5)) {
        mine[0] = in->data;
        rouse_append_text(out, "ok");
    } else {
        mine[1] = in->data;
        rouse_append(out, mine[0], 5);
    }
    return ROUSE_NONE;
}

START_TEST(input_is_the_connections_own_or_shared)
{
    for (int shared = 0; shared < 2; shared++) {
        int a, b;

        server.events =
            (struct rouse_events){.data = remember, .opened = shared ? shared_input : NULL};
        server.addresses[0] = "tcp://127.0.0.1:0";
        server.handle = NULL;
        server_start(_i);
        a = dial(server.bound[0]);
        b = dial(server.bound[0]);
        say(a, "first");
        hear(a, "ok");
        say(b, "other");
        if (shared && _i == ROUSE_BACKEND_EPOLL) {
            hear(b, "other"); /* one buffer, overwritten */
            ck_assert_ptr_eq(mine[0], mine[1]);
        } else if (!shared) {
            hear(b, "first");
            ck_assert_ptr_ne(mine[0], mine[1]);
        }
        close(a);
        close(b);
        server_stop();
    }
}
END_TEST

SERVE_MAIN("serve", every_kind_of_address_at_once, no_host_is_all_addresses,
           the_families_share_a_port, an_error_names_the_address,
           a_live_socket_is_refused_a_stale_one_replaced, a_connection_from_opened_to_closed,
           shutdown_by_any_event, loops_of_all_numbers, an_answer_from_another_thread,
           a_half_closed_peer_gets_its_late_answer,
           a_referenced_connection_may_be_woken_after_its_end, wakes_of_many_threads_at_once,
           detach_after_the_output_with_the_rest, input_is_the_connections_own_or_shared)
