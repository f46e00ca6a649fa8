/* http_hello.c - the engine's HTTP server and nothing else: every request is answered "Hello".
 *
 *   http_hello [--port P] [--loops N]     0: any port, which is printed; 1 loop
 *
 * Loops share the port by SO_REUSEPORT, one server on one thread each. Runs until SIGTERM. */
/* module: runtime-sdk/http */
#include "http/server.h"

#include <err.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS_MAX = 64 };

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct http_server *server;
};

static struct worker workers[LOOPS_MAX];
static unsigned loops = 1;

static void on_request(struct http_exchange *x, void *user)
{
    (void)user;
    http_respond(x, 200, "Content-Type: text/plain\r\n", "Hello", 5);
}

static void open_worker(struct worker *w, const char *address)
{
    struct http_server_options o = {.on_request = on_request, .max_connections = 100000};
    struct listener_options lo = {.reuseport = true};
    int r = loop_new(&w->loop);

    if (r == 0)
        r = http_server_new(w->loop, &o, &w->server);
    if (r == 0)
        r = http_server_listen(w->server, address, &lo);
    if (r < 0)
        errx(1, "%s: %s", address, strerror(-r));
}

static void *run(void *worker)
{
    loop_run(((struct worker *)worker)->loop);
    return NULL;
}

static void on_signal(int signal)
{
    (void)signal;
    for (unsigned i = 0; i < loops; i++)
        loop_stop(workers[i].loop);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"loops", required_argument, NULL, 'l'}, {0}};
    char address[128];
    int port = 0, o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            port = atoi(optarg);
        else if (o == 'l' && atoi(optarg) > 0 && atoi(optarg) <= LOOPS_MAX)
            loops = (unsigned)atoi(optarg);
        else
            errx(2, "usage: http_hello [--port P] [--loops 1..%d]", LOOPS_MAX);
    }
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
    for (unsigned i = 0; i < loops; i++) {
        open_worker(&workers[i], address);
        http_server_address(workers[i].server, address);
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("%s\n", address);
    fflush(stdout);
    for (unsigned i = 1; i < loops; i++)
        pthread_create(&workers[i].thread, NULL, run, &workers[i]);
    run(&workers[0]);
    for (unsigned i = 0; i < loops; i++) {
        if (i)
            pthread_join(workers[i].thread, NULL);
        http_server_free(workers[i].server);
        loop_free(workers[i].loop);
    }
    return 0;
}
