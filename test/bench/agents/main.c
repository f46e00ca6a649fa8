/* main.c - agents: so many agents on the control channel of a running controller, told by lines what to do.
 *
 *   agents --control tcp://HOST:PORT [--agents 100] [--functions 10000]
 *
 * Once all have been sent the routes it prints "joined SECONDS". Then, a line in, a line out:
 *
 *   cold FIRST COUNT WINDOW   requests for functions FIRST and following, WINDOW at a time, until all are answered and
 *                             agent 0 has been told of every instance:
 *                             "cold SECONDS ANSWERED REFUSED, then p50 p99 most in us from a ticket to its Desired, and
 *                             to its answer"
 *   instances COUNT           waits until there are so many: "instances SECONDS STARTED", the latter since the start
 *   busy COUNT                functions below COUNT are called each second from now on: "busy COUNT"
 *
 * It ends with standard input. */
#include "base/cleanup.h"
#include "bench/agents/crowd.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { AGENTS_MAX = 5000, FUNCTIONS_MAX = 1000000 };

static struct loop *loop;
static enum { JOINING, IDLE, COLD, INSTANCES } doing;
static uint64_t began;
static unsigned first, count, window, next, want;
static uint64_t answered_before;
static char line[256];
static size_t line_size;

static double seconds(void)
{
    return (double)(clock_monotonic_ns() - began) / (double)NS_PER_S;
}

/* ---- cold */

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void print_times(uint64_t *ns, size_t n)
{
    qsort(ns, n, sizeof(*ns), by_value);
    printf(" %.1f %.1f %.1f", (double)ns[n / 2] / 1e3, (double)ns[n * 99 / 100] / 1e3,
           (double)ns[n - 1] / 1e3);
}

static void cold_over(struct crowd *c)
{
    uint64_t *placed = calloc(count, sizeof(*placed)), *done = calloc(count, sizeof(*done));
    unsigned refused = 0, n = 0;

    if (!placed || !done)
        errx(1, "out of memory");
    for (unsigned k = 0; k < count; k++) {
        const struct call *call = &c->calls[first + k];

        refused += call->refused;
        if (call->refused || !call->desired_ns) /* an instance was there */
            continue;
        placed[n] = call->desired_ns - call->sent_ns;
        done[n++] = call->answered_ns - call->sent_ns;
    }
    printf("cold %.4f %u %u", seconds(), count, refused);
    if (n) {
        print_times(placed, n);
        print_times(done, n);
    }
    puts("");
    free(placed);
    free(done);
}

static unsigned answers(const struct crowd *c)
{
    return (unsigned)(c->answered - answered_before);
}

static void on_change(struct crowd *c)
{
    switch (doing) {
    case JOINING:
        if (c->routed < c->agent_count)
            return;
        printf("joined %.3f\n", seconds());
        break;
    case COLD:
        while (next < first + count && next - first - answers(c) < window)
            crowd_call(c, next++);
        if (answers(c) < count || c->reachable < c->ready)
            return;
        cold_over(c);
        break;
    case INSTANCES:
        if (c->ready != want)
            return;
        printf("instances %.4f %llu\n", seconds(), (unsigned long long)c->started);
        break;
    case IDLE:
        return;
    }
    doing = IDLE;
}

/* ---- what is asked */

static void command(struct crowd *c, const char *text)
{
    if (doing != IDLE)
        errx(2, "one thing after the other");
    began = clock_monotonic_ns();
    if (sscanf(text, "cold %u %u %u", &first, &count, &window) == 3) {
        if (!count || !window || first + count > c->function_count)
            errx(2, "cold: there are %u functions", c->function_count);
        next = first;
        answered_before = c->answered;
        doing = COLD;
    } else if (sscanf(text, "instances %u", &want) == 1) {
        doing = INSTANCES;
    } else if (sscanf(text, "busy %u", &c->busy) == 1) {
        printf("busy %u\n", c->busy);
        return;
    } else {
        errx(2, "cold, instances or busy, not \"%s\"", text);
    }
    on_change(c);
}

struct input {
    struct loop_watch watch;
    struct crowd *crowd;
};

static void on_input(struct loop_watch *w, uint32_t events)
{
    struct input *in = container_of(w, struct input, watch);
    ssize_t n = read(w->fd, line + line_size, sizeof(line) - 1 - line_size);
    char *end;

    (void)events;
    if (n <= 0) {
        loop_stop(loop);
        return;
    }
    line_size += (size_t)n;
    line[line_size] = 0;
    end = strchr(line, '\n');
    if (!end && line_size == sizeof(line) - 1)
        errx(2, "the line is too long");
    if (!end)
        return;
    *end = 0;
    line_size = 0;
    command(in->crowd, line);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"control", required_argument, NULL, 'c'},
                                            {"agents", required_argument, NULL, 'a'},
                                            {"functions", required_argument, NULL, 'f'},
                                            {0}};
    unsigned agents = 100, functions = 10000;
    const char *control = NULL;
    struct input in = {.watch = {.fd = 0, .fn = on_input}};
    struct rlimit l;
    int opt, r;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'c')
            control = optarg;
        else if (opt == 'a')
            agents = (unsigned)atoi(optarg);
        else if (opt == 'f')
            functions = (unsigned)atoi(optarg);
        else
            return 2;
    }
    if (!control || optind < argc || !agents || agents > AGENTS_MAX || functions > FUNCTIONS_MAX)
        errx(2, "usage: agents --control tcp://HOST:PORT [--agents 1..%d] [--functions 0..%d]",
             AGENTS_MAX, FUNCTIONS_MAX);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
    began = clock_monotonic_ns();
    r = loop_new(&loop);
    if (r == 0)
        r = crowd_new(loop, control, agents, functions, on_change, &in.crowd);
    if (r == 0)
        r = loop_watch_set(loop, &in.watch, LOOP_READ);
    if (r < 0)
        errx(1, "%s: %s", control, strerror(-r));
    loop_run(loop);
    crowd_free(in.crowd);
    loop_free(loop);
    return 0;
}
