/* yardstick_libuv.c - the same two servers on libuv, one loop, in the shape that its guide shows.
 *
 *   yardstick_libuv --port P [--echo]
 *
 * One shared read buffer (the loop has one thread), answers by uv_try_write, which is a write and no
 * request to allocate; a short write falls back to uv_write. */
/* libs: -luv */
#include "hello_answer.h"

#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { INPUT = 64 * 1024 };

struct client {
    uv_tcp_t tcp;
    unsigned matched; /* of the head's empty line, across reads */
};
struct rest {
    uv_write_t request;
    char data[];
};

static bool echo;
static char input[INPUT];

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h, (void)suggested;
    *buf = uv_buf_init(input, sizeof(input));
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    free(w);
}

static void put(uv_stream_t *s, const char *data, size_t n)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
    int sent = uv_try_write(s, &buf, 1);
    struct rest *w;

    if (sent == (int)n)
        return;
    if (sent < 0)
        sent = 0;
    w = malloc(sizeof(*w) + n - (size_t)sent);
    if (!w)
        err(1, "a write");
    memcpy(w->data, data + sent, n - (size_t)sent);
    buf = uv_buf_init(w->data, (unsigned)(n - (size_t)sent));
    if (uv_write(&w->request, s, &buf, 1, on_written))
        free(w);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    static const char end[] = "\r\n\r\n";
    struct client *c = (struct client *)s;
    const char *at = buf->base, *stop;

    if (n < 0) {
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    if (n == 0)
        return;
    if (echo) {
        put(s, buf->base, (size_t)n);
        return;
    }
    stop = at + n;
    if (!c->matched) { /* whole heads, the usual case */
        const char *found;

        while (at < stop && (found = memmem(at, (size_t)(stop - at), end, 4))) {
            put(s, HELLO_ANSWER, sizeof(HELLO_ANSWER) - 1);
            at = found + 4;
        }
        if (stop - at > 3)
            at = stop - 3;
    }
    for (; at < stop; at++) {
        c->matched = *at == end[c->matched] ? c->matched + 1 : *at == '\r';
        if (c->matched == 4) {
            put(s, HELLO_ANSWER, sizeof(HELLO_ANSWER) - 1);
            c->matched = 0;
        }
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct client *c = calloc(1, sizeof(*c));

    if (!c || status < 0)
        errx(1, "a connection");
    uv_tcp_init(listener->loop, &c->tcp);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp)) {
        uv_close((uv_handle_t *)&c->tcp, on_closed);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"echo", no_argument, NULL, 'e'}, {0}};
    struct sockaddr_in sin;
    uv_tcp_t listener;
    int port = 0, o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            port = atoi(optarg);
        else if (o == 'e')
            echo = true;
        else
            errx(2, "usage: yardstick_libuv --port P [--echo]");
    }
    uv_ip4_addr("127.0.0.1", port, &sin);
    uv_tcp_init(uv_default_loop(), &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&sin, 0) ||
        uv_listen((uv_stream_t *)&listener, 4096, on_connection))
        errx(1, "port %d", port);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
