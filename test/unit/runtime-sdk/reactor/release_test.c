/* A descriptor that its owner has let go of is really released: its peer sees the end at once, also when
 * the loop does not run any more, and however much else waits in the kernel at that moment. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "backends.h"
#include "turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel does a waiting thread's work in portions of some twenty pieces: more than a few of them. */
enum { PAIRS = 200, CROWD = 5000 };

static struct loop *loop;
static int pairs[PAIRS][2];
static struct loop_watch watches[PAIRS];

static void on_watch(struct loop_watch *w, uint32_t events)
{
    (void)events;
    loop_watch_cancel(loop, w);
}

static void open_pairs(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    for (int i = 0; i < PAIRS; i++)
        ck_assert_int_eq(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[i]), 0);
}

static void watch_pairs(void)
{
    open_pairs();
    for (int i = 0; i < PAIRS; i++) {
        watches[i] = (struct loop_watch){.fd = pairs[i][0], .fn = on_watch};
        ck_assert_int_eq(loop_watch_set(loop, &watches[i], LOOP_READ), 0);
    }
    run_once(loop);
}

static void let_go(int i)
{
    loop_watch_cancel(loop, &watches[i]);
    close(pairs[i][0]);
}

static void assert_released(int i)
{
    char octet;
    ssize_t n = recv(pairs[i][1], &octet, 1, 0);

    ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "%d of %d is still held", i, PAIRS);
    close(pairs[i][1]);
}

START_TEST(a_watch_cancelled_between_runs)
{
    watch_pairs();
    for (int i = 0; i < PAIRS; i++) {
        let_go(i);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

START_TEST(a_watch_cancelled_between_runs_behind_a_crowd)
{
    watch_pairs();
    for (int i = 1; i < PAIRS; i++)
        ck_assert_int_eq(write(pairs[i][1], "x", 1), 1);
    let_go(0);
    assert_released(0);
    for (int i = PAIRS; --i > 0;) {
        let_go(i);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

/* Asked for and not handed over, handed over and told, changed: each is one request in the end. */
START_TEST(a_watch_in_every_state)
{
    watch_pairs();
    for (int i = 0; i < PAIRS; i++) {
        if (i & 1)
            ck_assert_int_eq(write(pairs[i][1], "x", 1), 1);
        if (i & 2)
            ck_assert_int_eq(loop_watch_set(loop, &watches[i], LOOP_READ | LOOP_WRITE), 0);
        if (i & 4)
            ck_assert_int_eq(shutdown(pairs[i][1], SHUT_WR), 0);
    }
    for (int i = 8; i < PAIRS; i += 16) {
        loop_watch_cancel(loop, &watches[i]);
        ck_assert_int_eq(loop_watch_set(loop, &watches[i], LOOP_WRITE), 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        let_go(i);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

static void let_go_of_all(struct loop_timer *t)
{
    (void)t;
    for (int i = 0; i < PAIRS; i++)
        let_go(i);
    loop_stop(loop);
}

START_TEST(watches_cancelled_in_the_last_turn)
{
    struct loop_timer t = {.fn = let_go_of_all};

    watch_pairs();
    loop_timer_set(loop, &t, 1);
    loop_run(loop);
    for (int i = 0; i < PAIRS; i++)
        assert_released(i);
    loop_free(loop);
}
END_TEST

START_TEST(what_hangs_on_a_loop_that_is_freed)
{
    watch_pairs();
    loop_free(loop);
    for (int i = 0; i < PAIRS; i++) {
        close(pairs[i][0]);
        assert_released(i);
    }
}
END_TEST

/* ---- a descriptor has one watch, on every backend */
START_TEST(a_second_watch_is_refused)
{
    struct loop_watch first = {.fn = on_watch}, second = {.fn = on_watch};

    open_pairs();
    for (int i = 0; i < PAIRS; i++) {
        first.fd = second.fd = pairs[i][0];
        ck_assert_int_eq(loop_watch_set(loop, &first, LOOP_READ), 0);
        ck_assert_int_eq(loop_watch_set(loop, &second, LOOP_READ), -EEXIST);
        ck_assert_uint_eq(second.events, 0);
        ck_assert_int_eq(loop_watch_set(loop, &first, LOOP_READ | LOOP_WRITE), 0);
        loop_watch_cancel(loop, &first);
        ck_assert_int_eq(loop_watch_set(loop, &second, LOOP_READ), 0);
        loop_watch_cancel(loop, &second);
        close(pairs[i][0]);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

/* ---- connections and listeners */
static struct conn *conns[PAIRS];

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}
static void on_closed(struct conn *c, int error)
{
    (void)c, (void)error;
}
static const struct conn_ops conn_ops = {.on_data = on_data, .on_closed = on_closed};

static void connect_pairs(void)
{
    open_pairs();
    for (int i = 0; i < PAIRS; i++)
        ck_assert_int_eq(conn_open(loop, pairs[i][0], &conn_ops, NULL, NULL, &conns[i]), 0);
    run_once(loop);
}

static void abort_all(struct loop_timer *t)
{
    for (int i = 0; i < PAIRS; i++)
        conn_abort(conns[i], 0);
    if (t)
        loop_stop(loop);
}

START_TEST(connections_aborted_between_runs)
{
    connect_pairs();
    for (int i = 1; i < PAIRS; i++)
        ck_assert_int_eq(write(pairs[i][1], "x", 1), 1);
    conn_abort(conns[0], 0);
    assert_released(0);
    for (int i = 1; i < PAIRS; i++) {
        conn_abort(conns[i], 0);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

START_TEST(connections_aborted_in_the_last_turn)
{
    struct loop_timer t = {.fn = abort_all};

    connect_pairs();
    loop_timer_set(loop, &t, 1);
    loop_run(loop);
    for (int i = 0; i < PAIRS; i++)
        assert_released(i);
    loop_free(loop);
}
END_TEST

static void answer_and_close_all(struct loop_timer *t)
{
    (void)t;
    for (int i = 0; i < PAIRS; i++) {
        ck_assert_int_eq(conn_write(conns[i], "bye", 3), 0);
        conn_close(conns[i]);
    }
    loop_stop(loop);
}

START_TEST(connections_closed_in_the_last_turn)
{
    struct loop_timer t = {.fn = answer_and_close_all};
    char bye[3];

    connect_pairs();
    loop_timer_set(loop, &t, 1);
    loop_run(loop);
    for (int i = 0; i < PAIRS; i++) {
        ck_assert_int_eq(recv(pairs[i][1], bye, 3, 0), 3);
        assert_released(i);
    }
    loop_free(loop);
}
END_TEST

static void on_accept(void *user, int fd)
{
    (void)user;
    close(fd);
}

static struct listener *listening;
static struct loop_watch crowd[CROWD];

/* Watches that are all ready at the next octet in the pipe; false: too few descriptors here. */
static bool watch_crowd(int ready[2], void (*fn)(struct loop_watch *w, uint32_t events))
{
    ck_assert_int_eq(pipe2(ready, O_NONBLOCK | O_CLOEXEC), 0);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct loop_watch){.fd = fcntl(ready[0], F_DUPFD_CLOEXEC, 0), .fn = fn};
        if (crowd[i].fd < 0) {
            printf("skipped: %d descriptors: %s\n", CROWD, strerror(errno));
            return false;
        }
        ck_assert_int_eq(loop_watch_set(loop, &crowd[i], LOOP_READ), 0);
    }
    return true;
}

START_TEST(a_listener_closed_behind_a_crowd)
{
    char text[128] = "tcp://127.0.0.1:0";
    int ready[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, text, NULL, on_accept, NULL, &listening), 0);
    listener_text(listening, text);
    if (!watch_crowd(ready, on_watch))
        return;
    run_once(loop);
    ck_assert_int_eq(write(ready[1], "x", 1), 1);
    listener_close(listening);
    ck_assert_int_eq(listener_open(loop, text, NULL, on_accept, NULL, &listening), 0);
    run_once(loop);
    listener_close(listening);
    loop_free(loop);
}
END_TEST

static void close_listener(struct loop_watch *w, uint32_t events)
{
    (void)events;
    listening = listener_close(listening);
    loop_watch_cancel(loop, w);
}

/* More is told at once than io_uring has room for, and the listener's last word is behind it. */
START_TEST(a_listener_closed_in_a_crowd)
{
    char text[128] = "tcp://127.0.0.1:0";
    int ready[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, text, NULL, on_accept, NULL, &listening), 0);
    listener_text(listening, text);
    run_once(loop);
    if (!watch_crowd(ready, close_listener))
        return;
    ck_assert_int_eq(write(ready[1], "x", 1), 1);
    while (listening)
        run_once(loop);
    run_once(loop);
    ck_assert_int_eq(listener_open(loop, text, NULL, on_accept, NULL, &listening), 0);
    listener_close(listening);
    loop_free(loop);
}
END_TEST

BACKENDS_MAIN("release", a_watch_cancelled_between_runs,
              a_watch_cancelled_between_runs_behind_a_crowd, a_watch_in_every_state,
              watches_cancelled_in_the_last_turn, what_hangs_on_a_loop_that_is_freed,
              a_second_watch_is_refused, connections_aborted_between_runs,
              connections_aborted_in_the_last_turn, connections_closed_in_the_last_turn,
              a_listener_closed_behind_a_crowd, a_listener_closed_in_a_crowd)
