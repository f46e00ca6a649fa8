/* sched_fair.c - what a scheduler keeps and how fair it is, beside fair.go: sched_fair parked N | starved MS | compute
 * HOW READERS.
 *
 * parked: bytes for each of N tasks that wait at once, resident and of page tables. starved: how late, in ms, sleeps
 * of 1 ms end (p50, p99) beside a task that computes without a word, or yields every MS. compute: the share of its
 * speed that a computing task keeps beside READERS tasks in read(2), and the milliseconds until all of them were in it;
 * HOW is undeclared, declared, or busy: declared, and each gets a byte every 10 ms. */
/* module: runtime-sdk/sched */
#include "sched_bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static int argument;
static const char *how;

/* ---- parked */
struct resident {
    long pages, tables;
};
static struct resident resident(void)
{
    char line[256];
    struct resident r = {0};
    FILE *f = fopen("/proc/self/status", "re");

    if (!f)
        err(1, "/proc/self/status");
    while (fgets(line, sizeof(line), f)) {
        if (!strncmp(line, "VmRSS:", 6))
            r.pages = strtol(line + 6, NULL, 10) * 1024;
        else if (!strncmp(line, "VmPTE:", 6))
            r.tables = strtol(line + 6, NULL, 10) * 1024;
    }
    fclose(f);
    return r;
}

struct crowd {
    struct rouse_wait_group begun, ended;
    struct rouse_chan *gate;
};
static void park(void *arg)
{
    struct crowd *c = arg;

    rouse_wait_group_done(&c->begun);
    rouse_chan_receive(c->gate, NULL, ROUSE_NEVER);
    rouse_wait_group_done(&c->ended);
}
static void parked(void *unused)
{
    struct crowd c = {0};
    struct resident before = resident(), now;

    (void)unused;
    must(rouse_chan_new(0, 0, &c.gate));
    rouse_wait_group_add(&c.begun, argument);
    rouse_wait_group_add(&c.ended, argument);
    for (int i = 0; i < argument; i++)
        start(park, &c);
    must(rouse_wait_group_wait(&c.begun, ROUSE_NEVER));
    rouse_sleep(10 * ROUSE_MS);
    now = resident();
    printf("%.1f %.1f\n", (double)(now.pages - before.pages) / argument,
           (double)(now.tables - before.tables) / argument);
    must(rouse_chan_close(c.gate));
    must(rouse_wait_group_wait(&c.ended, ROUSE_NEVER));
    rouse_chan_free(c.gate);
}

/* ---- starved */
static atomic_bool stop;
static void hog(void *arg)
{
    uint64_t x = 1;

    while (!stop) {
        int64_t until = argument ? rouse_after(argument * ROUSE_MS) : ROUSE_NEVER;

        while (!stop && (!argument || rouse_now() < until)) {
            for (int i = 0; i < 1000; i++)
                step(&x);
        }
        rouse_yield();
    }
    *(volatile uint64_t *)arg = x;
}
static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}
static void starved(void *unused)
{
    enum { SLEEPS = 200 };
    static int64_t late[SLEEPS];
    static uint64_t sink;

    (void)unused;
    start(hog, &sink);
    for (int i = 0; i < SLEEPS; i++) {
        int64_t until = rouse_after(ROUSE_MS);

        rouse_sleep_until(until);
        late[i] = rouse_now() - until;
    }
    stop = true;
    qsort(late, SLEEPS, sizeof(*late), compare);
    printf("%.3f %.3f\n", (double)late[SLEEPS / 2] / 1e6, (double)late[SLEEPS * 99 / 100] / 1e6);
}

/* ---- compute */
static volatile uint64_t numbers = 1;
static int64_t work(void) /* a third of a second, with a yield every 50 us or so */
{
    int64_t began = rouse_now();
    uint64_t x = numbers;

    for (int i = 0; i < 6000; i++) {
        for (int j = 0; j < 25000; j++)
            step(&x);
        rouse_yield();
    }
    numbers = x;
    return rouse_now() - began;
}

struct reader {
    struct crowd *crowd;
    int ends[2];
};
static void read_all(void *arg)
{
    struct reader *r = arg;
    bool declared = strcmp(how, "undeclared") != 0;
    char byte;
    ssize_t n;

    rouse_wait_group_done(&r->crowd->begun);
    do {
        if (declared)
            rouse_block_begin();
        n = read(r->ends[0], &byte, 1);
        if (declared)
            rouse_block_end();
    } while (n > 0);
    rouse_wait_group_done(&r->crowd->ended);
}
static void *feed(void *arg)
{
    struct reader *readers = arg;

    while (!stop) {
        for (int i = 0; i < argument; i++) {
            if (write(readers[i].ends[1], "", 1) < 0)
                err(1, "write");
        }
        usleep(10000);
    }
    return NULL;
}
static void compute(void *unused)
{
    struct crowd c = {0};
    struct reader *readers = calloc((size_t)argument, sizeof(*readers));
    int64_t alone = work(), began = rouse_now(), ramp;
    pthread_t feeder;
    bool busy = !strcmp(how, "busy");

    (void)unused;
    if (!readers)
        err(1, "calloc");
    rouse_wait_group_add(&c.begun, argument);
    rouse_wait_group_add(&c.ended, argument);
    for (int i = 0; i < argument; i++) {
        readers[i].crowd = &c;
        if (pipe2(readers[i].ends, O_CLOEXEC) < 0)
            err(1, "pipe2");
        start(read_all, &readers[i]);
    }
    must(rouse_wait_group_wait(&c.begun, ROUSE_NEVER));
    ramp = rouse_now() - began;
    if (busy && pthread_create(&feeder, NULL, feed, readers))
        errx(1, "pthread_create");
    printf("%.4f %.1f\n", (double)alone / (double)work(), (double)ramp / 1e6);
    stop = true;
    if (busy)
        pthread_join(feeder, NULL);
    for (int i = 0; i < argument; i++)
        close(readers[i].ends[1]);
    must(rouse_wait_group_wait(&c.ended, ROUSE_NEVER));
    for (int i = 0; i < argument; i++)
        close(readers[i].ends[0]);
    free(readers);
}

int main(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[1] : "";
    rouse_task_fn *fn = !strcmp(name, "parked")    ? parked
                        : !strcmp(name, "starved") ? starved
                        : !strcmp(name, "compute") ? compute
                                                   : NULL;

    if (!fn)
        errx(2, "usage: %s parked N | starved MS | compute HOW READERS", argv[0]);
    argument = atoi(argv[argc - 1]);
    how = argv[2];
    must(rouse_run(fn, NULL));
    return 0;
}
