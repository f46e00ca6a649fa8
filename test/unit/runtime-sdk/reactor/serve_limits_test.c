/* The limits of <rouse/reactor.h>: what a hostile peer costs, and how it is told. */
#include "serve_fixture.h"

static atomic_int closed_count, closed_error;
static enum rouse_action note_error(struct rouse_conn *c, int error)
{
    (void)c;
    closed_error = error;
    closed_count++;
    return ROUSE_NONE;
}

static enum rouse_action keep_all(struct rouse_conn *c, struct rouse_input *in,
                                  struct rouse_output *out)
{
    (void)c, (void)out;
    in->keep = in->size;
    return ROUSE_NONE;
}
/* Each byte is a request for 1 KiB; those that there is no room for are kept. */
static enum rouse_action kib_a_byte(struct rouse_conn *c, struct rouse_input *in,
                                    struct rouse_output *out)
{
    size_t i = 0;

    (void)c;
    while (i < in->size && !rouse_output_full(out)) {
        memset(rouse_reserve(out, 1024), in->data[i++], 1024);
        rouse_commit(out, 1024);
    }
    in->keep = in->size - i;
    return ROUSE_NONE;
}
/* As many as are asked for, at once. */
static enum rouse_action kib_without_a_look(struct rouse_conn *c, struct rouse_input *in,
                                            struct rouse_output *out)
{
    static const char kib[1024];

    (void)c;
    for (size_t i = 0; i < in->size; i++)
        rouse_append(out, kib, sizeof(kib));
    return ROUSE_NONE;
}

static void start(int backend)
{
    server.addresses[0] = "tcp://127.0.0.1:0";
    server.events.closed = note_error;
    server_start(backend);
}

START_TEST(input_that_is_kept_is_bounded)
{
    static char header[32 * 1024];
    ssize_t n;
    int fd;

    server.events = (struct rouse_events){.data = keep_all, .input_limit = 10000};
    start(_i);
    fd = dial(server.bound[0]);
    do
        n = send(fd, header, sizeof(header), MSG_NOSIGNAL);
    while (n > 0 && !closed_count);
    AWAIT(closed_count == 1);
    ck_assert_int_eq(closed_error, -ENOBUFS);
    ck_assert_uint_eq(stats_of(0).cut_input, 1);
    close(fd);
    server_stop();
}
END_TEST

START_TEST(output_past_its_limit_is_cut)
{
    int fd;
    char ask[64];

    server.events = (struct rouse_events){.data = kib_without_a_look, .output_limit = 32 * 1024};
    start(_i);
    fd = dial(server.bound[0]);
    memset(ask, 'x', sizeof(ask));
    ck_assert_int_eq(send(fd, ask, sizeof(ask), 0), sizeof(ask));
    AWAIT(closed_count == 1);
    ck_assert_int_eq(closed_error, -ENOBUFS);
    ck_assert_uint_eq(stats_of(0).cut_output, 1);
    ck_assert_uint_eq(stats_of(0).bytes_out, 0);
    close(fd);
    server_stop();
}
END_TEST

/* Peers that ask and ask and never read: what is made for them stays bounded, and it is all there,
 * in order, once they read. */
START_TEST(slow_readers_cost_bounded_memory)
{
    enum { PEERS = 8, ASKED = 64 * 1024, HIGH = 64 * 1024, KERNEL = 5 << 20 };
    static char ask[ASKED], got[65536];
    int fds[PEERS];

    server.events =
        (struct rouse_events){.data = kib_a_byte, .output_high = HIGH, .output_low = HIGH / 2};
    start(_i);
    memset(ask, 'x', sizeof(ask));
    for (int i = 0; i < PEERS; i++) {
        fds[i] = dial_with(server.bound[0], 16384);
        ck_assert_int_eq(send(fds[i], ask, ASKED, 0), ASKED); /* 64 MiB of answers each */
    }
    /* When the server rests, it has made what the kernel holds and a little more. */
    for (uint64_t before = 1; before != stats_of(0).bytes_out; poll(NULL, 0, 100))
        before = stats_of(0).bytes_out;
    ck_assert_uint_ge(stats_of(0).bytes_out, PEERS * HIGH);
    ck_assert_uint_le(stats_of(0).bytes_out, PEERS * (KERNEL + HIGH));
    for (int i = 1; i < PEERS; i++)
        close(fds[i]);
    for (size_t have = 0; have < (size_t)ASKED * 1024;) {
        ssize_t n = receive(fds[0], got, sizeof(got), 0);

        ck_assert_msg(n > 0, "after %zu bytes: %s", have, n ? strerror(errno) : "the end");
        have += (size_t)n;
    }
    close(fds[0]);
    server_stop();
}
END_TEST

/* One that reads at once gets through just as well: kept for want of room, and then there is room. */
START_TEST(kept_requests_come_again)
{
    enum { ASKED = 20000 };
    static char ask[ASKED], got[65536];
    int fd;

    server.events = (struct rouse_events){.data = kib_a_byte, .output_high = 4096};
    start(_i);
    fd = dial(server.bound[0]);
    ck_assert_int_eq(send(fd, ask, ASKED, 0), ASKED);
    for (size_t have = 0; have < (size_t)ASKED * 1024;) {
        ssize_t n = receive(fd, got, sizeof(got), 0);

        ck_assert_msg(n > 0, "after %zu bytes: %s", have, n ? strerror(errno) : "the end");
        have += (size_t)n;
    }
    close(fd);
    server_stop();
}
END_TEST

static enum rouse_action greet(struct rouse_conn *c, struct rouse_conn_options *options,
                               struct rouse_output *out)
{
    (void)c, (void)options;
    rouse_append_text(out, "hello");
    return ROUSE_NONE;
}

START_TEST(connections_past_the_maximum_wait)
{
    int fds[5];

    server.events = (struct rouse_events){.opened = greet, .max_connections = 3, .loops = 2};
    start(_i);
    for (int i = 0; i < 5; i++)
        fds[i] = dial(server.bound[0]);
    for (int i = 0; i < 3; i++)
        hear(fds[i], "hello");
    ck_assert_uint_eq(stats_of(0).opened + stats_of(1).opened, 3);
    close(fds[0]);
    hear(fds[3], "hello");
    ck_assert_uint_eq(stats_of(0).opened + stats_of(1).opened, 4);
    close(fds[1]);
    hear(fds[4], "hello");
    for (int i = 2; i < 5; i++)
        close(fds[i]);
    server_stop();
}
END_TEST

START_TEST(the_silent_and_the_endless_time_out)
{
    int silent, half;

    server.events = (struct rouse_events){.data = keep_all, .idle_timeout_ms = 60};
    start(_i);
    silent = dial(server.bound[0]);
    AWAIT(closed_count == 1);
    ck_assert_int_eq(closed_error, -ETIMEDOUT);
    close(silent);
    server_stop();

    server.events = (struct rouse_events){.data = keep_all, .message_timeout_ms = 60};
    server.handle = NULL;
    start(_i);
    silent = dial(server.bound[0]);
    half = dial(server.bound[0]);
    while (closed_count == 1) { /* a byte at a time does not help it */
        send(half, "x", 1, MSG_NOSIGNAL);
        poll(NULL, 0, 5);
    }
    ck_assert_int_eq(closed_error, -ETIMEDOUT);
    ck_assert_uint_eq(stats_of(0).timed_out, 1);
    say(silent, "y"); /* it has begun nothing and is still there */
    AWAIT(stats_of(0).bytes_in > 0 && closed_count == 3);
    close(half);
    close(silent);
    server_stop();
}
END_TEST

SERVE_MAIN("serve_limits", input_that_is_kept_is_bounded, output_past_its_limit_is_cut,
           slow_readers_cost_bounded_memory, kept_requests_come_again,
           connections_past_the_maximum_wait, the_silent_and_the_endless_time_out)
