/* What evio has wrong, and what the kernel and hostile peers do: on every backend. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "backends.h"
#include "turn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;

/* ---- the eventfd is drained */
static void nothing(struct mail *m)
{
    (void)m;
}
static void *post_one(void *arg)
{
    loop_post(loop, arg);
    return NULL;
}

START_TEST(a_wake_up_costs_one_turn_and_no_busy_loop)
{
    struct mail m = {.fn = nothing};
    pthread_t thread;
    uint64_t turns;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, post_one, &m), 0);
    run_for(loop, 50 * NS_PER_MS);
    pthread_join(thread, NULL);
    turns = loop_stats(loop)->turns;
    run_for(loop, 50 * NS_PER_MS);
    ck_assert_uint_eq(loop_stats(loop)->mails, 1);
    ck_assert_uint_le(loop_stats(loop)->turns - turns, 5);
    loop_free(loop);
}
END_TEST

/* ---- one new connection wakes one loop */
static atomic_int taken;
struct taker {
    struct loop *loop;
    struct listener *ls;
    pthread_t thread;
    long sleeps; /* times its thread went to sleep: once a wake-up */
};
static void close_it(void *user, int fd)
{
    (void)user;
    close(fd);
    atomic_fetch_add(&taken, 1);
}
static void *take(void *arg)
{
    struct taker *t = arg;

    struct rusage used;

    loop_run(t->loop);
    getrusage(RUSAGE_THREAD, &used);
    t->sleeps = used.ru_nvcsw;
    t->ls = listener_close(t->ls);
    return NULL;
}

START_TEST(a_connection_wakes_one_of_several_loops)
{
    enum { CONNECTIONS = 300, LOOPS = 3 };
    struct taker takers[LOOPS];
    struct sockaddr_storage sa;
    socklen_t size;
    long sleeps = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(address_parse("tcp://127.0.0.1:0", &sa, &size), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, size), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    size = sizeof(sa);
    getsockname(fd, (struct sockaddr *)&sa, &size);
    for (int i = 0; i < LOOPS; i++) {
        struct taker *t = &takers[i];

        ck_assert_int_eq(loop_new(&t->loop), 0);
        ck_assert_int_eq(listener_open_fd(t->loop, dup(fd), close_it, NULL, &t->ls), 0);
        ck_assert_int_eq(pthread_create(&t->thread, NULL, take, t), 0);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        uint64_t deadline = clock_monotonic_ns() + 10 * NS_PER_S;
        int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(connect(c, (struct sockaddr *)&sa, size), 0);
        while (atomic_load(&taken) <= i && clock_monotonic_ns() < deadline)
            ;
        ck_assert_int_eq(atomic_load(&taken), i + 1);
        close(c);
    }
    for (int i = 0; i < LOOPS; i++) {
        loop_stop(takers[i].loop);
        pthread_join(takers[i].thread, NULL);
        sleeps += takers[i].sleeps;
        loop_free(takers[i].loop);
    }
    /* Waking all would be LOOPS sleeps a connection. */
    ck_assert_int_le(sleeps, CONNECTIONS * 3 / 2);
    close(fd);
}
END_TEST

/* ---- faults of the kernel */
static int aborts;
static int abort_accepts(struct loop *l, enum fault_point at, int result)
{
    (void)l;
    if (at != FAULT_ACCEPT || result < 0 || !aborts)
        return result;
    aborts--;
    close(result);
    return -ECONNABORTED;
}
static void stop_at_accept(void *user, int fd)
{
    close_it(user, fd);
    loop_stop(loop);
}

START_TEST(an_aborted_connection_does_not_stop_the_listener)
{
    struct sockaddr_storage sa;
    socklen_t size;
    struct listener *ls;
    char text[128];
    int c[4];

    ck_assert_int_eq(loop_new(&loop), 0);
    loop->fault = abort_accepts;
    aborts = 3;
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, stop_at_accept, NULL, &ls), 0);
    listener_text(ls, text);
    ck_assert_int_eq(address_parse(text, &sa, &size), 0);
    for (int i = 0; i < 4; i++) {
        c[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(c[i], (struct sockaddr *)&sa, size), 0);
    }
    loop_run(loop);
    ck_assert_int_eq(aborts, 0);
    ck_assert_int_eq(atomic_load(&taken), 1);
    for (int i = 0; i < 4; i++)
        close(c[i]);
    listener_close(ls);
    loop_free(loop);
}
END_TEST

static atomic_bool interrupting;
static void on_signal(int sig)
{
    (void)sig;
}
static void *interrupt(void *arg)
{
    while (atomic_load(&interrupting))
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

START_TEST(signals_do_not_end_a_wait_or_lose_a_timer)
{
    struct sigaction a = {.sa_handler = on_signal}; /* no SA_RESTART */
    pthread_t self = pthread_self(), thread;

    sigaction(SIGUSR1, &a, NULL);
    ck_assert_int_eq(loop_new(&loop), 0);
    atomic_store(&interrupting, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt, &self), 0);
    for (int i = 0; i < 20; i++)
        run_for(loop, 2 * NS_PER_MS);
    atomic_store(&interrupting, false);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(loop_stats(loop)->timers, 20);
    loop_free(loop);
}
END_TEST

/* ---- timers */
START_TEST(a_million_timers_cost_the_logarithm)
{
    enum { N = 1000000, LOG = 20 };
    struct loop_timer *t = calloc(N, sizeof(*t));
    uint64_t seed = 1, before;

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int round = 0; round < 2; round++) { /* set, then moved */
        before = loop_stats(loop)->timer_steps;
        for (int i = 0; i < N; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            loop_timer_set(loop, &t[i], NS_PER_S + (seed >> 20));
        }
        ck_assert_uint_le(loop_stats(loop)->timer_steps - before, (uint64_t)N * 2 * (LOG + 1));
    }
    before = loop_stats(loop)->timer_steps;
    for (int i = 0; i < N; i++)
        loop_timer_cancel(loop, &t[i]);
    ck_assert_uint_le(loop_stats(loop)->timer_steps - before, (uint64_t)N * (LOG + 1));
    loop_free(loop);
    free(t);
}
END_TEST

static uint64_t fired_at;
static void note_time(struct loop_timer *t)
{
    fired_at = clock_monotonic_ns();
    (void)t;
    loop_stop(loop);
}

START_TEST(a_timer_is_not_rounded_to_the_millisecond)
{
    struct loop_timer t = {.fn = note_time};
    bool exact = false;

    ck_assert_int_eq(loop_new(&loop), 0);
    /* Rounding up would make every one of them late; a busy machine makes some. */
    for (int i = 0; i < 2000 && !exact; i++) {
        uint64_t at = clock_monotonic_ns() + 300 * NS_PER_US;

        loop_timer_set(loop, &t, at);
        loop_run(loop);
        ck_assert_uint_ge(fired_at, at);
        exact = fired_at < at + 500 * NS_PER_US;
    }
    ck_assert(exact);
    loop_free(loop);
}
END_TEST

/* ---- streams */
struct stream {
    struct conn *conn;
    size_t got, chunk, stop_at;
    uint64_t sum;
    int closed, error;
};
static size_t add_up(struct conn *c, const uint8_t *in, size_t n)
{
    struct stream *s = conn_user(c);

    for (size_t i = 0; i < n; i++)
        s->sum = s->sum * 31 + in[i];
    s->got += n;
    if (s->stop_at && s->got >= s->stop_at)
        loop_stop(loop);
    return n;
}
static void note_closed(struct conn *c, int error)
{
    struct stream *s = conn_user(c);

    s->conn = NULL;
    s->closed++;
    s->error = error;
}
static const struct conn_ops stream_ops = {.on_data = add_up, .on_closed = note_closed};

static void tcp_pair(int ret[2], int buffer)
{
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage sa;
    socklen_t size;

    ck_assert_int_eq(address_parse("tcp://127.0.0.1:0", &sa, &size), 0);
    if (buffer)
        setsockopt(ls, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    ck_assert_int_eq(bind(ls, (struct sockaddr *)&sa, size), 0);
    ck_assert_int_eq(listen(ls, 1), 0);
    size = sizeof(sa);
    getsockname(ls, (struct sockaddr *)&sa, &size);
    ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer)
        setsockopt(ret[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    ck_assert_int_eq(connect(ret[0], (struct sockaddr *)&sa, size), 0);
    ret[1] = accept(ls, NULL, NULL);
    ck_assert_int_ge(ret[1], 0);
    close(ls);
}

START_TEST(megabytes_through_tiny_buffers_keep_their_order)
{
    enum { TOTAL = 4 << 20 };
    struct stream a = {0}, b = {.stop_at = TOTAL};
    uint8_t *bytes = malloc(TOTAL);
    uint64_t sum = 0;
    size_t at = 0;
    int fds[2];

    tcp_pair(fds, 4096);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    ck_assert_int_eq(conn_open(loop, fds[1], &stream_ops, NULL, &b, &b.conn), 0);
    for (size_t i = 0; i < TOTAL; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
        sum = sum * 31 + bytes[i];
    }
    for (size_t step = 1; at < TOTAL; step = step * 5 % 60013) { /* appended while some is pending */
        size_t n = step < TOTAL - at ? step : TOTAL - at;

        ck_assert_int_eq(conn_write(a.conn, bytes + at, n), 0);
        at += n;
        if (step % 3 == 0)
            run_for(loop, 100 * NS_PER_US);
    }
    while (b.got < TOTAL)
        loop_run(loop);
    ck_assert_uint_eq(b.got, TOTAL);
    ck_assert_uint_eq(b.sum, sum);
    ck_assert_uint_eq(conn_sent(a.conn), TOTAL);
    ck_assert_uint_gt(loop_stats(loop)->partial_writes, 0);
    conn_abort(a.conn, 0);
    conn_abort(b.conn, 0);
    loop_free(loop);
    free(bytes);
}
END_TEST

static int file_of(size_t n, uint8_t seed)
{
    char path[] = "/tmp/rouse-faults-XXXXXX";
    uint8_t *bytes = malloc(n);
    int fd = mkstemp(path);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 7 + seed);
    ck_assert_int_eq(pwrite(fd, bytes, n, 0), (ssize_t)n);
    unlink(path);
    free(bytes);
    return fd;
}

START_TEST(files_go_out_in_order_with_what_is_written)
{
    enum { ONE = 3 << 20, TWO = 70000 };
    struct stream a = {0}, b = {.stop_at = 5 + ONE - 10 + 6 + TWO + 3};
    uint64_t sum = 0;
    int fds[2], probe;

    tcp_pair(fds, 8192);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    ck_assert_int_eq(conn_open(loop, fds[1], &stream_ops, NULL, &b, &b.conn), 0);
    conn_write(a.conn, "begin", 5);
    ck_assert_int_eq(conn_send_file(a.conn, file_of(ONE, 1), 10, ONE - 10), 0);
    ck_assert(conn_congested(a.conn));
    conn_write(a.conn, "middle", 6);
    probe = file_of(TWO, 2);
    ck_assert_int_eq(conn_send_file(a.conn, probe, 0, TWO), 0);
    conn_write(a.conn, "end", 3);
    conn_close(a.conn); /* after all of it */
    loop_run(loop);
    for (const char *p = "begin"; *p; p++)
        sum = sum * 31 + (uint8_t)*p;
    for (size_t i = 10; i < ONE; i++)
        sum = sum * 31 + (uint8_t)(i * 7 + 1);
    for (const char *p = "middle"; *p; p++)
        sum = sum * 31 + (uint8_t)*p;
    for (size_t i = 0; i < TWO; i++)
        sum = sum * 31 + (uint8_t)(i * 7 + 2);
    for (const char *p = "end"; *p; p++)
        sum = sum * 31 + (uint8_t)*p;
    ck_assert_uint_eq(b.got, b.stop_at);
    ck_assert_uint_eq(b.sum, sum);
    ck_assert_int_eq(fcntl(probe, F_GETFD), -1); /* taken over */
    while (!a.closed || !b.closed)
        run_for(loop, NS_PER_MS);
    ck_assert_int_eq(a.error, 0);
    loop_free(loop);
}
END_TEST

START_TEST(a_file_shorter_than_promised_ends_the_connection)
{
    struct stream a = {0};
    int fds[2], waiting;

    tcp_pair(fds, 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    ck_assert_int_eq(conn_send_file(a.conn, file_of(100, 0), 0, 200), 0);
    waiting = file_of(1, 0);
    ck_assert_int_eq(conn_send_file(a.conn, waiting, 0, 1), 0);
    while (!a.closed)
        run_for(loop, NS_PER_MS);
    ck_assert_int_eq(a.error, -EIO);
    ck_assert_int_eq(fcntl(waiting, F_GETFD), -1); /* closed with the connection */
    close(fds[1]);
    loop_free(loop);
}
END_TEST

START_TEST(a_file_for_a_gone_peer_is_an_error_not_a_signal)
{
    struct stream a = {0};
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    conn_pause(a.conn);
    close(fds[1]);
    ck_assert_int_eq(conn_send_file(a.conn, file_of(100, 0), 0, 100), 0);
    while (!a.closed)
        run_for(loop, NS_PER_MS);
    ck_assert_int_eq(a.error, -EPIPE);
    loop_free(loop);
}
END_TEST

START_TEST(more_input_at_once_than_there_are_buffers)
{
    enum { PAIRS = 64, EACH = 150000 };
    static uint8_t chunk[EACH];
    struct stream s[PAIRS] = {{0}};
    int fds[PAIRS][2], one = EACH * 2;
    size_t sent = 0;

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int i = 0; i < PAIRS; i++) {
        ssize_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds[i]), 0);
        setsockopt(fds[i][1], SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
        n = send(fds[i][1], chunk, EACH, MSG_DONTWAIT);
        ck_assert_int_gt(n, 0);
        sent += (size_t)n;
        ck_assert_int_eq(conn_open(loop, fds[i][0], &stream_ops, NULL, &s[i], &s[i].conn), 0);
    }
    while (loop_stats(loop)->bytes_in < sent)
        run_for(loop, NS_PER_MS);
    ck_assert_uint_eq(loop_stats(loop)->bytes_in, sent);
    if (!strcmp(loop_backend_name(loop), "io_uring"))
        ck_assert_uint_gt(loop_stats(loop)->buffers_exhausted, 0);
    for (int i = 0; i < PAIRS; i++) {
        conn_abort(s[i].conn, 0);
        close(fds[i][1]);
    }
    loop_free(loop);
}
END_TEST

START_TEST(a_paused_connection_keeps_a_bounded_rest)
{
    static uint8_t chunk[1 << 20];
    struct stream a = {0}, b = {0};
    uint8_t *rest;
    size_t n;
    int fds[2];

    tcp_pair(fds, 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    ck_assert_int_eq(conn_open(loop, fds[1], &stream_ops, NULL, &b, &b.conn), 0);
    run_for(loop, NS_PER_MS);
    conn_pause(b.conn);
    for (int i = 0; i < 64; i++) {
        conn_write(a.conn, chunk, sizeof(chunk));
        run_for(loop, NS_PER_MS);
    }
    ck_assert_uint_eq(b.got, 0);
    ck_assert_int_eq(conn_take_kept(b.conn, &rest, &n), 0);
    ck_assert_uint_le(n, 512 << 10);
    free(rest);
    conn_abort(a.conn, 0);
    conn_abort(b.conn, 0);
    loop_free(loop);
}
END_TEST

START_TEST(a_reset_while_bytes_are_pending_is_told_once)
{
    static uint8_t chunk[8 << 20];
    struct linger reset = {.l_onoff = 1};
    struct stream a = {0};
    int fds[2];

    tcp_pair(fds, 4096);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    conn_write(a.conn, chunk, sizeof(chunk));
    run_for(loop, NS_PER_MS);
    ck_assert_uint_gt(conn_pending(a.conn), 0);
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fds[1]);
    while (!a.closed)
        run_for(loop, NS_PER_MS);
    ck_assert_int_eq(a.closed, 1);
    ck_assert_int_eq(a.error, -ECONNRESET);
    loop_free(loop);
}
END_TEST

START_TEST(a_half_closed_peer_that_reads_slowly_gets_all)
{
    enum { TOTAL = 4 << 20 };
    static uint8_t chunk[TOTAL], in[64 << 10];
    struct stream a = {0};
    size_t got = 0;
    uint64_t turns;
    int fds[2];

    tcp_pair(fds, 4096);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    shutdown(fds[1], SHUT_WR);
    conn_write(a.conn, chunk, TOTAL);
    run_for(loop, NS_PER_MS); /* its end is read: the connection closes when all is written */
    turns = loop_stats(loop)->turns;
    run_for(loop, 50 * NS_PER_MS);
    ck_assert_uint_le(loop_stats(loop)->turns - turns, 20); /* no spinning on its half-close */
    while (got < TOTAL) {
        ssize_t n = recv(fds[1], in, sizeof(in), MSG_DONTWAIT);

        ck_assert(n != 0);
        if (n > 0)
            got += (size_t)n;
        else
            run_for(loop, NS_PER_MS / 4);
    }
    while (!a.closed)
        run_for(loop, NS_PER_MS);
    ck_assert_int_eq(a.error, 0);
    close(fds[1]);
    loop_free(loop);
}
END_TEST

START_TEST(a_storm_of_ends_touches_nothing_that_is_gone)
{
    enum { PAIRS = 40, STEPS = 4000 };
    static uint8_t chunk[70000];
    struct stream s[2 * PAIRS] = {{0}};
    uint32_t seed = 42;
    uint8_t *rest;
    size_t n;
    int fd;

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int step = 0; step < STEPS; step++) {
        struct stream *a;
        uint32_t what;

        seed = seed * 1664525 + 1013904223;
        a = &s[(seed >> 8) % (2 * PAIRS)];
        what = (seed >> 20) % 12;
        if (!a->conn) {
            struct stream *b = &s[(a - s) ^ 1];
            int fds[2];

            if (b->conn)
                conn_abort(b->conn, 0);
            while (b->conn)
                run_for(loop, NS_PER_MS / 8);
            if (what % 2)
                tcp_pair(fds, 0);
            else
                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
            ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, a, &a->conn), 0);
            ck_assert_int_eq(conn_open(loop, fds[1], &stream_ops, NULL, b, &b->conn), 0);
        }
        if (what < 3)
            conn_write(a->conn, chunk, what == 2 ? sizeof(chunk) : 100);
        else if (what == 3)
            conn_pause(a->conn);
        else if (what == 4)
            conn_resume(a->conn);
        else if (what == 5)
            conn_close(a->conn);
        else if (what == 6)
            conn_abort(a->conn, -EPROTO);
        else if (what == 7)
            conn_linger(a->conn);
        else if (what == 8 && (fd = conn_detach(a->conn, &rest, &n)) >= 0) {
            a->conn = NULL;
            free(rest);
            close(fd);
        }
        if (what > 9)
            run_for(loop, NS_PER_MS / 16);
    }
    for (int i = 0; i < 2 * PAIRS; i++)
        if (s[i].conn)
            conn_abort(s[i].conn, 0);
    run_for(loop, NS_PER_MS);
    loop_free(loop);
}
END_TEST

/* ---- threads and processes */
static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

START_TEST(another_thread_takes_the_loop_over)
{
    struct stream a = {.stop_at = 1};
    pthread_t thread;
    int fds[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    tcp_pair(fds, 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &stream_ops, NULL, &a, &a.conn), 0);
    for (int i = 0; i < 3; i++) {
        a.stop_at = a.got + 1;
        ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, loop), 0);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        pthread_join(thread, NULL);
        ck_assert_uint_eq(a.got, a.stop_at);
    }
    a.stop_at = 4;
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    loop_run(loop);
    ck_assert_uint_eq(a.got, 4);
    conn_abort(a.conn, 0);
    close(fds[1]);
    loop_free(loop);
}
END_TEST

static void keep_it(void *user, int fd)
{
    static struct stream all[64];
    static int n;

    (void)user;
    ck_assert_int_eq(conn_open(loop, fd, &stream_ops, NULL, &all[n], &all[n].conn), 0);
    n++;
}

START_TEST(a_killed_process_leaves_its_port_and_its_peers)
{
    struct sockaddr_storage sa;
    socklen_t size;
    char text[128] = "tcp://127.0.0.1:0";

    for (int round = 0; round < 10; round++) {
        struct timeval patience = {.tv_sec = 10};
        struct listener *ls;
        int told[2], peers[8], status;
        pid_t child;

        ck_assert_int_eq(pipe(told), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (!child) {
            if (loop_new(&loop) < 0 || listener_open(loop, text, NULL, keep_it, NULL, &ls) < 0)
                _exit(1); /* the port is still held by the one before */
            listener_text(ls, text);
            if (write(told[1], text, sizeof(text)) != sizeof(text))
                _exit(1);
            loop_run(loop);
            _exit(0);
        }
        close(told[1]);
        ck_assert_int_eq(read(told[0], text, sizeof(text)), sizeof(text));
        close(told[0]);
        ck_assert_int_eq(address_parse(text, &sa, &size), 0);
        for (int i = 0; i < 8; i++) {
            peers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            ck_assert_int_eq(connect(peers[i], (struct sockaddr *)&sa, size), 0);
            ck_assert_int_eq(send(peers[i], "x", 1, MSG_NOSIGNAL), 1);
        }
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(loop_new(&loop), 0);
        ck_assert_int_eq(listener_open(loop, text, NULL, keep_it, NULL, &ls), 0);
        listener_close(ls);
        loop_free(loop);
        for (int i = 0; i < 8; i++) { /* they learn of it */
            char octet;
            ssize_t n;

            setsockopt(peers[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            do /* the end of a ring of our own may interrupt us */
                n = recv(peers[i], &octet, 1, 0);
            while (n < 0 && errno == EINTR);
            ck_assert(n == 0 || errno == ECONNRESET);
            close(peers[i]);
        }
    }
}
END_TEST

START_TEST(an_idle_connection_is_small)
{
    ck_assert_uint_le(sizeof(struct conn), 256);
}
END_TEST

BACKENDS_MAIN(
    "faults", a_wake_up_costs_one_turn_and_no_busy_loop, a_connection_wakes_one_of_several_loops,
    an_aborted_connection_does_not_stop_the_listener, signals_do_not_end_a_wait_or_lose_a_timer,
    a_million_timers_cost_the_logarithm, a_timer_is_not_rounded_to_the_millisecond,
    megabytes_through_tiny_buffers_keep_their_order, files_go_out_in_order_with_what_is_written,
    a_file_shorter_than_promised_ends_the_connection, a_file_for_a_gone_peer_is_an_error_not_a_signal,
    more_input_at_once_than_there_are_buffers, a_paused_connection_keeps_a_bounded_rest,
    a_reset_while_bytes_are_pending_is_told_once, a_half_closed_peer_that_reads_slowly_gets_all,
    a_storm_of_ends_touches_nothing_that_is_gone, another_thread_takes_the_loop_over,
    a_killed_process_leaves_its_port_and_its_peers, an_idle_connection_is_small)
