/* Timers: the heap against a reference, claims, and what a timer that starts tells the poller. */
#include "sched/internal.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

enum { TASKS = 5000 };

/* For what is asked a million times: ck_assert() tells its parent process every time. */
#define want(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            ck_abort_msg("not so: %s", #what);                                                     \
    } while (0)

static struct processor processor, other;
static struct machine machine = {.p = &processor};
static struct task tasks[TASKS];
static int64_t due[TASKS]; /* the reference: 0 is not running */

static void heap_setup(void)
{
    processor.timers.first = INT64_MAX;
    other.timers.first = INT64_MAX;
    sched.polled_at = 1; /* nobody waits in the poller */
    memset(tasks, 0, sizeof(tasks));
    memset(due, 0, sizeof(due));
}

static void start(struct machine *m, int i, int64_t when)
{
    tasks[i].claim += tasks[i].claim % 2 ? 2 : 1; /* a wait of its own, open */
    want(timer_start(m, &tasks[i], when) == 0);
    due[i] = when;
}

static void check_heap(const struct timer_heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        want(h->all[i].task->timer.index == i);
        want(h->all[i].task->timer.heap == h);
        want(h->all[i ? (i - 1) / 4 : 0].when <= h->all[i].when);
    }
    want(h->first == (h->count ? h->all[0].when : INT64_MAX));
}

/* Takes what is due and compares it with the reference. */
static void run_due(struct timer_heap *h, int64_t now)
{
    int64_t last = 0, next;
    struct task *t;

    do {
        struct task_list l = {0};

        next = timers_due(h, now, &l);
        want(l.count <= TIMERS_BATCH);
        while ((t = task_list_pop(&l))) {
            long i = t - tasks;

            want(due[i] != 0);
            want(due[i] <= now);
            want(due[i] >= last);
            want(t->woken == -ETIMEDOUT);
            want(!(t->claim & 1));
            want(!t->timer.heap);
            last = due[i];
            due[i] = 0;
        }
    } while (next <= now);
    for (int i = 0; i < TASKS; i++)
        want(!due[i] || due[i] > now);
}

START_TEST(like_the_reference)
{
    uint64_t r = 88172645463325252ull;
    int64_t now = 1;

    heap_setup();
    for (int n = 0; n < 2000000; n++) {
        int i;

        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        i = (int)(r % TASKS);
        if (due[i]) {
            timer_stop(&tasks[i]);
            want(!tasks[i].timer.heap);
            due[i] = 0;
        } else {
            start(&machine, i, now + 1 + (int64_t)(r >> 40) % 100000);
        }
        if (n % 1000 == 0) {
            now += 500;
            run_due(&processor.timers, now);
            check_heap(&processor.timers);
        }
    }
    run_due(&processor.timers, INT64_MAX - 1);
    want(processor.timers.count == 0);
    timers_done(&processor.timers);
}
END_TEST

START_TEST(a_wait_that_ended_otherwise_is_left_alone)
{
    struct task_list l = {0};

    heap_setup();
    start(&machine, 0, 10);
    start(&machine, 1, 11);
    ck_assert(wait_claim(&tasks[0], 7)); /* woken, but not running yet: its timer is still there */
    ck_assert_int_eq(timers_due(&processor.timers, 20, &l), INT64_MAX);
    ck_assert_uint_eq(l.count, 1);
    ck_assert_ptr_eq(l.first, &tasks[1]);
    ck_assert_int_eq(tasks[0].woken, 7);
    timer_stop(&tasks[0]); /* is not running: nothing */
    timers_done(&processor.timers);
}
END_TEST

START_TEST(a_stopped_first_one_is_no_longer_the_first)
{
    heap_setup();
    start(&machine, 0, 10);
    start(&machine, 1, 30);
    ck_assert_int_eq(processor.timers.first, 10);
    timer_stop(&tasks[0]);
    ck_assert_int_eq(processor.timers.first, 30);
    timer_stop(&tasks[1]);
    ck_assert_int_eq(processor.timers.first, INT64_MAX);
    timers_done(&processor.timers);
}
END_TEST

START_TEST(a_heap_moves_whole)
{
    struct machine m2 = {.p = &other};

    heap_setup();
    for (int i = 0; i < 1000; i++)
        start(i % 3 ? &machine : &m2, i, 1000 - i);
    ck_assert_int_eq(timers_move(&processor.timers, &other.timers), 0);
    ck_assert_uint_eq(other.timers.count, 0);
    ck_assert_int_eq(other.timers.first, INT64_MAX);
    check_heap(&processor.timers);
    timer_stop(&tasks[0]); /* was of the other */
    due[0] = 0;
    run_due(&processor.timers, 2000);
    timers_done(&processor.timers);
    timers_done(&other.timers);
}
END_TEST

/* One thread starts and stops, two take what is due: every wait ends once, and nothing is left. */
static _Atomic bool stop_taking;
static _Atomic int64_t now_there;
static void *take_due(void *arg)
{
    uint64_t *taken = arg;

    while (!stop_taking) {
        struct task_list l = {0};

        timers_due(&processor.timers, now_there, &l);
        for (struct task *t; (t = task_list_pop(&l)); ++*taken)
            atomic_store(&t->on_cpu, 0); /* the owner may use it again */
    }
    return NULL;
}

START_TEST(taken_by_others_meanwhile)
{
    uint64_t taken[2] = {0}, started = 0, stopped = 0;
    uint64_t r = 88172645463325252ull;
    pthread_t threads[2];

    heap_setup();
    stop_taking = false;
    now_there = 1;
    for (int i = 0; i < 2; i++)
        want(pthread_create(&threads[i], NULL, take_due, &taken[i]) == 0);
    for (int n = 0; n < 300000; n++) {
        struct task *t;

        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        t = &tasks[r % 200];
        if (!atomic_load(&t->on_cpu)) {
            atomic_store(&t->on_cpu, 1); /* here: a wait is open */
            t->claim++;
            want(timer_start(&machine, t, now_there + (int64_t)(r >> 32) % 300) == 0);
            started++;
        } else if (wait_claim_generation(t, wait_generation(t), 0)) {
            timer_stop(t);
            want(!t->timer.heap);
            atomic_store(&t->on_cpu, 0);
            stopped++;
        }
        atomic_fetch_add(&now_there, 1);
    }
    atomic_store(&now_there, INT64_MAX - 1);
    while (processor.timers.first != INT64_MAX)
        ;
    stop_taking = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    want(processor.timers.count == 0);
    want(started == stopped + taken[0] + taken[1]);
    ck_assert_uint_gt(stopped, 0);
    ck_assert_uint_gt(taken[0] + taken[1], 0);
    timers_done(&processor.timers);
}
END_TEST

START_TEST(a_sooner_timer_ends_the_wait_in_the_poller)
{
    struct task_list l = {0};

    heap_setup();
    ck_assert_int_eq(poller_init(), 0);
    sched.polled_at = 0;
    sched.poll_until = rouse_now() + 3600 * ROUSE_SECOND;
    start(&machine, 0, sched.poll_until + 1); /* it looks in time for that one */
    poller_look(rouse_now() + ROUSE_MS, &l);  /* returns by its deadline */
    start(&machine, 1, sched.poll_until - 1);
    poller_look(0, &l); /* does not take it away from one that waits */
    poller_look(rouse_now() + 600 * ROUSE_SECOND, &l);
    ck_assert_uint_eq(l.count, 0);
    poller_done();
    timers_done(&processor.timers);
}
END_TEST

UNIT_MAIN("sched timers", like_the_reference, a_wait_that_ended_otherwise_is_left_alone,
          a_stopped_first_one_is_no_longer_the_first, a_heap_moves_whole, taken_by_others_meanwhile,
          a_sooner_timer_ends_the_wait_in_the_poller)
