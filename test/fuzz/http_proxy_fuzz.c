/* module: runtime-sdk/http */
/* The proxy between a hostile client and a hostile backend: whatever comes, each exchange and each
 * proxy ends once, the backend is sent requests that our codec takes, and the client answers.
 * The first byte decides how all behave, the next two how many of the rest the client sends. */
#include "base/clock.h"
#include "http/proxy.h"
#include "http_answers.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKENDS_MAX = 32, TURNS_MAX = 100000 };
enum {
    ORIGIN = 1,
    TUNNEL = 2,
    CLIENT_PIECES = 4,
    BACKEND_PIECES = 8,
    BACKEND_CLOSES = 16,
    BACKEND_WAITS = 32, /* for the whole head */
    BACKEND_EACH = 64,  /* each connection gets all the bytes, not what is left of them */
    TARGET = 128,
};

static struct loop *loop;
static struct http_client *client;
static char address[64];
static uint8_t mode;
static int exchanges, proxies, backends;
static struct methods methods;

static struct backend {
    struct conn *conn;
    struct buffer got;
    bool answered;
} connections[BACKENDS_MAX];
static size_t accepted;
static const uint8_t *answer;
static size_t answer_left;

/* ---- the backend */

static void say(struct backend *b)
{
    size_t n = answer_left, piece = mode & BACKEND_PIECES ? 5 : n;

    b->answered = true;
    for (size_t at = 0; at < n; at += piece) {
        conn_write(b->conn, answer + at, piece < n - at ? piece : n - at);
        if (at < 64)
            conn_flush(b->conn);
    }
    if (!(mode & BACKEND_EACH))
        answer_left = 0;
    if (mode & BACKEND_CLOSES)
        conn_close(b->conn);
}
static size_t on_backend_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct backend *b = conn_user(c);

    MUST(buffer_append(&b->got, in, n) == 0);
    if (!b->answered && (!(mode & BACKEND_WAITS) ||
                         memmem(buffer_bytes(&b->got), buffer_size(&b->got), "\r\n\r\n", 4)))
        say(b);
    return n;
}
static void on_backend_closed(struct conn *c, int error)
{
    struct backend *b = conn_user(c);

    (void)error;
    b->conn = NULL;
    backends--;
}
static const struct conn_ops backend_ops = {.on_data = on_backend_data,
                                            .on_closed = on_backend_closed};

static void on_accept(void *user, int fd)
{
    struct backend *b = &connections[accepted];

    (void)user;
    if (accepted == BACKENDS_MAX || conn_open(loop, fd, &backend_ops, NULL, b, &b->conn) < 0) {
        close(fd);
        return;
    }
    accepted++;
    backends++;
}

/* All that one connection to the backend was sent. */
static void check_requests(const struct buffer *b)
{
    const uint8_t *in = buffer_bytes(b);
    size_t n = buffer_size(b);

    for (size_t at = 0; at < n;) {
        struct outcome o;
        bool over;

        read_message(&o, false, in + at, n - at, n);
        MUST(o.status == TAKEN || o.status == INCOMPLETE);
        over = o.status == INCOMPLETE || o.head.upgrade || str_eq(o.head.method, "CONNECT");
        at += o.end;
        outcome_done(&o);
        if (over)
            return;
    }
}

/* ---- the proxy's owner */

static void on_exchange_done(struct http_exchange *x)
{
    (void)x;
    MUST(--exchanges >= 0);
}
static const struct http_exchange_ops exchange_ops = {.on_done = on_exchange_done};

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user;
    MUST(--proxies >= 0 && *reason);
    http_respond(x, 503, NULL, "no", 2);
}
static void on_done(void *user, struct http_exchange *x, int error)
{
    (void)user;
    MUST(--proxies >= 0);
    if (x && error && error != -EPIPE && error != -ECANCELED)
        http_respond(x, 502, NULL, "bad", 3);
}
static const struct http_proxy_ops proxy_ops = {.on_refused = on_refused, .on_done = on_done};

static void on_request(struct http_exchange *x, void *user)
{
    struct http_proxy_request r = {
        .address = address,
        .set = "X-Set: y\r\n",
        .answer_headers = "Rouse-Request-Id: 1\r\n",
        .origin = mode & ORIGIN,
        .tunnel = mode & TUNNEL,
        .target = mode & TARGET ? STR("/other?x") : (struct str){0},
    };
    struct http_proxy *p;

    (void)user;
    exchanges++;
    methods_add(&methods, http_head(x));
    http_set_owner(x, &exchange_ops, NULL);
    proxies++;
    if (http_proxy_start(client, x, &r, &proxy_ops, NULL, &p) < 0) {
        proxies--;
        http_respond(x, 501, NULL, NULL, 0);
    }
}

/* ---- one input */

static void stop(struct loop_deferred *d)
{
    (void)d;
    loop_stop(loop);
}
static void run_once(void)
{
    static struct loop_deferred d = {.fn = stop};

    loop_defer(loop, &d);
    loop_run(loop);
}

static struct http_server *server;
static struct listener *listener;

static void setup(void)
{
    struct http_server_options o = {.on_request = on_request, .hold_limit = 16};

    snprintf(address, sizeof(address), "unix:///tmp/rouse-proxy-fuzz-%d", (int)getpid());
    MUST(loop_new(&loop) == 0 && http_server_new(loop, &o, &server) == 0);
    MUST(listener_open(loop, address, NULL, on_accept, NULL, &listener) == 0);
}
static void remove_socket(void)
{
    listener_close(listener);
}

static void take(int fd, struct buffer *b)
{
    uint8_t piece[4096];
    ssize_t n;

    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
        MUST(buffer_append(b, piece, (size_t)n) == 0);
}

static void play(int fd, const uint8_t *in, size_t n, struct buffer *got)
{
    size_t piece = mode & CLIENT_PIECES ? 7 : n;

    for (size_t at = 0; at < n; at += piece) {
        if (send(fd, in + at, piece < n - at ? piece : n - at, MSG_NOSIGNAL) < 0)
            break;
        run_once();
        take(fd, got);
    }
    for (int i = 0; i < 12; i++) {
        run_once();
        take(fd, got);
    }
}

/* The client leaves, then the backend: nothing may stay. */
static void end(int fd)
{
    int turns = 0;

    close(fd);
    run_once();
    for (size_t i = 0; i < accepted; i++) {
        if (connections[i].conn)
            conn_abort(connections[i].conn, -ECONNRESET);
    }
    while (http_server_stats(server)->connections || exchanges || proxies) {
        run_once();
        MUST(++turns < TURNS_MAX);
    }
    http_client_free(client);
    while (backends) {
        run_once();
        MUST(++turns < TURNS_MAX);
    }
    for (size_t i = 0; i < accepted; i++) {
        check_requests(&connections[i].got);
        buffer_done(&connections[i].got);
        connections[i] = (struct backend){0};
    }
    accepted = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    cleanup_buffer struct buffer got = {0};
    size_t sent;
    int fds[2];

    if (n < 3)
        return 0;
    if (!loop) {
        setup();
        atexit(remove_socket);
    }
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    MUST(http_client_new(loop, NULL, &client) == 0 && http_server_open(server, fds[0]) == 0);
    mode = data[0];
    sent = (data[1] | (size_t)data[2] << 8) % (n - 2);
    answer = data + 3 + sent;
    answer_left = n - 3 - sent;
    methods.n = 0;
    play(fds[1], data + 3, sent, &got);
    end(fds[1]);
    check_answers(&got, &methods);
    return 0;
}
