/* Connections between sockets of one loop: order, backpressure, ends of all kinds. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/conn.h"
#include "backends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>

static struct loop *loop;

struct end {
    struct conn *conn;
    struct buffer got;
    size_t take;    /* most bytes consumed a call; 0: all */
    size_t stop_at; /* stop the loop when so many came; 0: never */
    int closed, error, eof, left, drained, connected, data_calls;
    bool stop_on_close, keep_open_on_eof, stop_on_left, stop_on_drained;
    void (*then)(struct end *e);
};

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct end *e = conn_user(c);

    e->data_calls++;
    if (e->take && n > e->take)
        n = e->take;
    buffer_append(&e->got, in, n);
    if (e->stop_at && buffer_size(&e->got) >= e->stop_at)
        loop_stop(loop);
    if (e->then)
        e->then(e);
    return n;
}
static void on_drained(struct conn *c)
{
    struct end *e = conn_user(c);

    e->drained++;
    if (e->stop_on_drained)
        loop_stop(loop);
}
static void on_eof(struct conn *c)
{
    struct end *e = conn_user(c);

    e->eof++;
    if (e->keep_open_on_eof)
        loop_stop(loop);
    else
        conn_close(c);
}
static void on_connected(struct conn *c)
{
    ((struct end *)conn_user(c))->connected++;
}
static void on_closed(struct conn *c, int error)
{
    struct end *e = conn_user(c);

    e->closed++;
    e->error = error;
    e->conn = NULL;
    if (e->stop_on_close)
        loop_stop(loop);
}
static void on_left(struct conn *c)
{
    struct end *e = conn_user(c);

    e->left++;
    if (e->stop_on_left)
        loop_stop(loop);
}
static const struct conn_ops ops = {on_data, on_drained, on_eof, on_connected, on_closed, on_left};

static void pair(struct end *a, struct end *b, const struct conn_options *o)
{
    int fds[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(conn_open(loop, fds[0], &ops, o, a, &a->conn), 0);
    ck_assert_int_eq(conn_open(loop, fds[1], &ops, o, b, &b->conn), 0);
}
static void finish(struct end *a, struct end *b)
{
    if (a->conn)
        conn_abort(a->conn, 0);
    if (b && b->conn)
        conn_abort(b->conn, 0);
    loop_free(loop);
    buffer_done(&a->got);
    if (b)
        buffer_done(&b->got);
}
static void fill(uint8_t *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        p[i] = (uint8_t)(seed >> 16);
    }
}

START_TEST(addresses)
{
    static const char *const good[] = {"tcp://127.0.0.1:8080", "tcp://[::1]:1", "unix:///a/b.sock",
                                       "tcp://0.0.0.0:0"};
    static const char *const bad[] = {"",
                                      "127.0.0.1:80",
                                      "tcp://localhost:80",
                                      "tcp://127.0.0.1",
                                      "tcp://127.0.0.1:",
                                      "tcp://127.0.0.1:65536",
                                      "tcp://::1:80",
                                      "tcp://[::1]",
                                      "tcp://[::1]80",
                                      "tcp://[:80",
                                      "tcp://[]:80",
                                      "unix://relative",
                                      "tcp://1.2.3.4:8x",
                                      "udp://1.2.3.4:8"};
    struct sockaddr_storage sa;
    char text[128], path[200] = "unix:///";
    socklen_t size;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_msg(address_parse(good[i], &sa, &size) == 0, "%s", good[i]);
        address_text(&sa, size, text);
        ck_assert_str_eq(text, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(address_parse(bad[i], &sa, &size) == -EINVAL, "%s", bad[i]);
    memset(path + 8, 'x', 150);
    ck_assert_int_eq(address_parse(path, &sa, &size), -ENAMETOOLONG);
}
END_TEST

START_TEST(writes_are_ordered_and_finished)
{
    enum { TOTAL = 3 << 20 };
    struct end a = {0}, b = {.stop_at = TOTAL};
    uint8_t *sent = malloc(TOTAL);
    size_t at = 0, step = 1;

    fill(sent, TOTAL, 1);
    pair(&a, &b, NULL);
    while (at < TOTAL) { /* small copies, several parts, large direct ones, all in one turn */
        size_t n = step < TOTAL - at ? step : TOTAL - at, half = n / 3;
        struct iovec parts[2] = {{sent + at, half}, {sent + at + half, n - half}};

        ck_assert_int_eq(conn_writev(a.conn, parts, 2), 0);
        at += n;
        step = step * 7 % 100003;
    }
    ck_assert(conn_congested(a.conn));
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&b.got), TOTAL);
    ck_assert_int_eq(memcmp(buffer_bytes(&b.got), sent, TOTAL), 0);
    ck_assert_uint_eq(conn_sent(a.conn), TOTAL);
    ck_assert_uint_eq(conn_pending(a.conn), 0);
    free(sent);
    finish(&a, &b);
}
END_TEST

START_TEST(water_marks)
{
    static uint8_t chunk[10000];
    struct conn_options o = {.high_water = 100000, .low_water = 20000};
    struct end a = {.stop_on_drained = true}, b = {0};
    size_t written = 0;

    pair(&a, &b, &o);
    conn_pause(b.conn);
    while (!conn_congested(a.conn)) {
        conn_write(a.conn, chunk, sizeof(chunk));
        conn_flush(a.conn);
        written += sizeof(chunk);
    }
    ck_assert_uint_gt(conn_pending(a.conn), 100000);
    ck_assert_int_eq(a.drained, 0);
    conn_resume(b.conn);
    loop_run(loop);
    ck_assert_int_eq(a.drained, 1);
    ck_assert_uint_le(conn_pending(a.conn), 20000);
    ck_assert(!conn_congested(a.conn));
    b.stop_at = written;
    if (buffer_size(&b.got) < written)
        loop_run(loop);
    ck_assert_int_eq(a.drained, 1);
    finish(&a, &b);
}
END_TEST

START_TEST(unconsumed_bytes_come_again)
{
    struct end a = {0}, b = {.take = 3, .stop_at = 3};

    pair(&a, &b, NULL);
    conn_write(a.conn, "abcdef", 6);
    loop_run(loop);
    b.stop_at = 9;
    b.take = 0;
    conn_write(a.conn, "ghi", 3);
    loop_run(loop);
    ck_assert_int_eq(b.data_calls, 2);
    ck_assert_int_eq(memcmp(buffer_bytes(&b.got), "abcdefghi", 9), 0);
    finish(&a, &b);
}
END_TEST

static void consume_nothing(struct end *e)
{
    buffer_clear(&e->got);
    e->take = 1;
}

START_TEST(input_past_its_limit_closes)
{
    static uint8_t chunk[5000];
    struct conn_options o = {.input_limit = 4096};
    struct end a = {0}, b = {.take = 1, .then = consume_nothing, .stop_on_close = true};

    pair(&a, &b, &o);
    conn_write(a.conn, chunk, sizeof(chunk));
    loop_run(loop);
    ck_assert_int_eq(b.closed, 1);
    ck_assert_int_eq(b.error, -ENOBUFS);
    finish(&a, &b);
}
END_TEST

static void pause_after_first(struct end *e)
{
    if (e->data_calls == 1) {
        conn_pause(e->conn);
        e->take = 0;
        loop_stop(loop);
    }
}

START_TEST(pause_keeps_and_resume_hands_over)
{
    struct end a = {0}, b = {.take = 2, .then = pause_after_first};

    pair(&a, &b, NULL);
    conn_write(a.conn, "abcdef", 6);
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&b.got), 2);
    conn_resume(b.conn);
    ck_assert_uint_eq(buffer_size(&b.got), 2); /* not before the return */
    b.stop_at = 6;
    loop_run(loop);
    ck_assert_int_eq(memcmp(buffer_bytes(&b.got), "abcdef", 6), 0);
    finish(&a, &b);
}
END_TEST

START_TEST(half_close_is_told_and_the_other_way_still_works)
{
    struct end a = {.stop_at = 5}, b = {.keep_open_on_eof = true};

    pair(&a, &b, NULL);
    ck_assert_int_eq(shutdown(conn_fd(a.conn), SHUT_WR), 0);
    loop_run(loop); /* until on_eof() */
    conn_write(b.conn, "later", 5);
    loop_run(loop);
    ck_assert_int_eq(memcmp(buffer_bytes(&a.got), "later", 5), 0);
    ck_assert_int_eq(b.eof, 1);
    ck_assert_int_eq(b.closed, 0);
    finish(&a, &b);
}
END_TEST

START_TEST(a_paused_owner_learns_that_the_peer_left_and_loses_no_bytes)
{
    struct end a = {0}, b = {.stop_on_left = true, .stop_on_close = true};

    pair(&a, &b, NULL);
    conn_pause(b.conn);
    conn_write(a.conn, "last words", 10);
    conn_close(a.conn);
    loop_run(loop);
    ck_assert_int_eq(b.left, 1);
    ck_assert_uint_eq(buffer_size(&b.got), 0);
    conn_resume(b.conn);
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&b.got), 10);
    ck_assert_int_eq(b.eof, 1);
    ck_assert_int_eq(b.closed, 1);
    ck_assert_int_eq(b.error, 0);
    ck_assert_int_eq(a.closed, 1);
    finish(&a, &b);
}
END_TEST

static struct end accepted[4];
static int accepts;

static void accept_one(void *user, int fd)
{
    (void)user;
    ck_assert_int_lt(accepts, 4);
    accepted[accepts].stop_on_close = true;
    ck_assert_int_eq(conn_open(loop, fd, &ops, NULL, &accepted[accepts], &accepted[accepts].conn), 0);
    accepts++;
}

static struct conn *to_resume;
static void resume_late(struct loop_deferred *d)
{
    (void)d;
    conn_resume(to_resume);
}

START_TEST(shutdown_ends_one_way_behind_what_is_pending)
{
    static uint8_t big[1 << 20];
    struct end a = {0}, b = {.keep_open_on_eof = true};

    pair(&a, &b, NULL);
    fill(big, sizeof(big), 3);
    conn_write(a.conn, big, sizeof(big));
    conn_shutdown(a.conn);
    ck_assert_int_eq(conn_write(a.conn, "late", 4), -EPIPE);
    while (!b.eof)
        loop_run(loop);
    ck_assert_uint_eq(buffer_size(&b.got), sizeof(big));
    ck_assert_int_eq(memcmp(b.got.data, big, sizeof(big)), 0);
    conn_write(b.conn, "back", 4);
    a.stop_at = 4;
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&a.got), 4);
    ck_assert_int_eq(a.closed + b.closed, 0);
    finish(&a, &b);
}
END_TEST

START_TEST(kept_bytes_come_before_the_end)
{
    struct loop_deferred d = {.fn = resume_late};
    struct end a = {0}, b = {.take = 2, .then = pause_after_first, .stop_on_close = true};

    pair(&a, &b, NULL);
    conn_write(a.conn, "abcdef", 6);
    loop_run(loop); /* two are taken, four are kept */
    conn_close(a.conn);
    to_resume = b.conn;
    loop_defer(loop, &d); /* resumed at the end of a turn: the next one reads the end first */
    loop_run(loop);
    ck_assert_int_eq(memcmp(buffer_bytes(&b.got), "abcdef", 6), 0);
    ck_assert_int_eq(b.eof, 1);
    ck_assert_int_eq(b.error, 0);
    finish(&a, &b);
}
END_TEST

START_TEST(linger_lets_the_peer_read_the_last_bytes)
{
    static uint8_t chunk[100000];
    struct listener *ls;
    struct end c = {.stop_on_close = true};
    char text[128];

    accepts = 0;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c, &c.conn), 0);
    conn_write(c.conn, "x", 1);
    accepted[0].stop_at = 1;
    loop_run(loop);
    conn_write(c.conn, chunk, sizeof(chunk)); /* is never read: a plain close would reset */
    conn_pause(accepted[0].conn);
    conn_write(accepted[0].conn, "bye", 3);
    conn_linger(accepted[0].conn);
    while (!c.closed || !accepted[0].closed)
        loop_run(loop);
    ck_assert_uint_eq(buffer_size(&c.got), 3);
    ck_assert_int_eq(c.eof, 1);
    ck_assert_int_eq(c.error, 0);
    ck_assert_int_eq(accepted[0].error, 0);
    listener_close(ls);
    buffer_done(&accepted[0].got);
    finish(&c, NULL);
}
END_TEST

START_TEST(close_flushes_what_is_pending)
{
    enum { TOTAL = 2 << 20 };
    struct end a = {0}, b = {.stop_on_close = true};
    uint8_t *sent = malloc(TOTAL);

    fill(sent, TOTAL, 2);
    pair(&a, &b, NULL);
    conn_write(a.conn, sent, TOTAL);
    conn_close(a.conn);
    ck_assert_int_eq(conn_write(a.conn, "x", 1), -EPIPE);
    loop_run(loop);
    ck_assert_uint_eq(buffer_size(&b.got), TOTAL);
    ck_assert_int_eq(memcmp(buffer_bytes(&b.got), sent, TOTAL), 0);
    ck_assert_int_eq(a.error, 0);
    free(sent);
    finish(&a, &b);
}
END_TEST

START_TEST(abort_tells_once_and_not_inside_the_call)
{
    struct end a = {.stop_on_close = true}, b = {0};

    pair(&a, &b, NULL);
    conn_abort(a.conn, -ECANCELED);
    conn_abort(a.conn, -EIO);
    ck_assert_int_eq(a.closed, 0);
    loop_run(loop);
    ck_assert_int_eq(a.closed, 1);
    ck_assert_int_eq(a.error, -ECANCELED);
    finish(&a, &b);
}
END_TEST

static void abort_self(struct end *e)
{
    conn_abort(e->conn, -EPROTO);
}

START_TEST(abort_inside_on_data)
{
    struct end a = {0}, b = {.take = 1, .then = abort_self, .stop_on_close = true};

    pair(&a, &b, NULL);
    conn_write(a.conn, "abc", 3);
    loop_run(loop);
    ck_assert_int_eq(b.error, -EPROTO);
    ck_assert_int_eq(b.data_calls, 1);
    finish(&a, &b);
}
END_TEST

START_TEST(a_write_to_a_gone_peer_is_an_error_not_a_signal)
{
    struct end a = {.stop_on_close = true}, b = {0};

    pair(&a, &b, NULL);
    conn_pause(a.conn);
    conn_abort(b.conn, 0);
    conn_write(a.conn, "x", 1);
    loop_run(loop);
    ck_assert_int_eq(a.closed, 1);
    ck_assert_int_eq(a.error, -EPIPE);
    finish(&a, &b);
}
END_TEST

START_TEST(detach_gives_descriptor_and_rest)
{
    struct end a = {0}, b = {.take = 2, .stop_at = 2};
    uint8_t *rest = NULL;
    size_t n = 0;
    int fd;

    pair(&a, &b, NULL);
    conn_write(a.conn, "abcdef", 6);
    loop_run(loop);
    conn_write(b.conn, "x", 1);
    ck_assert_int_eq(conn_detach(b.conn, &rest, &n), -EBUSY);
    conn_flush(b.conn);
    fd = conn_detach(b.conn, &rest, &n);
    ck_assert_int_ge(fd, 0);
    b.conn = NULL;
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(memcmp(rest, "cdef", 4), 0);
    ck_assert_int_eq(write(fd, "y", 1), 1);
    a.stop_at = 2;
    loop_run(loop);
    ck_assert_int_eq(b.closed, 0);
    close(fd);
    free(rest);
    finish(&a, &b);
}
END_TEST

/* ---- dialling and listening */
static void round_trip(const char *address)
{
    struct listener *ls;
    struct end early = {0}, c = {0};
    char text[128], peer[128];

    accepts = 0;
    memset(accepted, 0, sizeof(accepted));
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, address, NULL, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    ck_assert_int_eq(
        conn_dial(loop, text, loop_now(loop) + 5 * NS_PER_S, &ops, NULL, &early, &early.conn), 0);
    conn_close(early.conn); /* gives up before it is connected */
    ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c, &c.conn), 0);
    conn_write(c.conn, "hello", 5); /* before it is connected */
    ck_assert_int_eq(c.connected, 0);
    accepted[0].stop_at = accepted[1].stop_at = 5;
    loop_run(loop);
    while (buffer_size(&accepted[0].got) + buffer_size(&accepted[1].got) < 5)
        loop_run(loop);
    ck_assert_int_eq(c.connected, 1);
    ck_assert_int_eq(early.connected, 0);
    ck_assert_int_eq(early.closed, 1);
    conn_peer_text(c.conn, peer);
    ck_assert_str_eq(peer, text);
    listener_close(ls);
    finish(&c, NULL);
    for (int i = 0; i < 4; i++)
        buffer_done(&accepted[i].got);
}

START_TEST(dial_tcp)
{
    round_trip("tcp://127.0.0.1:0");
}
END_TEST

START_TEST(dial_unix)
{
    char path[] = "/tmp/rouse-conn-XXXXXX", address[64];

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(address, sizeof(address), "unix://%s/s", path);
    round_trip(address);
    ck_assert_int_eq(rmdir(path), 0); /* the socket file is gone */
}
END_TEST

START_TEST(a_stale_socket_file_is_replaced_and_a_living_one_is_not)
{
    char dir[] = "/tmp/rouse-conn-XXXXXX", address[128], path[64];
    struct listener *one, *two;
    struct sockaddr_storage sa;
    socklen_t size;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(address, sizeof(address), "unix://%s", path);
    ck_assert_int_eq(address_parse(address, &sa, &size), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, size), 0);
    close(fd);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, address, NULL, accept_one, NULL, &one), 0);
    ck_assert_int_eq(listener_open(loop, address, NULL, accept_one, NULL, &two), -EADDRINUSE);
    listener_close(one);
    loop_free(loop);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(a_refused_dial_is_told_later)
{
    struct end c = {.stop_on_close = true};
    struct listener *ls;
    char text[128];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_dial(loop, "tcp://nowhere:1", 0, &ops, NULL, &c, &c.conn), -EINVAL);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    listener_close(ls);
    ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c, &c.conn), 0);
    ck_assert_int_eq(c.closed, 0);
    loop_run(loop);
    ck_assert_int_eq(c.error, -ECONNREFUSED);
    ck_assert_int_eq(conn_dial(loop, "unix:///nonexistent/s", 0, &ops, NULL, &c, &c.conn), 0);
    loop_run(loop);
    ck_assert_int_eq(c.error, -ENOENT);
    ck_assert_int_eq(c.closed, 2);
    finish(&c, NULL);
}
END_TEST

START_TEST(a_dial_ends_at_its_deadline)
{
    struct end c = {.stop_on_close = true};
    int fd = socket(AF_INET, SOCK_STREAM, 0), fillers[8];
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);
    char text[128];

    /* A listener with a full backlog drops further SYNs. */
    ck_assert_int_eq(address_parse("tcp://127.0.0.1:0", &sa, &size), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, size), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    size = sizeof(sa);
    getsockname(fd, (struct sockaddr *)&sa, &size);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&sa, size);
    }
    address_text(&sa, size, text);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(conn_dial(loop, text, loop_now(loop) + 50 * NS_PER_MS, &ops, NULL, &c, &c.conn),
                     0);
    loop_run(loop);
    ck_assert_int_eq(c.error, -ETIMEDOUT);
    for (int i = 0; i < 8; i++)
        close(fillers[i]);
    close(fd);
    finish(&c, NULL);
}
END_TEST

START_TEST(a_reset_is_told)
{
    struct end c = {.stop_on_close = true};
    struct listener *ls;
    char text[128];

    accepts = 0;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c, &c.conn), 0);
    conn_write(c.conn, "x", 1);
    accepted[0].stop_at = 1;
    loop_run(loop);
    conn_abort(accepted[0].conn, -EPROTO);
    while (!c.closed)
        loop_run(loop);
    ck_assert_int_eq(c.error, -ECONNRESET);
    listener_close(ls);
    buffer_done(&accepted[0].got);
    finish(&c, NULL);
}
END_TEST

/* ---- limits of a listener */
static void stop_by_timer(struct loop_timer *t)
{
    (void)t;
    loop_stop(loop);
}

START_TEST(past_its_limit_connections_wait_in_the_backlog)
{
    struct listener_options o = {.max_connections = 1};
    struct end c[2] = {{0}, {0}};
    struct listener *ls;
    char text[128];

    accepts = 0;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", &o, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c[i], &c[i].conn), 0);
        conn_write(c[i].conn, "x", 1);
    }
    accepted[0].stop_at = accepted[1].stop_at = 1;
    loop_run(loop);
    ck_assert_int_eq(accepts, 1);
    conn_abort(accepted[0].conn, 0);
    while (!buffer_size(&accepted[1].got))
        loop_run(loop);
    ck_assert_int_eq(accepts, 2);
    listener_close(ls);
    conn_abort(accepted[1].conn, 0);
    finish(&c[0], &c[1]);
    buffer_done(&accepted[0].got);
    buffer_done(&accepted[1].got);
}
END_TEST

START_TEST(without_descriptors_a_listener_rests_and_goes_on)
{
    struct loop_timer t = {.fn = stop_by_timer};
    struct rlimit old, low;
    struct listener *ls;
    struct end c = {0};
    uint64_t turns;
    char text[128];
    int probe;

    accepts = 0;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, accept_one, NULL, &ls), 0);
    listener_text(ls, text);
    ck_assert_int_eq(conn_dial(loop, text, 0, &ops, NULL, &c, &c.conn), 0);
    conn_write(c.conn, "x", 1);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    probe = dup(0);
    low.rlim_cur = (rlim_t)probe;
    close(probe);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    turns = loop_stats(loop)->turns;
    loop_timer_set(loop, &t, loop_now(loop) + 200 * NS_PER_MS);
    loop_run(loop);
    ck_assert_int_eq(accepts, 0);
    ck_assert_uint_lt(loop_stats(loop)->turns - turns, 50); /* no busy loop */
    setrlimit(RLIMIT_NOFILE, &old);
    accepted[0].stop_at = 1;
    loop_run(loop);
    ck_assert_int_eq(accepts, 1);
    listener_close(ls);
    conn_abort(accepted[0].conn, 0);
    finish(&c, NULL);
    buffer_done(&accepted[0].got);
}
END_TEST

BACKENDS_MAIN("conn", addresses, writes_are_ordered_and_finished, water_marks,
              unconsumed_bytes_come_again, input_past_its_limit_closes,
              pause_keeps_and_resume_hands_over, half_close_is_told_and_the_other_way_still_works,
              a_paused_owner_learns_that_the_peer_left_and_loses_no_bytes,
              kept_bytes_come_before_the_end, shutdown_ends_one_way_behind_what_is_pending,
              linger_lets_the_peer_read_the_last_bytes, close_flushes_what_is_pending,
              abort_tells_once_and_not_inside_the_call, abort_inside_on_data,
              a_write_to_a_gone_peer_is_an_error_not_a_signal, detach_gives_descriptor_and_rest,
              dial_tcp, dial_unix, a_stale_socket_file_is_replaced_and_a_living_one_is_not,
              a_refused_dial_is_told_later, a_dial_ends_at_its_deadline, a_reset_is_told,
              past_its_limit_connections_wait_in_the_backlog,
              without_descriptors_a_listener_rests_and_goes_on)
