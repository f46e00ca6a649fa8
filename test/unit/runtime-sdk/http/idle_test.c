/* What an idle keep-alive connection costs after it has served a request: by malloc's own accounts. */
#include "base/cleanup.h"
#include "http/server.h"
#include "unit.h"
#include "turn.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CONNECTIONS = 10000, BYTES_EACH = 600 };

static struct loop *loop;
static struct http_server *server;

static void on_request(struct http_exchange *x, void *user)
{
    char client[128];

    (void)user;
    http_client_text(x, client);
    http_respond(x, 200, NULL, "hello", 5);
}
static size_t in_use(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}
/* The far end of a connection that has been answered. */
static int serve_one(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char got[512];
    int fds[2];
    ssize_t n;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(http_server_open(server, fds[0]), 0);
    ck_assert_int_eq(send(fds[1], request, sizeof(request) - 1, 0), sizeof(request) - 1);
    while ((n = recv(fds[1], got, sizeof(got), MSG_DONTWAIT)) < 0)
        run_once(loop);
    ck_assert_int_gt(n, 0);
    return fds[1];
}

START_TEST(ten_thousand_idle_connections)
{
    struct http_server_options o = {.on_request = on_request, .max_connections = CONNECTIONS + 1};
    struct rlimit files;
    static int ends[CONNECTIONS];
    size_t before, each;
    int n;
    cleanup_free void *probe = malloc(100000);

    if (!probe || in_use() < 100000) {
        puts("skipped: this malloc keeps no accounts");
        return;
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    n = files.rlim_cur < 2 * CONNECTIONS + 64 ? (int)(files.rlim_cur - 64) / 2 : CONNECTIONS;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &o, &server), 0);
    close(serve_one()); /* what the first one brings stays: an exchange, a chunk */
    run_once(loop);
    before = in_use();
    for (int i = 0; i < n; i++)
        ends[i] = serve_one();
    run_once(loop);
    ck_assert_uint_eq(http_server_stats(server)->connections, (unsigned)n);
    each = (in_use() - before) / (size_t)n;
    printf("%d connections, bytes each: %zu\n", n, each);
    ck_assert_uint_le(each, BYTES_EACH);
    for (int i = 0; i < n; i++)
        close(ends[i]);
    http_server_free(server);
    loop_free(loop);
}
END_TEST

UNIT_MAIN("idle", ten_thousand_idle_connections)
