/* module: runtime-sdk/http */
/* A hostile client against the server itself: whatever comes, each exchange is told on_done() once,
 * the connection ends, and what was written are answers. The first byte decides how the owner behaves and the size of the pieces.
 */
#include "http/server.h"
#include "http_answers.h"

#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct http_server *server;
static uint8_t mode;
static int live;
static struct http_exchange *waiting;
static struct methods methods;

static void answer(struct http_exchange *x)
{
    if (mode & 1) {
        http_respond(x, 200, NULL, "hello", 5);
    } else {
        http_respond_start(x, 200, NULL, mode & 2 ? 3 : -1);
        http_respond_write(x, "abc", 3);
        http_respond_end(x, "X-T: y\r\n");
    }
}
static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    (void)data;
    if (!n && !last)
        abort();
    if ((mode & 4) && n > 3) {
        http_pause_body(x);
        http_resume_body(x);
    }
    if (last)
        answer(x);
}
static void on_done(struct http_exchange *x)
{
    if (x == waiting)
        waiting = NULL;
    if (--live < 0)
        abort();
}
static const struct http_exchange_ops ops = {.on_body = on_body, .on_done = on_done};

static void on_request(struct http_exchange *x, void *user)
{
    (void)user;
    live++;
    methods_add(&methods, http_head(x));
    http_set_owner(x, &ops, NULL);
    if (mode & 8)
        http_read_body(x, 64);
    else if (mode & 16)
        waiting = x; /* held; answered when everything was sent */
    else
        answer(x);
}

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

static void take(int fd, struct buffer *b)
{
    uint8_t piece[4096];
    ssize_t n;

    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
        MUST(buffer_append(b, piece, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    cleanup_buffer struct buffer got = {0};
    size_t piece, at = 1;
    int fds[2];

    if (!loop &&
        (loop_new(&loop) < 0 ||
         http_server_new(loop,
                         &(struct http_server_options){.on_request = on_request, .hold_limit = 32},
                         &server) < 0))
        abort();
    if (n < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return 0;
    mode = data[0];
    methods.n = 0;
    piece = mode & 32 ? 7 : n;
    if (http_server_open(server, fds[0]) < 0)
        abort();
    while (at < n) {
        size_t size = piece < n - at ? piece : n - at;

        if (send(fds[1], data + at, size, MSG_NOSIGNAL) < 0)
            break;
        at += size;
        run_once();
    }
    for (int i = 0; i < 4; i++) {
        if (waiting && (mode & 64))
            http_read_body(waiting, 0);
        else if (waiting)
            answer(waiting);
        run_once();
        take(fds[1], &got);
    }
    close(fds[1]);
    while (http_server_stats(server)->connections || live)
        run_once();
    check_answers(&got, &methods);
    return 0;
}
