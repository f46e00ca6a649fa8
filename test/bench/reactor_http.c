/* reactor_http.c - a constant answer on the reactor's streams: reactor_http --port P [--loops N]. Runs until it is killed. */
/* module: runtime-sdk/reactor */
#include "hello_answer.h"
#include "reactor/conn.h"

#include <err.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    const uint8_t *at = in, *end;

    while (at < in + n && (end = memmem(at, (size_t)(in + n - at), "\r\n\r\n", 4))) {
        conn_write(c, HELLO_ANSWER, sizeof(HELLO_ANSWER) - 1);
        at = end + 4;
    }
    return (size_t)(at - in);
}

static void on_closed(struct conn *c, int error)
{
    (void)c, (void)error;
}

static void on_accept(void *loop, int fd)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_closed = on_closed};
    struct conn *c;

    if (conn_open(loop, fd, &ops, NULL, NULL, &c) < 0)
        close(fd);
}

static void *run(void *address)
{
    struct listener_options o = {.reuseport = true, .max_connections = 100000};
    struct listener *listener;
    struct loop *loop;
    int r = loop_new(&loop);

    if (r == 0)
        r = listener_open(loop, address, &o, on_accept, loop, &listener);
    if (r < 0)
        errx(1, "%s: %s", (char *)address, strerror(-r));
    loop_run(loop);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"loops", required_argument, NULL, 'l'}, {0}};
    char address[64] = "";
    pthread_t thread;
    int loops = 1, o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            snprintf(address, sizeof(address), "tcp://127.0.0.1:%s", optarg);
        else if (o == 'l')
            loops = atoi(optarg);
        else
            errx(2, "usage: reactor_http --port P [--loops N]");
    }
    for (int i = 1; i < loops; i++)
        pthread_create(&thread, NULL, run, address);
    run(address);
}
