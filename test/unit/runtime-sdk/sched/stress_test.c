/* stress_test.c - no wake-up is lost: everything that a task can wait for, at random, on 1, 2 and 8 processors.
 *
 * Rings of tasks pass one token each and do something random before they pass it on; nothing but the token wakes
 * the next one, so that one lost wake-up stops a ring for ever. Beside them scopes are cancelled while their
 * children wait for everything there is, endless loops need their processor taken, pipes are read, the number of
 * processors changes. Everything that was sent is counted when it arrives. */
#include "run.h"
#include "stress.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { RINGS = 6, RING = 12, CHURNERS = 4, CHILDREN = 10, FLOWS = 3, READERS = 3, HOGS = 2 };

static struct rouse_wait_group everybody;
static struct rouse_chan *never; /* nobody sends there */
static struct rouse_mutex shared_mutex;
static uint64_t shared_sum, shared_adds[RINGS * RING];

static void start(rouse_task_fn *fn, void *arg)
{
    rouse_wait_group_add(&everybody, 1);
    MUST_BE(rouse_spawn(fn, arg), 0);
}
static void ended(struct stress_line *l)
{
    if (l)
        l->ended = true;
    rouse_wait_group_done(&everybody);
}

/* ---- what a task does between two waits */

static void child(void *g)
{
    rouse_yield();
    rouse_wait_group_done(g);
}
static void have_children(unsigned n)
{
    struct rouse_wait_group g = {0};

    rouse_wait_group_add(&g, (int)n);
    for (unsigned i = 0; i < n; i++)
        MUST_BE(rouse_spawn(child, &g), 0);
    MUST_BE(rouse_wait_group_wait(&g, ROUSE_NEVER), 0);
}
static void block(void)
{
    rouse_block_begin();
    usleep(50);
    rouse_block_end();
}
static void pinned(void)
{
    rouse_pin();
    rouse_yield();
    rouse_sleep(10 * ROUSE_US);
    rouse_unpin();
}
static void compute(int64_t ns)
{
    int64_t until = rouse_after(ns);

    while (rouse_now() < until)
        ;
}
static void locked(unsigned who)
{
    MUST_BE(rouse_mutex_lock(&shared_mutex, ROUSE_NEVER), 0);
    shared_sum++;
    shared_adds[who]++;
    rouse_mutex_unlock(&shared_mutex);
}
static void something(uint64_t *random, unsigned who)
{
    switch (stress_random(random, 64)) {
    case 0 ... 9:
        rouse_yield();
        break;
    case 10 ... 13:
        rouse_sleep((int64_t)stress_random(random, 100) * ROUSE_US);
        break;
    case 14 ... 15:
        have_children(1 + stress_random(random, 20));
        break;
    case 16:
        block();
        break;
    case 17:
        pinned();
        break;
    case 18 ... 19:
        compute((int64_t)stress_random(random, 30) * ROUSE_US);
        break;
    case 20 ... 35:
        locked(who);
        break;
    default:
        break;
    }
}

/* ---- rings */

struct member {
    unsigned number;
    struct rouse_chan *from, *to;
    struct stress_line *line; /* of the first of a ring */
};
static long take_token(struct member *m, uint64_t *random)
{
    long token = -2;

    if (stress_random(random, 4)) {
        MUST_BE(rouse_chan_receive(m->from, &token, ROUSE_NEVER), 0);
    } else {
        struct rouse_case cases[] = {{never, ROUSE_RECEIVE, NULL, 0},
                                     {m->from, ROUSE_RECEIVE, &token, 0}};

        MUST_BE(rouse_select(cases, 2, ROUSE_NEVER), 1);
        MUST_BE(cases[1].result, 0);
    }
    return token;
}
/* With a deadline that may pass: then it has not been taken, and is sent again. */
static void pass_token(struct member *m, long token, uint64_t *random)
{
    int r;

    do {
        bool hurry = !stress_random(random, 8);

        r = rouse_chan_send(m->to, &token,
                            hurry ? rouse_after((int64_t)stress_random(random, 50) * ROUSE_US)
                                  : ROUSE_NEVER);
        MUST(!r || (hurry && r == -ETIMEDOUT));
    } while (r);
}
/* The token counts its steps; -1 ends everybody who gets it. */
static void member(void *arg)
{
    struct member *m = arg;
    uint64_t random = stress_state(m->number);
    long expected = m->number % RING, token;

    for (;;) {
        if (m->line && !expected) {
            token = 0; /* the first one makes it */
        } else {
            token = take_token(m, &random);
            if (token == -1)
                break;
            MUST_BE(token, expected);
        }
        expected += RING;
        something(&random, m->number);
        if (m->line) {
            stress_step(m->line);
            if (stress.over)
                break;
        }
        pass_token(m, token + 1, &random);
    }
    pass_token(m, -1, &random);
    if (m->line)
        take_token(m, &random); /* it came around */
    ended(m->line);
}
static struct member members[RINGS * RING];
static void rings_start(void)
{
    static struct rouse_chan *channels[RINGS * RING];

    for (unsigned i = 0; i < RINGS * RING; i++)
        MUST_BE(rouse_chan_new(sizeof(long), i % 3 ? 0 : 1, &channels[i]), 0);
    for (unsigned i = 0; i < RINGS * RING; i++) {
        unsigned next = i % RING == RING - 1 ? i + 1 - RING : i + 1;

        members[i] =
            (struct member){i, channels[i], channels[next], i % RING ? NULL : stress_line("ring")};
        start(member, &members[i]);
    }
}
static void rings_done(void)
{
    for (unsigned i = 0; i < RINGS * RING; i++)
        rouse_chan_free(members[i].from);
}

/* ---- scopes that are cancelled, or whose time passes, while their children wait */

struct brood {
    struct rouse_mutex mutex; /* its owner holds it */
    struct rouse_cond cond;
    struct rouse_wait_group group; /* never 0 while they live */
    _Atomic unsigned number, gone;
};
static void wait_for_anything(struct brood *b, unsigned what)
{
    struct rouse_mutex mine = {0};
    struct rouse_case one = {never, ROUSE_RECEIVE, NULL, 0};
    int r;

    switch (what % 6) {
    case 0:
        r = rouse_chan_receive(never, NULL, ROUSE_NEVER);
        break;
    case 1:
        r = rouse_sleep(3600 * ROUSE_SECOND);
        break;
    case 2:
        r = rouse_mutex_lock(&b->mutex, ROUSE_NEVER);
        break;
    case 3:
        MUST_BE(rouse_mutex_lock(&mine, ROUSE_NEVER), 0);
        r = rouse_cond_wait(&b->cond, &mine, ROUSE_NEVER);
        rouse_mutex_unlock(&mine);
        break;
    case 4:
        r = rouse_wait_group_wait(&b->group, ROUSE_NEVER);
        break;
    default:
        r = rouse_select(&one, 1, ROUSE_NEVER);
    }
    MUST_BE(r, -ECANCELED);
}
static void brood_child(void *arg)
{
    struct brood *b = arg;
    unsigned number = b->number++;

    if (rouse_canceled() == false)
        wait_for_anything(b, number);
    b->gone++;
}
static void churner(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state((uintptr_t)arg);

    while (!stress.over) {
        struct brood b = {.number = stress_random(&random, 6)};
        int64_t deadline = stress_random(&random, 2)
                               ? ROUSE_NEVER
                               : rouse_after((int64_t)stress_random(&random, 300) * ROUSE_US);
        struct rouse_scope *scope;
        unsigned n = 0;

        rouse_wait_group_add(&b.group, 1);
        MUST_BE(rouse_mutex_lock(&b.mutex, ROUSE_NEVER), 0);
        MUST_BE(rouse_scope_open(deadline, &scope), 0);
        for (int i = 0; i < CHILDREN; i++)
            n += !rouse_scope_spawn(scope, brood_child, &b);
        something(&random, 0);
        if (deadline != ROUSE_NEVER)
            MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
        else if (stress_random(&random, 2))
            rouse_scope_cancel(scope);
        rouse_scope_close(scope);
        MUST_BE(b.gone, n);
        rouse_mutex_unlock(&b.mutex);
        stress_step(line);
    }
    ended(line);
}

/* ---- many to many, through a buffer: nothing is lost and nothing comes twice */

struct flow {
    struct rouse_chan *items;
    struct stress_line *line;
    struct rouse_wait_group senders;
    _Atomic uint64_t sent, received;
};
static void sender(void *arg)
{
    struct flow *f = arg;

    for (uint64_t i = 1; !stress.over; i++) {
        MUST_BE(rouse_chan_send(f->items, &i, ROUSE_NEVER), 0);
        f->sent += i;
    }
    rouse_wait_group_done(&f->senders);
    ended(NULL);
}
static void receiver(void *arg)
{
    struct flow *f = arg;
    uint64_t i, random = stress_state((uintptr_t)&random);

    while (!rouse_chan_receive(f->items, &i, ROUSE_NEVER)) {
        f->received += i;
        stress_step(f->line);
        if (!stress_random(&random, 64))
            rouse_sleep(ROUSE_US);
    }
    ended(NULL);
}
static void flow(void *arg)
{
    struct flow *f = arg;

    MUST_BE(rouse_wait_group_wait(&f->senders, ROUSE_NEVER), 0);
    MUST_BE(rouse_chan_close(f->items), 0);
    ended(f->line);
}
static struct flow flows[FLOWS];
static void flows_start(void)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        struct flow *f = &flows[i];

        MUST_BE(rouse_chan_new(sizeof(uint64_t), i * i, &f->items), 0);
        f->line = stress_line("flow");
        rouse_wait_group_add(&f->senders, 2);
        start(sender, f);
        start(sender, f);
        start(receiver, f);
        start(receiver, f);
        start(receiver, f);
        start(flow, f);
    }
}

/* ---- endless loops, which only their neighbour ends, after a sleep */

static void relief(void *flag)
{
    rouse_sleep(ROUSE_MS);
    atomic_store((atomic_bool *)flag, true);
}
static void hog(void *arg)
{
    struct stress_line *line = arg;

    while (!stress.over) {
        atomic_bool relieved = false;

        MUST_BE(rouse_spawn(relief, &relieved), 0);
        while (!relieved)
            ;
        stress_step(line);
        rouse_sleep(5 * ROUSE_MS);
    }
    ended(line);
}

/* ---- reads that block the thread, declared or not */

struct reading {
    struct stress_line *line;
    int ends[2];
    pthread_t writer;
    bool declared;
};
static ssize_t __attribute__((noinline)) read_byte(int fd)
{
    char byte;

    return read(fd, &byte, 1);
}
static void *writes(void *arg)
{
    struct reading *r = arg;

    while (!stress.over && write(r->ends[1], "", 1) == 1)
        usleep(700);
    close(r->ends[1]);
    return NULL;
}
static void reader(void *arg)
{
    struct reading *r = arg;
    ssize_t n;

    do {
        if (r->declared)
            rouse_block_begin();
        n = read_byte(r->ends[0]);
        if (r->declared)
            rouse_block_end();
        stress_step(r->line);
    } while (n == 1);
    ended(r->line);
}
static struct reading readings[READERS];
static void readers_start(void)
{
    for (unsigned i = 0; i < READERS; i++) {
        readings[i].line = stress_line("read");
        readings[i].declared = i % 2 == 0;
        MUST_BE(pipe2(readings[i].ends, O_CLOEXEC), 0);
        MUST_BE(pthread_create(&readings[i].writer, NULL, writes, &readings[i]), 0);
        start(reader, &readings[i]);
    }
}
static void readers_done(void)
{
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readings[i].writer, NULL);
        close(readings[i].ends[0]);
    }
}

/* ---- the number of processors */

static int procs_at_first;
static void changer(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state(1);

    while (!stress.over) {
        MUST(rouse_maxprocs(1 + (int)stress_random(&random, 8)) > 0);
        stress_step(line);
        rouse_sleep((int64_t)stress_random(&random, 20) * ROUSE_MS);
        rouse_maxprocs(procs_at_first);
        rouse_sleep(20 * ROUSE_MS);
    }
    ended(line);
}

static void all_of_it(void *unused)
{
    uint64_t sum = 0;

    (void)unused;
    procs_at_first = rouse_maxprocs(0);
    MUST_BE(rouse_chan_new(0, 0, &never), 0);
    rings_start();
    for (unsigned i = 0; i < CHURNERS; i++)
        start(churner, stress_line("scope"));
    flows_start();
    for (unsigned i = 0; i < HOGS; i++)
        start(hog, stress_line("hog"));
    readers_start();
    start(changer, stress_line("maxprocs"));
    MUST_BE(rouse_wait_group_wait(&everybody, ROUSE_NEVER), 0);
    rings_done();
    readers_done();
    for (unsigned i = 0; i < FLOWS; i++) {
        MUST_BE(flows[i].sent, flows[i].received);
        rouse_chan_free(flows[i].items);
    }
    for (unsigned i = 0; i < RINGS * RING; i++)
        sum += shared_adds[i];
    MUST_BE(shared_sum, sum);
    rouse_chan_free(never);
}

/* ---- waits that end while they begin, and processors that are taken all the time */

static void family(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state((uintptr_t)arg);

    while (!stress.over) {
        have_children(1 + stress_random(&random, 4));
        stress_step(line);
    }
    ended(line);
}
/* A wait of a few microseconds: its timer is due while the task leaves its stack, or soon after. */
static void hurrier(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state((uintptr_t)arg);

    while (!stress.over) {
        int64_t deadline = rouse_after((int64_t)stress_random(&random, 5000));

        MUST_BE(rouse_chan_receive(never, NULL, deadline), -ETIMEDOUT);
        MUST(rouse_now() >= deadline);
        stress_step(line);
    }
    ended(line);
}
/* Outside the scheduler, then quickly in and out: it meets those that take its processor. */
static void visitor(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state((uintptr_t)arg);

    while (!stress.over) {
        compute((int64_t)stress_random(&random, 300));
        for (unsigned n = stress_random(&random, 500); n > 0; n--)
            locked(0);
        rouse_yield();
        stress_step(line);
    }
    ended(line);
}
static void quick_changer(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state(2);

    while (!stress.over) {
        rouse_maxprocs(1 + (int)stress_random(&random, (uint32_t)procs_at_first));
        compute((int64_t)stress_random(&random, 100) * ROUSE_US);
        rouse_yield();
        stress_step(line);
    }
    ended(line);
}
static void storm(void *unused)
{
    (void)unused;
    procs_at_first = rouse_maxprocs(0);
    MUST_BE(rouse_chan_new(0, 0, &never), 0);
    for (unsigned i = 0; i < 4; i++) {
        start(family, stress_line("family"));
        start(hurrier, stress_line("hurrier"));
        start(visitor, stress_line("visitor"));
    }
    start(quick_changer, stress_line("maxprocs"));
    MUST_BE(rouse_wait_group_wait(&everybody, ROUSE_NEVER), 0);
    MUST_BE(shared_sum, shared_adds[0]);
    rouse_chan_free(never);
}

/* ---- a task that computes until another one has run: an idle processor must be woken for that one */

static void answer(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
}
static void asker(void *arg)
{
    struct stress_line *line = arg;
    uint64_t random = stress_state((uintptr_t)arg);

    while (!stress.over) {
        atomic_bool answered = false;

        MUST_BE(rouse_spawn(answer, &answered), 0);
        while (!answered)
            ;
        stress_step(line);
        compute((int64_t)stress_random(&random, 20) * ROUSE_US);
    }
    ended(line);
}
static void asking(void *unused)
{
    struct stress_line *line = stress_line("asker");
    struct rouse_sched_stats stats;

    (void)unused;
    start(asker, line);
    MUST_BE(rouse_wait_group_wait(&everybody, ROUSE_NEVER), 0);
    rouse_sched_stats(&stats);
    printf("stress: %llu of %llu answers took a processor that was in use\n",
           (unsigned long long)stats.preemptions, (unsigned long long)line->steps);
    /* The monitor helps a task whose wake-up was lost, 10 ms later, and one that got no cpu in that time. */
    MUST(stats.preemptions < 2 + line->steps / 2);
}

static const int procs[] = {1, 2, 8};

START_TEST(no_wake_up_is_lost)
{
    ck_assert_int_eq(stress_run(procs[_i], all_of_it), 0);
}
END_TEST
START_TEST(takers_and_those_who_enter_agree)
{
    ck_assert_int_eq(stress_run(procs[_i], storm), 0);
}
END_TEST
START_TEST(idle_processor_is_woken)
{
    ck_assert_int_eq(stress_run(procs[_i], asking), 0);
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *tc = unit_case("sched/stress", &r);

    tcase_add_loop_test(tc, no_wake_up_is_lost, 0, 3);
    tcase_add_loop_test(tc, takers_and_those_who_enter_agree, 0, 3);
    tcase_add_loop_test(tc, idle_processor_is_woken, 1, 3);
    return unit_run(r);
}
