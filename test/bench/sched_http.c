/* sched_http.c - a constant answer to every head that ends, pipelined ones too, by a task for each connection on the public <rouse/net.h>. Runs until it is killed. */
/* module: runtime-sdk/sched */
#include "hello_answer.h"

#include <rouse/net.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT = 4096, PIPELINED = 16 };

/* What follows the last whole head stays, at the front. */
static size_t answers(char *input, size_t size, struct iovec out[PIPELINED], int *ret_n)
{
    char *at = input, *last = input + size, *end;

    *ret_n = 0;
    while (*ret_n < PIPELINED && (end = memmem(at, (size_t)(last - at), "\r\n\r\n", 4))) {
        out[(*ret_n)++] = (struct iovec){(char *)HELLO_ANSWER, sizeof(HELLO_ANSWER) - 1};
        at = end + 4;
    }
    memmove(input, at, (size_t)(last - at));
    return (size_t)(last - at);
}

static void connection(void *arg)
{
    int fd = (int)(intptr_t)arg, n, r = 0;
    char input[INPUT];
    size_t have = 0;

    while (r == 0 && have < sizeof(input)) {
        struct iovec out[PIPELINED];
        ssize_t got = rouse_read(fd, input + have, sizeof(input) - have, ROUSE_NEVER);

        if (got <= 0)
            break;
        have += (size_t)got;
        do {
            have = answers(input, have, out, &n);
            if (n == 1)
                r = rouse_write(fd, out->iov_base, out->iov_len, NULL, ROUSE_NEVER);
            else if (n)
                r = rouse_writev(fd, out, n, NULL, ROUSE_NEVER);
        } while (r == 0 && n == PIPELINED);
    }
    rouse_close(fd);
}

static void server(void *port)
{
    char address[ROUSE_ADDRESS_MAX];
    int fd, c, r;

    snprintf(address, sizeof(address), "tcp://127.0.0.1:%s", (const char *)port);
    r = rouse_listen(address, 0, &fd);
    if (r < 0)
        errx(1, "%s: %s", address, strerror(-r));
    for (;;) {
        c = rouse_accept(fd, ROUSE_NEVER);
        if (c >= 0 && rouse_spawn(connection, (void *)(intptr_t)c) == 0)
            continue;
        if (c >= 0)
            rouse_close(c);
        rouse_sleep(ROUSE_MS);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || strcmp(argv[1], "--port") != 0)
        errx(2, "usage: [ROUSE_MAXPROCS=N] %s --port P", argv[0]);
    return rouse_run(server, argv[2]) < 0;
}
