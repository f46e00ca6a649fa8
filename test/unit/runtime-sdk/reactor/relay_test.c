/* Two streams joined: order, what was read before, ends one way at a time, a side that takes nothing,
 * a side that breaks, silence. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/relay.h"
#include "unit.h"
#include "turn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static struct loop *loop;
static struct relay *relay;
static int left, right; /* the far ends of the two streams */
static struct conn *conns[2];
static int overs, over_error;
static uint64_t over_bytes[2];

static void on_over(void *user, int error, const uint64_t bytes[2])
{
    ck_assert_ptr_eq(user, &overs);
    overs++;
    over_error = error;
    memcpy(over_bytes, bytes, sizeof(over_bytes));
    relay = NULL;
}
static void start(uint64_t idle_ns, const char *rest)
{
    struct relay_options o = {.idle_ns = idle_ns, .on_over = on_over, .user = &overs};
    int a[2], b[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, b), 0);
    ck_assert_int_eq(conn_open(loop, a[0], NULL, NULL, NULL, &conns[0]), 0);
    ck_assert_int_eq(conn_open(loop, b[0], NULL, NULL, NULL, &conns[1]), 0);
    left = a[1];
    right = b[1];
    ck_assert_int_eq(relay_start(&(struct relay_side){conns[0], (const uint8_t *)rest, strlen(rest)},
                                 &(struct relay_side){.conn = conns[1]}, &o, &relay),
                     0);
}
static void finish(void)
{
    relay_free(relay);
    loop_free(loop);
    close(left);
    close(right);
}
/* Waits for exactly this text. */
static void expect(int fd, const char *text)
{
    char got[256];
    size_t n = 0;

    while (n < strlen(text)) {
        ssize_t r = recv(fd, got + n, sizeof(got) - n, 0);

        ck_assert(r > 0 || (r < 0 && errno == EAGAIN));
        n += r > 0 ? (size_t)r : 0;
        if (r < 0)
            run_once(loop);
    }
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_int_eq(memcmp(got, text, n), 0);
}
static void expect_end(int fd)
{
    char octet;
    ssize_t r;

    while ((r = recv(fd, &octet, 1, 0)) < 0 && errno == EAGAIN)
        run_once(loop);
    ck_assert_int_eq(r, 0);
}
static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

START_TEST(bytes_go_both_ways_and_what_was_read_before_goes_first)
{
    start(0, "early ");
    say(left, "hello");
    expect(right, "early hello");
    say(right, "you");
    expect(left, "you");
    ck_assert_uint_eq(relay_bytes(relay), 14);
    ck_assert_int_eq(overs, 0);
    finish();
    ck_assert_int_eq(overs, 0); /* who frees it knows */
}
END_TEST

START_TEST(each_end_is_passed_on_by_itself)
{
    start(0, "");
    say(left, "last");
    shutdown(left, SHUT_WR);
    expect(right, "last");
    expect_end(right);
    ck_assert_int_eq(overs, 0);
    say(right, "still");
    expect(left, "still");
    say(right, "bye");
    shutdown(right, SHUT_WR);
    expect(left, "bye");
    expect_end(left);
    while (!overs)
        run_once(loop);
    run_once(loop);
    ck_assert_int_eq(overs, 1);
    ck_assert_int_eq(over_error, 0);
    ck_assert_uint_eq(over_bytes[0], 4);
    ck_assert_uint_eq(over_bytes[1], 8);
    finish();
}
END_TEST

/* What a side that takes nothing makes the other send: the sockets' and the water marks' bytes, no more. */
START_TEST(a_side_that_takes_nothing_stops_the_other)
{
    enum { TOTAL = 32 << 20, PIECE = 65536 };
    static uint8_t piece[PIECE], in[PIECE];
    size_t sent = 0, got = 0, stalled = 0;

    start(0, "");
    while (stalled < 100) {
        ssize_t n = send(left, piece, PIECE, MSG_NOSIGNAL);

        ck_assert(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        stalled = n > 0 ? 0 : stalled + 1;
        run_once(loop);
        ck_assert_uint_lt(sent, 4 << 20);
    }
    while (got < TOTAL) {
        ssize_t n = recv(right, in, PIECE, 0);

        got += n > 0 ? (size_t)n : 0;
        if (sent < TOTAL) {
            n = send(left, piece, TOTAL - sent < PIECE ? TOTAL - sent : PIECE, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
        run_once(loop);
    }
    ck_assert_uint_eq(got, TOTAL);
    ck_assert_uint_eq(relay_bytes(relay), TOTAL);
    finish();
}
END_TEST

START_TEST(a_side_that_breaks_cuts_the_other)
{
    char octet;
    ssize_t r;

    start(0, "");
    close(right);
    while (!overs) { /* its end is half-close at first; writing to it shows that it is gone */
        send(left, "x", 1, MSG_NOSIGNAL);
        run_once(loop);
    }
    ck_assert_int_eq(overs, 1);
    ck_assert_int_lt(over_error, 0);
    while ((r = recv(left, &octet, 1, 0)) < 0 && errno == EAGAIN)
        run_once(loop);
    ck_assert_int_le(r, 0);
    right = socket(AF_UNIX, SOCK_STREAM, 0);
    finish();
}
END_TEST

START_TEST(silence_ends_it)
{
    start(20 * NS_PER_MS, "x");
    while (!overs)
        run_once(loop);
    ck_assert_int_eq(over_error, -ETIMEDOUT);
    expect(right, "x");
    expect_end(left);
    finish();
}
END_TEST

UNIT_MAIN("relay", bytes_go_both_ways_and_what_was_read_before_goes_first,
          each_end_is_passed_on_by_itself, a_side_that_takes_nothing_stops_the_other,
          a_side_that_breaks_cuts_the_other, silence_ends_it)
