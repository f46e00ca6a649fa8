/* What a connection had received when it is detached goes with it: its own bytes, all of them and in their
 * order, whatever came for others before and between, and however much of it there is. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "backends.h"
#include "turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAMS = 5, OCTETS = 40, CROWD = 5000 };
/* OCTETS in all. */
static const char *const texts[STREAMS] = {"0aa0", "1aaaa1", "2aaaaaa2", "3aaaaaaaa3",
                                           "4aaaaaaaaaa4"};

static struct stream {
    struct conn *conn;
    int peer;
    char got[64];
    size_t n;
} streams[STREAMS];
static struct loop *loop;
static struct stream *detaching; /* at the first input of any */

static void keep(struct stream *s, const void *bytes, size_t n)
{
    ck_assert_uint_le(s->n + n, sizeof(s->got));
    if (n)
        memcpy(s->got + s->n, bytes, n);
    s->n += n;
}

static void detach(void)
{
    struct stream *s = detaching;
    cleanup_free uint8_t *rest = NULL;
    ssize_t more;
    size_t n;
    int fd;

    if (!s)
        return;
    detaching = NULL;
    fd = conn_detach(s->conn, &rest, &n);
    ck_assert_int_ge(fd, 0);
    s->conn = NULL;
    keep(s, rest, n);
    while ((more = recv(fd, s->got + s->n, sizeof(s->got) - s->n, MSG_DONTWAIT)) > 0)
        s->n += (size_t)more;
    close(fd);
}

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct stream *s = conn_user(c);
    bool own = detaching == s;

    if (own) /* all of `in` goes with it */
        detach();
    else
        keep(s, in, n);
    detach();
    return n;
}

static void on_closed(struct conn *c, int error)
{
    (void)c, (void)error;
}

static void open_streams(void)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_closed = on_closed};
    int fds[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        streams[i] = (struct stream){.peer = fds[1]};
        ck_assert_int_eq(conn_open(loop, fds[0], &ops, NULL, &streams[i], &streams[i].conn), 0);
    }
    run_for(loop, NS_PER_MS);
}

static void speak(int i)
{
    size_t n = strlen(texts[i]);

    ck_assert_int_eq(write(streams[i].peer, texts[i], n), (ssize_t)n);
}

static void assert_heard(int i, size_t times)
{
    const char *text = texts[i], *got = streams[i].got;
    size_t n = strlen(text);

    for (size_t k = 0; k < times; k++)
        ck_assert_msg(streams[i].n == times * n && !memcmp(got + k * n, text, n),
                      "stream %d: '%.*s' is not %zu of '%s'", i, (int)streams[i].n, got, times, text);
}

/* A lost octet shows in assert_heard(). */
static void run_until_heard(size_t octets)
{
    for (int tries = 0; tries < 1000; tries++) {
        size_t n = 0;

        run_for(loop, NS_PER_MS);
        for (int i = 0; i < STREAMS; i++)
            n += streams[i].n;
        if (n >= octets)
            return;
    }
}

static void close_streams(void)
{
    for (int i = 0; i < STREAMS; i++) {
        if (streams[i].conn)
            conn_abort(streams[i].conn, 0);
        close(streams[i].peer);
    }
    loop_free(loop);
}

/* In one turn all speak, and the first one's handler detaches another. */
START_TEST(another_in_the_same_turn)
{
    for (int who = 0; who < STREAMS; who++) {
        open_streams();
        detaching = &streams[who];
        for (int i = 0; i < STREAMS; i++)
            speak(i);
        run_until_heard(OCTETS);
        for (int i = 0; i < STREAMS; i++)
            assert_heard(i, 1);
        close_streams();
    }
}
END_TEST

/* The kernel has more of its own in hand than what on_data() is told. */
START_TEST(one_that_goes_on_to_speak)
{
    for (int who = 0; who < STREAMS; who++) {
        open_streams();
        for (int i = 0; i < STREAMS; i++)
            speak(i);
        loop_stop(loop);
        loop_run(loop); /* asks the kernel, tells nothing */
        detaching = &streams[who];
        for (int i = 0; i < STREAMS; i++)
            speak(i);
        run_until_heard(2 * OCTETS);
        for (int i = 0; i < STREAMS; i++)
            assert_heard(i, 2);
        close_streams();
    }
}
END_TEST

static void on_crowd(struct loop_watch *w, uint32_t events)
{
    (void)events;
    loop_watch_cancel(loop, w);
    detach();
}

/* More is told at once than io_uring has room for, and what it received is behind that. */
START_TEST(one_behind_a_crowd)
{
    static struct loop_watch crowd[CROWD];
    int ready[2];

    open_streams();
    ck_assert_int_eq(pipe2(ready, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(write(ready[1], "x", 1), 1);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct loop_watch){.fd = fcntl(ready[0], F_DUPFD_CLOEXEC, 0), .fn = on_crowd};
        if (crowd[i].fd < 0) {
            printf("skipped: %d descriptors: %s\n", CROWD, strerror(errno));
            return;
        }
        ck_assert_int_eq(loop_watch_set(loop, &crowd[i], LOOP_READ), 0);
    }
    detaching = &streams[STREAMS - 1];
    for (int i = 0; i < STREAMS; i++)
        speak(i);
    run_until_heard(OCTETS);
    for (int i = 0; i < STREAMS; i++)
        assert_heard(i, 1);
    close_streams();
}
END_TEST

BACKENDS_MAIN("detach", another_in_the_same_turn, one_that_goes_on_to_speak, one_behind_a_crowd)
