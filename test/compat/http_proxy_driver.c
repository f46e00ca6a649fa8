/* module: runtime-sdk/http */
/* http_proxy_driver.c - our server and reverse proxy between a client and a backend, for
 * http_proxy_test.py.
 *
 * http_proxy_driver ADDRESS (of the backend). stdin: cases, each a u32 length and a u32 number of
 * answers (little-endian) and what one client sends. It leaves a moment after so many answers, if the
 * server does not hang up before. The proxy tells the backend the case by a header that no client
 * can set. stdout: a line of JSON a case, octets as U+0000 to U+00FF. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MOMENTS = 5 };
static const char *backend;
static struct loop *loop;
static struct http_client *client;

/* The one case that is being played. */
static struct {
    unsigned number, wanted, answered;
    unsigned moments; /* since all is answered */
    unsigned open;    /* exchanges and proxies whose owner was not told the end */
    struct conn *peer;
    struct buffer got;
    struct loop_timer deadline, leave;
    bool hung_up, stuck;
} play;

static void look(void)
{
    /* For a moment: what it has begun to send may still reach the backend, and an answer too many
     * may still come. */
    if (play.peer && play.answered >= play.wanted && !loop_timer_armed(&play.leave))
        loop_timer_set(loop, &play.leave, clock_monotonic_ns() + NS_PER_MS / MOMENTS);
    if (!play.peer && !play.open)
        loop_stop(loop);
}

/* ---- the proxy */

static void on_exchange_done(struct http_exchange *x)
{
    (void)x;
    play.open--;
    play.answered++;
    look();
}
static const struct http_exchange_ops exchange_ops = {.on_done = on_exchange_done};

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user, (void)reason;
    play.open--;
    http_respond(x, 503, NULL, NULL, 0);
}
static void on_done(void *user, struct http_exchange *x, int error)
{
    (void)user;
    play.open--;
    if (x && error && error != -EPIPE && error != -ECANCELED)
        http_respond(x, 502, NULL, NULL, 0);
    look();
}
static const struct http_proxy_ops proxy_ops = {.on_refused = on_refused, .on_done = on_done};

static void on_request(struct http_exchange *x, void *user)
{
    struct http_proxy *p;
    char set[64];
    struct http_proxy_request r = {.address = backend, .set = set, .origin = true, .tunnel = true};

    (void)user;
    play.open += 2;
    http_set_owner(x, &exchange_ops, NULL);
    snprintf(set, sizeof(set), "Rouse-Case: %u\r\n", play.number);
    if (http_proxy_start(client, x, &r, &proxy_ops, NULL, &p) < 0) {
        play.open--;
        http_respond(x, 503, NULL, NULL, 0);
    }
}

/* ---- the client */

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c;
    if (buffer_append(&play.got, in, n) < 0)
        abort();
    return n;
}
static void on_closed(struct conn *c, int error)
{
    (void)c, (void)error;
    play.peer = NULL;
    look();
}
static void on_eof(struct conn *c)
{
    play.hung_up = true;
    conn_close(c);
}
static const struct conn_ops peer_ops = {.on_data = on_data, .on_eof = on_eof, .on_closed = on_closed};

/* A late process may find its timer due before what is on its way: several turns, not only some time. */
static void on_leave(struct loop_timer *t)
{
    if (play.peer && ++play.moments < MOMENTS)
        loop_timer_set(loop, t, clock_monotonic_ns() + NS_PER_MS / MOMENTS);
    else if (play.peer)
        conn_close(play.peer);
}
static void on_deadline(struct loop_timer *t)
{
    (void)t;
    play.stuck = true;
    loop_stop(loop);
}

static void put_case(void)
{
    printf("{\"hung_up\":%s,\"stuck\":%s,\"answers\":\"", play.hung_up ? "true" : "false",
           play.stuck ? "true" : "false");
    for (size_t i = 0; i < buffer_size(&play.got); i++)
        printf("\\u%04x", buffer_bytes(&play.got)[i]);
    printf("\"}\n");
}

/* 0, or -1 when the server or this program hangs. */
static int play_case(struct http_server *server, const uint8_t *in, size_t n, unsigned answers)
{
    int fds[2];

    play.wanted = answers;
    play.answered = play.moments = 0;
    play.hung_up = false;
    buffer_clear(&play.got);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
        http_server_open(server, fds[0]) < 0 ||
        conn_open(loop, fds[1], &peer_ops, NULL, NULL, &play.peer) < 0)
        abort();
    conn_write(play.peer, in, n);
    loop_timer_set(loop, &play.deadline, clock_monotonic_ns() + 20 * NS_PER_S);
    look();
    loop_run(loop);
    loop_timer_cancel(loop, &play.deadline);
    loop_timer_cancel(loop, &play.leave);
    put_case();
    play.number++;
    return play.stuck ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct http_server_options o = {.on_request = on_request, .hold_limit = 16};
    struct http_server *server;
    uint8_t head[8];

    if (argc != 2 || loop_new(&loop) < 0 || http_client_new(loop, NULL, &client) < 0 ||
        http_server_new(loop, &o, &server) < 0)
        return EXIT_FAILURE;
    backend = argv[1];
    play.deadline.fn = on_deadline;
    play.leave.fn = on_leave;
    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        unsigned answers =
            head[4] | (unsigned)head[5] << 8 | (unsigned)head[6] << 16 | (unsigned)head[7] << 24;
        cleanup_free uint8_t *in = malloc(n + 1);

        if (!in || fread(in, 1, n, stdin) != n)
            return EXIT_FAILURE;
        if (play_case(server, in, n, answers) < 0)
            return EXIT_FAILURE;
    }
    http_server_free(server);
    http_client_free(client);
    buffer_done(&play.got);
    loop_free(loop);
    return EXIT_SUCCESS;
}
