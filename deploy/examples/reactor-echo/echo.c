/* echo.c - an echo server on <rouse/reactor.h>, for streams and datagrams; no function.
 *
 *     cc -O2 -o echo echo.c $(pkg-config --cflags --libs rouse-reactor)
 *     ./echo tcp://:5000 udp://:5000 unix:///tmp/echo.sock
 *
 * It runs on every cpu it may use and ends with SIGINT or SIGTERM. */
#include <rouse/reactor.h>

#include <signal.h>
#include <stdio.h>

static struct rouse_server *server;

static void on_signal(int signal)
{
    (void)signal;
    rouse_shutdown(server);
}

static enum rouse_action serving(struct rouse_server *s)
{
    struct sigaction act = {.sa_handler = on_signal};

    for (size_t i = 0; i < rouse_server_addresses(s); i++)
        printf("listening on %s\n", rouse_server_address(s, i));
    fflush(stdout);
    server = s;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    return ROUSE_NONE;
}

static enum rouse_action opened(struct rouse_conn *c, struct rouse_conn_options *options,
                                struct rouse_output *out)
{
    (void)c, (void)out;
    options->reuse_input_buffer = true; /* nothing is kept beyond data() */
    return ROUSE_NONE;
}

static enum rouse_action data(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    (void)c;
    rouse_append(out, in->data, in->size);
    return ROUSE_NONE;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"tcp://127.0.0.1:5000"};
    struct rouse_events events = {.loops = -1, .serving = serving, .opened = opened, .data = data};
    struct rouse_error error;
    int r = argc > 1 ? rouse_serve(&events, (const char *const *)argv + 1, (size_t)argc - 1, &error)
                     : rouse_serve(&events, usual, 1, &error);

    if (r < 0)
        fprintf(stderr, "echo: %s\n", error.message);
    return r < 0;
}
