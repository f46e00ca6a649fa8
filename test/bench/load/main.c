/* main.c - load: a load generator that is cheaper than the servers it measures. Prints one line of JSON.
 *
 *   load --port P [--path /] [--connections 64] [--seconds 1] [--warmup 0.2] [--depth 1] [--echo SIZE]
 *        [--rate PER_SECOND] [--each N] [--hold] [--cpu-of PID,PID...]
 *
 * Closed loop, or open loop with --rate. --each N: every connection sends N requests, and the run ends when
 * all are answered; with --hold, the connections stay open until standard input ends. --cpu-of: the CPU time
 * these processes take between the end of the warm-up and the end of the count, so that opening and closing
 * of connections is not in it. Runs are bounded: 120 s, 20,000 connections. */
#include "bench/load/client.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PIDS_MAX = 512, CONNECTIONS_MAX = 20000 };
#define SECOND 1000000000u

static const char *path = "/", *method = "GET";
static double seconds = 1, warmup = 0.2;
static size_t echo_size;
static bool hold;
static clockid_t clocks[PIDS_MAX];
static uint64_t cpu[PIDS_MAX];
static unsigned pids;
static uint64_t own_cpu, began, ended;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0};

    clock_gettime(clock, &t); /* a process that is gone counts 0 */
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* At the start of the count cpu[] becomes the negative of the readings, at its end the difference. */
static void read_cpu(bool start)
{
    for (unsigned i = 0; i < pids; i++)
        cpu[i] = start ? -clock_ns(clocks[i]) : cpu[i] + clock_ns(clocks[i]);
    own_cpu =
        start ? -clock_ns(CLOCK_PROCESS_CPUTIME_ID) : own_cpu + clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    *(start ? &began : &ended) = now_ns();
}

static void add_pids(char *list)
{
    for (char *save, *pid = strtok_r(list, ",", &save); pid; pid = strtok_r(NULL, ",", &save)) {
        if (pids == PIDS_MAX)
            errx(2, "at most %d processes", PIDS_MAX);
        if (clock_getcpuclockid(atoi(pid), &clocks[pids++]))
            errx(2, "no process %s", pid);
    }
}

static char *make_batch(struct plan *p)
{
    char request[1024], *batch;
    int n;

    p->echo = echo_size;
    p->request_size = echo_size;
    if (!p->echo) {
        n = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                     method, path, ntohs(p->address.sin_port));
        if (n >= (int)sizeof(request))
            errx(2, "the path is too long");
        p->request_size = (size_t)n;
    }
    if (p->request_size * p->depth > BATCH_MAX || !(batch = malloc(p->request_size * p->depth)))
        errx(2, "--echo times --depth: at most %d bytes", BATCH_MAX);
    memset(batch, 'x', p->request_size * p->depth);
    for (unsigned i = 0; !p->echo && i < p->depth; i++)
        memcpy(batch + i * p->request_size, request, p->request_size);
    return batch;
}

static void options(int argc, char **argv, struct plan *p)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"path", required_argument, NULL, 'P'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"warmup", required_argument, NULL, 'w'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"echo", required_argument, NULL, 'e'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"each", required_argument, NULL, 'n'},
                                          {"hold", no_argument, NULL, 'h'},
                                          {"cpu-of", required_argument, NULL, 'u'},
                                          {"method", required_argument, NULL, 'm'},
                                          {0}};
    int o;

    while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (o) {
        case 'p':
            p->address.sin_port = htons((uint16_t)atoi(optarg));
            break;
        case 'P':
            path = optarg;
            break;
        case 'm':
            method = optarg;
            break;
        case 'c':
            p->connections = (unsigned)atoi(optarg);
            break;
        case 's':
            seconds = atof(optarg);
            break;
        case 'w':
            warmup = atof(optarg);
            break;
        case 'd':
            p->depth = (unsigned)atoi(optarg);
            break;
        case 'e':
            echo_size = (size_t)atoi(optarg);
            break;
        case 'r':
            p->rate = atof(optarg);
            break;
        case 'n':
            p->each = (unsigned)atoi(optarg);
            break;
        case 'h':
            hold = true;
            break;
        case 'u':
            add_pids(optarg);
            break;
        default:
            errx(2, "see the head of test/bench/load/main.c");
        }
    }
    if (!p->address.sin_port || p->connections < 1 || p->connections > CONNECTIONS_MAX ||
        p->depth < 1 || p->depth > DEPTH_MAX || seconds + warmup > 120 ||
        (p->rate > 0 && p->depth != 1))
        errx(2, "needs --port; 1 to %d connections, 1 to %d deep (1 with --rate), 120 s at most",
             CONNECTIONS_MAX, DEPTH_MAX);
}

/* Until `until`, or until no request is on its way when `all`. */
static void turns(struct load *l, uint64_t until, bool all)
{
    int r = 0;

    while (r == 0 && l->now < until && !(all && !l->busy))
        r = load_turn(l, until);
    if (r < 0)
        errx(1, "%llu errors, the first: %s", (unsigned long long)l->errors, l->error);
}

static void print(const struct load *l, uint64_t requests, double share)
{
    const struct histogram *h = &l->latency;
    double span = (double)(ended - began) / 1e9;

    printf("{\"requests\": %llu, \"seconds\": %.6f, \"rps\": %.1f, \"errors\": %llu, \"unfinished\": %u, "
           "\"client_busy\": %.3f, \"mean_us\": %.2f, ",
           (unsigned long long)requests, span, (double)requests / span, (unsigned long long)l->errors,
           l->busy, share, h->count ? h->sum / (double)h->count / 1e3 : 0);
    printf("\"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f, "
           "\"late_p99_us\": %.2f, \"cpu_ns\": [",
           (double)histogram_at(h, 0.5) / 1e3, (double)histogram_at(h, 0.9) / 1e3,
           (double)histogram_at(h, 0.99) / 1e3, (double)histogram_at(h, 0.999) / 1e3,
           (double)h->max / 1e3, (double)histogram_at(&l->late, 0.99) / 1e3);
    for (unsigned i = 0; i < pids; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)cpu[i]);
    printf("]}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct load l; /* the histogram is too large for a stack */
    struct plan p = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                     .connections = 64,
                     .depth = 1};
    struct rlimit files;
    uint64_t requests, unsent = 0;
    char *batch, byte;
    int r;

    options(argc, argv, &p);
    p.batch = batch = make_batch(&p);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    r = load_connect(&l, &p);
    if (r < 0)
        errx(1, "connect: %s%s%s", strerror(-r), l.error ? ": " : "", l.error ? l.error : "");
    load_start(&l);
    if (!p.each)
        turns(&l, l.now + (uint64_t)(warmup * 1e9), false);
    l.counting = true;
    l.count_from = l.now;
    read_cpu(true);
    turns(&l, l.now + (uint64_t)((p.each ? 120 : seconds) * 1e9), p.each);
    read_cpu(false);
    requests = l.requests;
    l.stopping = true;
    l.last_due = ended;
    turns(&l, ended + 2ull * SECOND, true); /* the late ones count, in an open loop above all */
    if (p.rate > 0)
        unsent = (uint64_t)((double)(ended - l.first_due) * p.rate / 1e9) - l.sent_due;
    l.busy += (int64_t)unsent > 0 ? (unsigned)unsent : 0;
    print(&l, requests, (double)own_cpu / (double)(ended - began));
    while (hold && read(STDIN_FILENO, &byte, 1) > 0)
        ;
    load_done(&l);
    free(batch);
    return l.errors ? 1 : 0;
}
