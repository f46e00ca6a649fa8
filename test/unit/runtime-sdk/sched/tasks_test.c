/* The life of tasks: at one, two and eight processors. */
#include "rouse/sched.h"
#include "unit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic uint32_t count;

static void with_procs(int n, rouse_task_fn *fn, void *arg)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", n);
    setenv("ROUSE_MAXPROCS", text, 1);
    ck_assert_int_eq(rouse_run(fn, arg), 0);
}

static void add_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

static void yields(void *arg)
{
    for (int i = 0; i < 100; i++)
        rouse_yield();
    add_one(arg);
}

static void spawn_many(void *arg)
{
    uint32_t n = *(uint32_t *)arg;

    for (uint32_t i = 0; i < n; i++)
        ck_assert_int_eq(rouse_spawn(i % 2 ? add_one : yields, NULL), 0);
    while (atomic_load(&count) < n)
        rouse_yield();
}

START_TEST(every_task_runs_once)
{
    static const int procs[] = {1, 2, 8};
    uint32_t n = 5000;

    for (size_t i = 0; i < 3; i++) {
        struct rouse_sched_stats stats;

        atomic_store(&count, 0);
        with_procs(procs[i], spawn_many, &n);
        ck_assert_uint_eq(atomic_load(&count), n);
        rouse_sched_stats(&stats); /* it may be asked after the end, too */
        ck_assert_uint_eq(stats.tasks, 0);
    }
}
END_TEST

static void spawn_tree(void *arg)
{
    long depth = (long)arg;

    atomic_fetch_add(&count, 1);
    for (int i = 0; depth > 0 && i < 4; i++)
        ck_assert_int_eq(rouse_spawn(spawn_tree, (void *)(depth - 1)), 0);
}

/* Nobody waits for them: rouse_run() does. */
START_TEST(the_end_waits_for_all)
{
    atomic_store(&count, 0);
    with_procs(2, spawn_tree, (void *)6l);
    ck_assert_uint_eq(atomic_load(&count), 5461);
}
END_TEST

static void sleeps_for_ever(void *arg)
{
    (void)arg;
    ck_assert_int_eq(rouse_sleep_until(ROUSE_NEVER), -ECANCELED);
    ck_assert(rouse_canceled());
    ck_assert_int_eq(rouse_sleep(ROUSE_SECOND), -ECANCELED); /* it is sticky */
    add_one(NULL);
}

static void leave_sleepers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        rouse_spawn(sleeps_for_ever, NULL);
    ck_assert_int_eq(rouse_sleep(2 * ROUSE_MS), 0); /* some have begun, some have not */
}

START_TEST(the_end_cancels_what_waits)
{
    for (int procs = 1; procs <= 4; procs++) {
        atomic_store(&count, 0);
        with_procs(procs, leave_sleepers, NULL);
        ck_assert_uint_eq(atomic_load(&count), 1000);
    }
}
END_TEST

static void look_at_oneself(void *arg)
{
    _Atomic uint64_t *id = arg;

    atomic_store(id, rouse_task_id());
    ck_assert_str_eq(rouse_task_name(), "a name of thirty-one characters");
}

static void names(void *arg)
{
    struct rouse_task_options options = {.name = "a name of thirty-one characters, and then some",
                                         .stack = 64 << 10};
    _Atomic uint64_t id = 0; /* this one may have lost its processor, and both run */

    (void)arg;
    ck_assert_str_eq(rouse_task_name(), "main");
    ck_assert_int_eq(rouse_spawn_with(&options, look_at_oneself, &id), 0);
    while (!atomic_load(&id))
        rouse_yield();
    ck_assert_uint_ne(atomic_load(&id), rouse_task_id());
    options.stack = 4096;
    ck_assert_int_eq(rouse_spawn_with(&options, look_at_oneself, &id), -EINVAL);
    ck_assert_int_eq(rouse_run(names, NULL), -EBUSY);
}

START_TEST(a_task_has_an_id_and_a_name)
{
    with_procs(1, names, NULL);
}
END_TEST

START_TEST(outside_there_are_no_tasks)
{
    ck_assert_int_eq(rouse_spawn(add_one, NULL), -EPERM);
    ck_assert_int_eq(rouse_sleep(1), -EPERM);
    ck_assert_uint_eq(rouse_task_id(), 0);
    ck_assert_str_eq(rouse_task_name(), "");
    ck_assert(!rouse_canceled());
    rouse_yield();
    rouse_block_begin();
    rouse_block_end();
}
END_TEST

struct pair {
    _Atomic bool stop;
    _Atomic uint32_t turns;
};

static void spin_yielding(void *arg)
{
    struct pair *pair = arg;

    while (!atomic_load(&pair->stop)) {
        atomic_fetch_add(&pair->turns, 1);
        rouse_yield();
    }
}

static void sleep_beside_yielders(void *arg)
{
    struct pair pair = {0};

    (void)arg;
    rouse_spawn(spin_yielding, &pair);
    rouse_spawn(spin_yielding, &pair);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rouse_sleep(ROUSE_MS), 0); /* timers run though the queue is never empty */
    ck_assert_uint_gt(atomic_load(&pair.turns), 20);
    atomic_store(&pair.stop, true);
}

START_TEST(yielding_tasks_do_not_starve_timers)
{
    with_procs(1, sleep_beside_yielders, NULL);
}
END_TEST

enum { SLEEPS = 20, LONG_TURNS = 150 };

static void long_turns(void *arg)
{
    struct pair *pair = arg;

    while (!atomic_load(&pair->stop)) {
        int64_t end = rouse_after(ROUSE_MS);

        while (rouse_now() < end)
            ;
        atomic_fetch_add(&pair->turns, 1);
        rouse_yield();
    }
}

/* By the 61st turn alone each sleep would take some 270 of them. */
static void sleep_beside_long_turns(void *arg)
{
    struct pair pair = {0};

    (void)arg;
    for (int i = 0; i < 70; i++)
        rouse_spawn(long_turns, &pair);
    for (int i = 0; i < SLEEPS; i++)
        ck_assert_int_eq(rouse_sleep(ROUSE_MS), 0);
    ck_assert_uint_lt(atomic_load(&pair.turns), SLEEPS * LONG_TURNS);
    atomic_store(&pair.stop, true);
}

START_TEST(tasks_with_long_turns_do_not_starve_timers)
{
    with_procs(1, sleep_beside_long_turns, NULL);
}
END_TEST

UNIT_MAIN("sched/tasks", every_task_runs_once, the_end_waits_for_all, the_end_cancels_what_waits,
          a_task_has_an_id_and_a_name, outside_there_are_no_tasks,
          yielding_tasks_do_not_starve_timers, tasks_with_long_turns_do_not_starve_timers)
