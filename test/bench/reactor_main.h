/* reactor_main.h - the command line of the servers on <rouse/reactor.h>: --port P [--loops N] [--reuseport]
 * [--backend auto|epoll|io_uring]. */
#pragma once
#include <rouse/reactor.h>

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reactor_main(int argc, char **argv, struct rouse_events events)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"loops", required_argument, NULL, 'l'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"reuseport", no_argument, NULL, 'r'},
                                            {0}};
    static const char *const backends[] = {"auto", "epoll", "io_uring"};
    const char *port = "0", *query = "", *address;
    char text[64];
    struct rouse_error e;
    int o;

    events.max_connections = 100000;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            port = optarg;
        else if (o == 'l')
            events.loops = atoi(optarg);
        else if (o == 'r')
            query = "?reuseport=true";
        for (unsigned i = 0; o == 'b' && i < sizeof(backends) / sizeof(*backends); i++) {
            if (!strcmp(optarg, backends[i]))
                events.backend = (enum rouse_backend)i;
        }
        if (o == '?')
            errx(2, "usage: %s --port P [--loops N] [--reuseport] [--backend auto|epoll|io_uring]",
                 argv[0]);
    }
    snprintf(text, sizeof(text), "tcp://127.0.0.1:%s%s", port, query);
    address = text;
    if (rouse_serve(&events, &address, 1, &e) < 0)
        errx(1, "%s", e.message);
    return 0;
}
