/* sched_tasks.c - what tasks cost, each beside its twin in yardstick_gosched: sched_tasks NAME.
 *
 * Prints nanoseconds of one operation, measured after a warm-up of a tenth; ROUSE_MAXPROCS sets the processors. */
/* module: runtime-sdk/sched */
#include "sched_bench.h"

static void measure(long n, void (*work)(long n))
{
    int64_t began;

    work(n / 10);
    began = rouse_now();
    work(n);
    printf("%.2f\n", (double)(rouse_now() - began) / (double)n);
}
static void wait_for(struct rouse_wait_group *g)
{
    must(rouse_wait_group_wait(g, ROUSE_NEVER));
}
static struct rouse_chan *channel(size_t capacity)
{
    struct rouse_chan *ch;

    must(rouse_chan_new(sizeof(long), capacity, &ch));
    return ch;
}
static void send(struct rouse_chan *ch, long v)
{
    must(rouse_chan_send(ch, &v, ROUSE_NEVER));
}
static long receive(struct rouse_chan *ch)
{
    long v;

    must(rouse_chan_receive(ch, &v, ROUSE_NEVER));
    return v;
}
static void want(bool right)
{
    if (!right)
        errx(1, "a wrong result");
}

static void done(void *g)
{
    rouse_wait_group_done(g);
}
static void spawn(long n)
{
    struct rouse_wait_group g = {0};

    for (long i = 0; i < n; i++) {
        rouse_wait_group_add(&g, 1);
        start(done, &g);
    }
    wait_for(&g);
}

struct share {
    struct rouse_wait_group g;
    struct rouse_mutex m;
    long each, sum;
    uint64_t state;
};
static void yielder(void *arg)
{
    struct share *s = arg;

    for (long i = 0; i < s->each; i++)
        rouse_yield();
    rouse_wait_group_done(&s->g);
}
static void share_out(struct share *s, int tasks, rouse_task_fn *fn)
{
    rouse_wait_group_add(&s->g, tasks);
    for (int i = 0; i < tasks; i++)
        start(fn, s);
    wait_for(&s->g);
}
static void yield2(long n)
{
    share_out(&(struct share){.each = n / 2}, 2, yielder);
}
static void yield1000(long n)
{
    share_out(&(struct share){.each = n / 1000}, 1000, yielder);
}

struct pair {
    struct rouse_chan *there, *back, *done;
    long n;
};
static void ponger(void *arg)
{
    struct pair *p = arg;

    for (long i = 0; i < p->n; i++)
        send(p->back, receive(p->there));
    send(p->done, 0);
}
static void pingpong(long n)
{
    struct pair p = {.there = channel(0), .back = channel(0), .done = channel(0), .n = n};

    start(ponger, &p);
    for (long i = 0; i < n; i++) {
        send(p.there, i);
        want(receive(p.back) == i);
    }
    receive(p.done);
    rouse_chan_free(p.there);
    rouse_chan_free(p.back);
    rouse_chan_free(p.done);
}

static void consumer(void *arg)
{
    struct pair *p = arg;
    long sum = 0, v;

    while (!rouse_chan_receive(p->there, &v, ROUSE_NEVER))
        sum += v;
    send(p->done, sum);
}
static void buffered(long n)
{
    struct pair p = {.there = channel(128), .done = channel(0)};

    start(consumer, &p);
    for (long i = 0; i < n; i++)
        send(p.there, i);
    must(rouse_chan_close(p.there));
    want(receive(p.done) == n * (n - 1) / 2);
    rouse_chan_free(p.there);
    rouse_chan_free(p.done);
}

struct skynet_node {
    struct rouse_chan *up;
    long first, size;
};
static void skynet_node(void *arg)
{
    struct skynet_node self = *(struct skynet_node *)arg, children[10];
    struct rouse_chan *down;
    long sum = 0;

    if (self.size == 1) {
        send(self.up, self.first);
        return;
    }
    down = channel(0);
    for (int i = 0; i < 10; i++) {
        children[i] = (struct skynet_node){down, self.first + i * (self.size / 10), self.size / 10};
        start(skynet_node, &children[i]);
    }
    for (int i = 0; i < 10; i++)
        sum += receive(down);
    rouse_chan_free(down);
    send(self.up, sum);
}
static void skynet(long n)
{
    struct skynet_node root = {.up = channel(0), .size = n};

    start(skynet_node, &root);
    want(receive(root.up) == n * (n - 1) / 2);
    rouse_chan_free(root.up);
}

struct fib_node {
    struct rouse_wait_group *parent;
    long n, ret;
};
static void fib_node(void *arg)
{
    struct fib_node *self = arg;

    if (self->n < 2) {
        self->ret = self->n;
    } else {
        struct rouse_wait_group g = {0};
        struct fib_node a = {&g, self->n - 1, 0}, b = {&g, self->n - 2, 0};

        rouse_wait_group_add(&g, 2);
        start(fib_node, &a);
        start(fib_node, &b);
        wait_for(&g);
        self->ret = a.ret + b.ret;
    }
    rouse_wait_group_done(self->parent);
}
/* fib(27) has 832,040 nodes; fib(22) warms up. */
static void fib(long n)
{
    struct rouse_wait_group g = {0};
    struct fib_node root = {&g, n >= 832040 ? 27 : 22, 0};

    rouse_wait_group_add(&g, 1);
    start(fib_node, &root);
    wait_for(&g);
    want(root.ret == (root.n == 27 ? 196418 : 17711));
}

enum { MUTEX_TASKS = 64 };
static void locker(void *arg)
{
    struct share *s = arg;

    for (long i = 0; i < s->each; i++) {
        must(rouse_mutex_lock(&s->m, ROUSE_NEVER));
        step(&s->state);
        s->sum++;
        rouse_mutex_unlock(&s->m);
    }
    rouse_wait_group_done(&s->g);
}
static void mutex(long n)
{
    struct share s = {.each = n / MUTEX_TASKS, .state = 1};

    share_out(&s, MUTEX_TASKS, locker);
    want(s.sum == s.each * MUTEX_TASKS);
}

static const struct {
    const char *name;
    long n;
    void (*work)(long n);
} all[] = {
    {"spawn", 1000000, spawn},
    {"yield2", 10000000, yield2},
    {"yield1000", 10000000, yield1000},
    {"pingpong", 2000000, pingpong},
    {"buffered", 10000000, buffered},
    {"skynet", 1000000, skynet},
    {"fib", 832040, fib},
    {"mutex", 10000000, mutex},
};
static void run(void *name)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (!strcmp(name, all[i].name)) {
            measure(all[i].n, all[i].work);
            return;
        }
    }
    errx(2, "no measurement %s", (char *)name);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: %s NAME", argv[0]);
    must(rouse_run(run, argv[1]));
    return 0;
}
