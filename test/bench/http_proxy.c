/* http_proxy.c - the engine's reverse proxy and nothing else.
 *
 *   http_proxy [--port P] --upstream tcp://ADDRESS:PORT     0: any port, which is printed
 *
 * One loop. Runs until SIGTERM. */
/* module: runtime-sdk/http */
#include "http/proxy.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static const char *upstream;

static void on_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user;
    http_respond(x, 503, NULL, reason, strlen(reason));
}

static void on_done(void *user, struct http_exchange *x, int error)
{
    (void)user;
    if (error && error != -ECANCELED && error != -EPIPE)
        http_respond(x, error == -ETIMEDOUT ? 504 : 502, NULL, NULL, 0);
}

static const struct http_proxy_ops ops = {.on_refused = on_refused, .on_done = on_done};

static void on_request(struct http_exchange *x, void *user)
{
    struct http_proxy_request r = {.address = upstream};
    struct http_proxy *p;

    (void)user;
    if (http_proxy_start(client, x, &r, &ops, NULL, &p) < 0)
        http_respond(x, 502, NULL, NULL, 0);
}

static void on_signal(int signal)
{
    (void)signal;
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"upstream", required_argument, NULL, 'u'}, {0}};
    struct http_server_options so = {.on_request = on_request, .max_connections = 100000};
    struct http_client_options co = {.max_idle = 4096};
    struct listener_options lo = {.reuseport = true};
    char address[128];
    int port = 0, o, r;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            port = atoi(optarg);
        else if (o == 'u')
            upstream = optarg;
    }
    if (!upstream)
        errx(2, "usage: http_proxy [--port P] --upstream tcp://ADDRESS:PORT");
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
    r = loop_new(&loop);
    if (r == 0)
        r = http_server_new(loop, &so, &server);
    if (r == 0)
        r = http_client_new(loop, &co, &client);
    if (r == 0)
        r = http_server_listen(server, address, &lo);
    if (r < 0)
        errx(1, "%s: %s", address, strerror(-r));
    http_server_address(server, address);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("%s\n", address);
    fflush(stdout);
    loop_run(loop);
    http_server_free(server);
    http_client_free(client);
    loop_free(loop);
    return 0;
}
