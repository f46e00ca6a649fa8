/* Bytes that pass from one connection to another inside the kernel: order, count, what is kept, ends,
 * a consumer that takes nothing, deaths in the middle, many at once, pipes and descriptors. */
#include "backends.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/conn_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { PIECE = 65536, SMALL_BUFFER = 16384 };

static struct loop *loop;

/* source => from -> (splice) -> to => sink; the outer ends are bare and never block. */
struct line {
    int source, sink;
    struct conn *from, *to;
    struct conn_splice *splice;
    uint64_t offered, taken; /* of the pattern, at the outer ends */
    struct buffer told;      /* by from's on_data() */
    uint64_t told_at_done;
    int done, error, eof, from_closed, to_closed, left, closed_before_done;
    uint64_t moved, told_moved;
    size_t take; /* how much from's on_data() consumes: 0: all, SIZE_MAX: nothing */
    void (*then)(struct line *ln);
};

/* A case for each kind of stream: 0 Unix, 1 TCP; and of more than that. */
#define EACH(name, kinds)                                                                          \
    static void name##_of(int kind);                                                               \
    START_TEST(name)                                                                               \
    {                                                                                              \
        for (int kind = 0; kind < (kinds); kind++)                                                 \
            name##_of(kind);                                                                       \
    }                                                                                              \
    END_TEST                                                                                       \
    static void name##_of(int kind)

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)((at * 2654435761u) >> 13 ^ at);
}

static bool is_pattern(const uint8_t *got, size_t n, uint64_t from)
{
    size_t same = 0;

    while (same < n && got[same] == pattern(from + same))
        same++;
    return same == n;
}

static size_t from_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct line *ln = conn_user(c);
    size_t used = ln->take == SIZE_MAX ? 0 : ln->take && ln->take < n ? ln->take : n;

    buffer_append(&ln->told, in, used);
    if (ln->then)
        ln->then(ln);
    return used;
}
static void from_eof(struct conn *c)
{
    struct line *ln = conn_user(c);

    ln->eof++;
}
static void from_left(struct conn *c)
{
    struct line *ln = conn_user(c);

    ln->left++;
}
static void from_closed(struct conn *c, int error)
{
    struct line *ln = conn_user(c);

    (void)error;
    ln->from = NULL;
    ln->from_closed++;
    ln->closed_before_done += ln->splice != NULL;
}
static void to_closed(struct conn *c, int error)
{
    struct line *ln = conn_user(c);

    (void)error;
    ln->to = NULL;
    ln->to_closed++;
    ln->closed_before_done += ln->splice != NULL;
}
static size_t to_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}
static void to_eof(struct conn *c)
{
    (void)c;
}
static const struct conn_ops from_ops = {
    .on_data = from_data, .on_eof = from_eof, .on_closed = from_closed, .on_left = from_left};
static const struct conn_ops to_ops = {.on_data = to_data, .on_eof = to_eof, .on_closed = to_closed};

static void on_moved(void *user, size_t n)
{
    struct line *ln = user;

    ln->told_moved += n;
}
static void on_done(void *user, int error, uint64_t moved)
{
    struct line *ln = user;

    ln->done++;
    ln->error = error;
    ln->moved = moved;
    ln->told_at_done = buffer_size(&ln->told);
    ln->splice = NULL;
    ck_assert_int_eq(ln->eof, 0);
    ck_assert_uint_eq(ln->told_moved, moved);
}
static const struct conn_splice_ops splice_ops = {on_moved, on_done};

static void tcp_pair(int ret[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = SMALL_BUFFER;
    socklen_t size = sizeof(a);

    setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(listening, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    ck_assert_int_eq(bind(listening, (struct sockaddr *)&a, size), 0);
    ck_assert_int_eq(listen(listening, 1), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&a, &size), 0);
    ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(ret[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(ret[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    ck_assert_int_eq(connect(ret[0], (struct sockaddr *)&a, size), 0);
    ret[1] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(ret[1], 0);
    close(listening);
}
static void stream_pair(bool tcp, int ret[2])
{
    if (tcp)
        tcp_pair(ret);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret), 0);
    fcntl(ret[0], F_SETFL, O_NONBLOCK);
}
static void line_open(struct line *ln, bool tcp)
{
    int a[2], b[2];

    stream_pair(tcp, a);
    stream_pair(tcp, b);
    *ln = (struct line){.source = a[0], .sink = b[0]};
    ck_assert_int_eq(conn_open(loop, a[1], &from_ops, NULL, ln, &ln->from), 0);
    ck_assert_int_eq(conn_open(loop, b[1], &to_ops, NULL, ln, &ln->to), 0);
}
static void line_splice(struct line *ln, uint64_t n)
{
    ck_assert_int_eq(conn_splice(ln->from, ln->to, n, &splice_ops, ln, &ln->splice), 0);
}
static void line_close(struct line *ln)
{
    if (ln->splice)
        conn_splice_cancel(ln->splice);
    if (ln->from)
        conn_abort(ln->from, 0);
    if (ln->to)
        conn_abort(ln->to, 0);
    if (ln->source >= 0)
        close(ln->source);
    if (ln->sink >= 0)
        close(ln->sink);
    buffer_done(&ln->told);
}
static void stop_now(struct loop_timer *t)
{
    (void)t;
    loop_stop(loop);
}
/* A turn or two, waiting at most a millisecond. */
static void turn(void)
{
    struct loop_timer t = {.fn = stop_now};

    loop_timer_set(loop, &t, clock_monotonic_ns() + NS_PER_MS / 4);
    loop_run(loop);
    loop_timer_cancel(loop, &t);
}
/* Offers the pattern up to `until`. False: nothing was taken. */
static bool offer(struct line *ln, uint64_t until)
{
    uint8_t piece[PIECE];
    size_t n = until - ln->offered < PIECE ? (size_t)(until - ln->offered) : PIECE;
    ssize_t sent;

    if (!n)
        return false;
    for (size_t i = 0; i < n; i++)
        piece[i] = pattern(ln->offered + i);
    sent = send(ln->source, piece, n, MSG_NOSIGNAL);
    ln->offered += sent > 0 ? (uint64_t)sent : 0;
    return sent > 0;
}
/* Takes what came and compares it; 0: the end, -errno. */
static ssize_t take(struct line *ln)
{
    uint8_t piece[PIECE];
    ssize_t n = recv(ln->sink, piece, sizeof(piece), 0);

    if (n < 0)
        return -errno;
    ck_assert_msg(is_pattern(piece, (size_t)n, ln->taken), "it differs behind %llu",
                  (unsigned long long)ln->taken);
    ln->taken += (uint64_t)n;
    return n;
}
#define UNTIL(condition)                                                                           \
    for (uint64_t until_ = clock_monotonic_ns() + 30 * NS_PER_S; !(condition);) {                  \
        ck_assert_msg(clock_monotonic_ns() < until_, "never: %s", #condition);                     \
        turn();                                                                                    \
    }
/* All of the pattern up to `n`, from the source's end to the sink's. */
static void pump(struct line *ln, uint64_t n)
{
    uint64_t deadline = clock_monotonic_ns() + 30 * NS_PER_S;

    while (ln->taken < n) {
        ck_assert_msg(clock_monotonic_ns() < deadline, "offered %llu, taken %llu of %llu",
                      (unsigned long long)ln->offered, (unsigned long long)ln->taken,
                      (unsigned long long)n);
        while (offer(ln, n))
            ;
        turn();
        while (ln->taken < n && take(ln) > 0)
            ;
    }
}
static void begin(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
}
static void end(void)
{
    turn();
    turn();
    loop_free(loop);
}
static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

EACH(megabytes_pass_unchanged, 2)
{
    enum { TOTAL = 8 << 20 };
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, TOTAL);
    pump(&ln, TOTAL);
    UNTIL(ln.done);
    ck_assert_int_eq(ln.error, 0);
    ck_assert_uint_eq(ln.moved, TOTAL);
    ck_assert_uint_eq(loop_stats(loop)->bytes_in, TOTAL);
    ck_assert_uint_eq(loop_stats(loop)->bytes_out, TOTAL);
    ck_assert_uint_eq(conn_sent(ln.to), TOTAL);
    ck_assert_uint_gt(loop_stats(loop)->bytes_spliced, TOTAL - (1 << 20));
    ck_assert_uint_eq(buffer_size(&ln.told), 0);
    line_close(&ln);
    end();
}

static void splice_in_data(struct line *ln)
{
    ln->then = NULL;
    ln->take = 0;
    line_splice(ln, 300000);
    for (uint64_t at = 300003; at < 300103; at++) {
        uint8_t octet = pattern(at);

        ck_assert_int_eq(conn_write(ln->to, &octet, 1), 0);
    }
}

/* The owner takes three octets of the first that come and splices the rest within on_data(). */
EACH(kept_bytes_go_first_and_later_writes_behind, 2)
{
    struct line ln;
    uint8_t first[3] = {pattern(0), pattern(1), pattern(2)};

    begin();
    line_open(&ln, kind);
    conn_write(ln.to, first, 3); /* pending on `to` before */
    ln.take = 3;
    ln.then = splice_in_data;
    offer(&ln, 1000);
    pump(&ln, 300003);
    UNTIL(ln.done);
    ck_assert_int_eq(ln.error, 0);
    ck_assert_uint_eq(ln.moved, 300000);
    ck_assert_uint_eq(buffer_size(&ln.told), 3);
    UNTIL(ln.taken == 300103 || take(&ln) < -EAGAIN);
    ck_assert_uint_eq(ln.taken, 300103);
    ck_assert_uint_eq(buffer_size(&ln.told), 3);
    line_close(&ln);
    end();
}

/* Exactly so many, though more is there at once; the rest is told as ever, and a second splice follows. */
EACH(the_count_is_exact_and_reading_goes_on, 2)
{
    enum { SPLICED = 200001, MORE = 30000 };
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, SPLICED);
    while (ln.taken < SPLICED || ln.offered < SPLICED + MORE) {
        offer(&ln, SPLICED + MORE);
        turn();
        while (take(&ln) > 0)
            ;
    }
    UNTIL(buffer_size(&ln.told) == MORE);
    ck_assert_int_eq(ln.done, 1);
    ck_assert_uint_eq(ln.moved, SPLICED);
    ck_assert_uint_eq(ln.told_at_done, 0);
    ck_assert_uint_eq(ln.taken, SPLICED);
    ck_assert(is_pattern(buffer_bytes(&ln.told), MORE, SPLICED));
    ln.taken += MORE; /* those went to the owner */
    ln.told_moved = 0;
    line_splice(&ln, SPLICED);
    pump(&ln, 2 * SPLICED + MORE);
    UNTIL(ln.done == 2);
    ck_assert_int_eq(ln.error, 0);
    ck_assert_uint_eq(buffer_size(&ln.told), MORE);
    offer(&ln, ln.offered + 1);
    UNTIL(buffer_size(&ln.told) == MORE + 1);
    line_close(&ln);
    end();
}

/* The kernel tells of bytes once: those behind the splice were told with it. */
EACH(what_came_with_the_last_spliced_bytes_is_told, 2)
{
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, 700);
    for (int i = 0; i < 3; i++)
        turn();
    offer(&ln, 1000);
    UNTIL(buffer_size(&ln.told) == 300);
    ck_assert_int_eq(ln.done, 1);
    ck_assert(is_pattern(buffer_bytes(&ln.told), 300, 700));
    UNTIL((take(&ln), ln.taken == 700));
    line_close(&ln);
    end();
}

EACH(all_is_to_the_end_of_the_stream, 2)
{
    enum { TOTAL = 1 << 20 };
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, CONN_SPLICE_ALL);
    conn_shutdown(ln.to); /* behind all of it */
    pump(&ln, TOTAL);
    ck_assert_int_eq(take(&ln), -EAGAIN);
    shutdown(ln.source, SHUT_WR);
    UNTIL(ln.eof);
    ck_assert_int_eq(ln.done, 1);
    ck_assert_int_eq(ln.error, 0);
    ck_assert_uint_eq(ln.moved, TOTAL);
    UNTIL(take(&ln) == 0);
    line_close(&ln);
    end();
}

EACH(a_stream_that_ends_early_is_told_before_its_end, 2)
{
    enum { TOTAL = 1 << 20 };
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, TOTAL + 1);
    pump(&ln, TOTAL);
    shutdown(ln.source, SHUT_WR);
    UNTIL(ln.eof);
    ck_assert_int_eq(ln.done, 1);
    ck_assert_int_eq(ln.error, -EIO);
    ck_assert_uint_eq(ln.moved, TOTAL);
    ck_assert_int_eq(take(&ln), -EAGAIN); /* `to` goes on: its owner decides */
    ck_assert_int_eq(conn_write(ln.to, (uint8_t[]){pattern(TOTAL)}, 1), 0);
    UNTIL(take(&ln) == 1);
    line_close(&ln);
    end();
}

/* What a side that takes nothing makes the source send: the sockets' and a pipe's bytes. */
EACH(a_slow_consumer_stops_the_source, 2)
{
    enum { TOTAL = 24 << 20 };
    struct line ln;
    size_t stalled = 0;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, TOTAL);
    while (stalled < 100) {
        stalled = offer(&ln, TOTAL) ? 0 : stalled + 1;
        turn();
        ck_assert_uint_lt(ln.offered, 16 << 20);
        ck_assert_uint_le(conn_pending(ln.to), 1 << 20);
    }
    stalled = loop_stats(loop)->turns;
    for (int i = 0; i < 20; i++)
        turn();
    ck_assert_uint_lt(loop_stats(loop)->turns - stalled, 100); /* waits, does not spin */
    pump(&ln, TOTAL);
    UNTIL(ln.done);
    ck_assert_int_eq(ln.error, 0);
    line_close(&ln);
    end();
}

EACH(pausing_holds_it, 2)
{
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, 1 << 20);
    pump(&ln, 100000);
    conn_pause(ln.from);
    offer(&ln, 100010);
    for (int i = 0; i < 20; i++)
        turn();
    ck_assert_int_eq(take(&ln), -EAGAIN);
    conn_resume(ln.from);
    pump(&ln, 1 << 20);
    UNTIL(ln.done);
    ck_assert_int_eq(ln.error, 0);
    line_close(&ln);
    end();
}

static void reset(int *fd)
{
    struct linger at_once = {.l_onoff = 1};

    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(*fd);
    *fd = -1;
}

EACH(the_source_dies_in_the_middle, 2)
{
    struct line ln;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, 4 << 20);
    pump(&ln, 1 << 20);
    reset(&ln.source);
    UNTIL(ln.done && (ln.from_closed || ln.eof));
    ck_assert_int_eq(ln.done, 1);
    ck_assert_int_lt(ln.error, 0);
    ck_assert_uint_eq(ln.moved, 1 << 20);
    ck_assert_int_eq(ln.closed_before_done, 0);
    ck_assert_ptr_nonnull(ln.to);
    line_close(&ln);
    end();
}

/* A peer that leaves while nothing is read is told at once, as of any connection that is not read. (Unix:
 * an end of TCP comes behind the bytes that the full window keeps at the source.) */
EACH(a_source_that_leaves_a_stalled_line_is_told, 1)
{
    struct line ln;
    size_t stalled = 0;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, 64 << 20);
    while (stalled < 50) {
        stalled = offer(&ln, 64 << 20) ? 0 : stalled + 1;
        turn();
    }
    shutdown(ln.source, SHUT_RDWR);
    UNTIL(ln.left || ln.done);
    ck_assert_int_eq(ln.left, 1);
    ck_assert_int_eq(ln.done, 0);
    pump(&ln, ln.offered); /* what it sent before still goes on */
    UNTIL(ln.eof);
    ck_assert_int_eq(ln.error, -EIO);
    ck_assert_uint_eq(ln.moved, ln.offered);
    line_close(&ln);
    end();
}

/* What `to` did not take is handed over by `from`: no octet is lost between the two. */
EACH(the_sink_dies_in_the_middle, 2)
{
    struct line ln;
    size_t stalled = 0;

    begin();
    line_open(&ln, kind);
    line_splice(&ln, 64 << 20);
    pump(&ln, 1 << 20);
    while (stalled < 50) {
        stalled = offer(&ln, 64 << 20) ? 0 : stalled + 1;
        turn();
    }
    reset(&ln.sink);
    UNTIL(ln.done && ln.to_closed);
    ck_assert_int_eq(ln.done, 1);
    ck_assert_int_lt(ln.error, 0);
    ck_assert_int_eq(ln.closed_before_done, 0);
    ck_assert_uint_ge(ln.moved, ln.taken);
    UNTIL(ln.moved + buffer_size(&ln.told) == ln.offered);
    ck_assert(is_pattern(buffer_bytes(&ln.told), buffer_size(&ln.told), ln.moved));
    line_close(&ln);
    end();
}

static void stall(struct line *ln)
{
    size_t stalled = 0;

    line_splice(ln, 64 << 20);
    pump(ln, 100000);
    while (stalled < 30) {
        stalled = offer(ln, 64 << 20) ? 0 : stalled + 1;
        turn();
    }
}

/* Each way for an owner to leave while the pipe is full. */
EACH(owners_leave_in_the_middle, 8)
{
    struct line ln;
    bool tcp = kind & 1;

    begin();
    line_open(&ln, tcp);
    stall(&ln);
    switch (kind / 2) {
    case 0: /* what was read goes on */
        conn_abort(ln.from, 0);
        ck_assert_int_eq(ln.done, 0);
        UNTIL(ln.from_closed);
        UNTIL((take(&ln), ln.done));
        ck_assert_int_eq(ln.error, -ECANCELED);
        UNTIL((take(&ln), ln.taken == ln.moved));
        break;
    case 1: /* a stream that is cut must not look complete */
        conn_close(ln.to);
        UNTIL(ln.done);
        ck_assert_int_eq(ln.error, -ECANCELED);
        UNTIL(take(&ln) <= 0 && ln.to_closed);
        UNTIL(ln.moved + buffer_size(&ln.told) == ln.offered);
        break;
    case 2:
        conn_splice_cancel(ln.splice);
        ln.splice = NULL;
        UNTIL((take(&ln), ln.told_moved + buffer_size(&ln.told) == ln.offered));
        ck_assert(is_pattern(buffer_bytes(&ln.told), buffer_size(&ln.told), ln.told_moved));
        ck_assert_int_eq(ln.done, 0);
        break;
    case 3:
        conn_close(ln.from);
        conn_abort(ln.to, -ECONNRESET);
        UNTIL(ln.done && ln.from_closed && ln.to_closed);
        ck_assert_int_eq(ln.done, 1);
        ck_assert_int_lt(ln.error, 0);
        break;
    }
    ck_assert_int_eq(ln.closed_before_done, kind / 2 ? 0 : 1);
    line_close(&ln);
    end();
}

EACH(both_ways_at_once, 2)
{
    enum { TOTAL = 1 << 20 };
    struct line there, back;
    int a[2], b[2];

    begin();
    stream_pair(kind, a);
    stream_pair(kind, b);
    there = (struct line){.source = a[0], .sink = b[0]};
    ck_assert_int_eq(conn_open(loop, a[1], &from_ops, NULL, &there, &there.from), 0);
    ck_assert_int_eq(conn_open(loop, b[1], &from_ops, NULL, &there, &there.to), 0);
    back = (struct line){.source = b[0], .sink = a[0], .from = there.to, .to = there.from};
    line_splice(&there, TOTAL);
    line_splice(&back, TOTAL);
    ck_assert_int_eq(conn_splice(there.from, there.to, 1, &splice_ops, &there, &there.splice),
                     -EBUSY);
    while (there.taken < TOTAL || back.taken < TOTAL) {
        offer(&there, TOTAL);
        offer(&back, TOTAL);
        turn();
        while (take(&there) > 0 || take(&back) > 0)
            ;
    }
    UNTIL(there.done && back.done);
    ck_assert_int_eq(there.error | back.error, 0);
    line_close(&there);
    end();
}

/* Many at once, twice, some of them cut: the loop keeps a handful of pipes, and nothing else stays. */
START_TEST(many_at_once_leave_a_handful_of_pipes)
{
    enum { LINES = 40, TOTAL = 300000 };
    static struct line lines[LINES];
    unsigned before, left;

    before = descriptors();
    begin();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LINES; i++) {
            line_open(&lines[i], i % 2);
            line_splice(&lines[i], TOTAL);
        }
        do {
            left = 0;
            for (int i = 0; i < LINES; i++) {
                offer(&lines[i], i % 8 ? TOTAL : TOTAL / 2);
                while (take(&lines[i]) > 0)
                    ;
                left += i % 8 ? !lines[i].done : lines[i].taken < TOTAL / 2;
            }
            turn();
        } while (left);
        for (int i = 0; i < LINES; i++) {
            ck_assert_int_eq(lines[i].done, i % 8 != 0);
            ck_assert_int_eq(lines[i].error, 0);
            line_close(&lines[i]);
        }
        turn();
        ck_assert_uint_gt(loop->pipe_count, 0);
        ck_assert_uint_le(loop->pipe_count, CONN_PIPES_KEPT);
    }
    end();
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct line ln;
    struct conn_splice *s;

    begin();
    line_open(&ln, true);
    ck_assert_int_eq(conn_splice(ln.from, ln.from, 1, &splice_ops, &ln, &s), -EINVAL);
    conn_shutdown(ln.to);
    ck_assert_int_eq(conn_splice(ln.from, ln.to, 1, &splice_ops, &ln, &s), -EPIPE);
    shutdown(ln.source, SHUT_WR);
    UNTIL(ln.eof);
    ck_assert_int_eq(conn_splice(ln.from, ln.to, 1, &splice_ops, &ln, &s), -EPIPE);
    line_close(&ln);
    end();
}
END_TEST

BACKENDS_MAIN("splice", what_came_with_the_last_spliced_bytes_is_told, megabytes_pass_unchanged,
              kept_bytes_go_first_and_later_writes_behind, the_count_is_exact_and_reading_goes_on,
              all_is_to_the_end_of_the_stream, a_stream_that_ends_early_is_told_before_its_end,
              a_slow_consumer_stops_the_source, pausing_holds_it, the_source_dies_in_the_middle,
              a_source_that_leaves_a_stalled_line_is_told, the_sink_dies_in_the_middle,
              owners_leave_in_the_middle, both_ways_at_once, many_at_once_leave_a_handful_of_pipes,
              what_cannot_be_is_refused)
