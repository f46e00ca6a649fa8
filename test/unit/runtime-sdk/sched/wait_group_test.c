#include "run.h"

struct job {
    struct rouse_wait_group group;
    atomic_int ran, waiting, passed;
    int plain[32]; /* each written by one task, read by the one that waited */
};
struct part {
    struct job *job;
    int i;
};

static void work(void *arg)
{
    struct part *p = arg;

    if (p->i % 3 == 0)
        rouse_yield();
    p->job->plain[p->i]++;
    p->job->ran++;
    rouse_wait_group_done(&p->job->group);
}

/* Rounds on one group, on the stack, the way Go's are used. */
static void rounds(void *unused)
{
    (void)unused;
    for (int round = 1; round <= 200; round++) {
        struct job j = {0};
        struct part parts[32];

        MUST_BE(rouse_wait_group_wait(&j.group, ROUSE_NEVER), 0);
        rouse_wait_group_add(&j.group, 32);
        for (int i = 0; i < 32; i++) {
            parts[i] = (struct part){&j, i};
            rouse_spawn(work, &parts[i]);
        }
        MUST_BE(rouse_wait_group_wait(&j.group, ROUSE_NEVER), 0);
        MUST_BE(j.ran, 32);
        for (int i = 0; i < 32; i++)
            MUST_BE(j.plain[i], 1);
    }
}

START_TEST(waits_for_all)
{
    run(rounds);
}
END_TEST

static void wait_too(void *arg)
{
    struct job *j = arg;

    j->waiting++;
    MUST_BE(rouse_wait_group_wait(&j->group, ROUSE_NEVER), 0);
    j->passed++;
}

static void many(void *unused)
{
    struct job j = {0};

    (void)unused;
    rouse_wait_group_add(&j.group, 1);
    for (int i = 0; i < 20; i++)
        rouse_spawn(wait_too, &j);
    UNTIL(j.waiting == 20);
    rouse_yield();
    MUST_BE(j.passed, 0);
    rouse_wait_group_done(&j.group);
    UNTIL(j.passed == 20);
    MUST_BE(rouse_wait_group_wait(&j.group, 0), 0);
}

START_TEST(any_number_waits)
{
    run(many);
}
END_TEST

static void cancel_me(void *arg)
{
    struct job *j = arg;

    j->waiting++;
    MUST_BE(rouse_wait_group_wait(&j->group, ROUSE_NEVER), -ECANCELED);
    j->passed++;
}

static void ends(void *unused)
{
    struct job j = {0};
    struct rouse_scope *s;

    (void)unused;
    rouse_wait_group_add(&j.group, 2);
    MUST_BE(rouse_wait_group_wait(&j.group, 0), -ETIMEDOUT);
    MUST_BE(rouse_wait_group_wait(&j.group, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &s), 0);
    rouse_scope_spawn(s, cancel_me, &j);
    UNTIL(j.waiting);
    rouse_yield();
    rouse_scope_close(s);
    MUST_BE(j.passed, 1);
    rouse_wait_group_add(&j.group, -2); /* nobody is there any more */
    MUST_BE(rouse_wait_group_wait(&j.group, 0), 0);
    rouse_wait_group_add(&j.group, 1); /* and again */
    MUST_BE(rouse_wait_group_wait(&j.group, 0), -ETIMEDOUT);
    rouse_wait_group_done(&j.group);
    MUST_BE(rouse_wait_group_wait(&j.group, 0), 0);
}

START_TEST(deadline_and_cancelling)
{
    run(ends);
}
END_TEST

/* A wait that ended by its deadline looks again, finds 0 and frees, while the last done() is at it. */
struct heap_job {
    struct rouse_wait_group group;
};
static void done_late(void *arg)
{
    struct heap_job *j = arg;
    int64_t until = rouse_after(20 * ROUSE_US);

    while (rouse_now() < until)
        ;
    rouse_wait_group_done(&j->group);
}
static void frees(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        struct heap_job *j = calloc(1, sizeof(*j));

        rouse_wait_group_add(&j->group, 1);
        rouse_spawn(done_late, j);
        while (rouse_wait_group_wait(&j->group, rouse_after((10 + i % 20) * ROUSE_US)) < 0)
            ;
        free(j);
    }
}

START_TEST(whoever_finds_0_may_free_it)
{
    run(frees);
}
END_TEST

static void below(void *unused)
{
    struct rouse_wait_group g = {0};

    (void)unused;
    rouse_wait_group_add(&g, 1);
    rouse_wait_group_add(&g, -2);
}

START_TEST(below_0_aborts)
{
    must_abort(below, "rouse_wait_group_add: the count is below 0");
}
END_TEST

START_TEST(foreign_threads_do_nothing)
{
    struct rouse_wait_group g = {0};

    rouse_wait_group_add(&g, -1);
    ck_assert_uint_eq(g.opaque[0], 0);
    ck_assert_int_eq(rouse_wait_group_wait(&g, ROUSE_NEVER), -EPERM);
}
END_TEST

UNIT_MAIN("wait_group", waits_for_all, any_number_waits, deadline_and_cancelling,
          whoever_finds_0_may_free_it, below_0_aborts, foreign_threads_do_nothing)
