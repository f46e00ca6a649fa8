/* Sleeping and deadlines on the whole scheduler: never too early, other processors' timers, races with wakers. */
#include "run.h"

static _Atomic int woken;

static void many_one(void *arg)
{
    unsigned random = (unsigned)(intptr_t)arg;

    for (int i = 0; i < 10; i++) {
        int64_t until = rouse_after(next_random(&random) % 2000 * ROUSE_US);

        MUST_BE(rouse_sleep_until(until), 0);
        MUST(rouse_now() >= until);
    }
}
static void many_run(void *unused)
{
    struct rouse_scope *scope;

    (void)unused;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (intptr_t i = 0; i < 500; i++)
        MUST_BE(rouse_scope_spawn(scope, many_one, (void *)i), 0);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
    MUST_BE(rouse_sleep(-1), 0);
    MUST_BE(rouse_sleep_until(0), 0);
}
START_TEST(many_and_never_too_early)
{
    run(many_run);
}
END_TEST

/* A task that keeps its processor also keeps that one's timers from being run by it: another runs them. */
static void sleeper(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++)
        MUST_BE(rouse_sleep(ROUSE_MS), 0);
    woken++;
}
static void busy_run(void *unused)
{
    (void)unused;
    woken = 0;
    for (int i = 0; i < 100; i++)
        MUST_BE(rouse_spawn(sleeper, NULL), 0);
    rouse_yield(); /* they sleep, most of them with timers of this processor */
    while (woken < 100)
        ;
}
START_TEST(of_a_processor_that_is_kept)
{
    run(busy_run);
}
END_TEST

/* Each receive either gets an item or times out: none is lost, whichever comes first. */
enum { ITEMS = 3000 };
static struct rouse_chan *ch;
static _Atomic int received;
static void receiver(void *arg)
{
    unsigned random = (unsigned)(intptr_t)arg;
    int r;

    for (;;) {
        r = rouse_chan_receive(ch, NULL, rouse_after(next_random(&random) % 100 * ROUSE_US));
        if (r == -EPIPE)
            break;
        MUST(r == 0 || r == -ETIMEDOUT);
        received += r == 0;
    }
}
static void races_run(void *unused)
{
    struct rouse_scope *scope;
    unsigned random = 7;

    (void)unused;
    received = 0;
    MUST_BE(rouse_chan_new(sizeof(int), 0, &ch), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (intptr_t i = 0; i < 20; i++)
        MUST_BE(rouse_scope_spawn(scope, receiver, (void *)i), 0);
    for (int i = 0; i < ITEMS; i++) {
        MUST_BE(rouse_chan_send(ch, &i, ROUSE_NEVER), 0);
        if (next_random(&random) % 4 == 0)
            rouse_sleep(next_random(&random) % 100 * ROUSE_US);
    }
    MUST_BE(rouse_chan_close(ch), 0);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
    MUST_BE(received, ITEMS);
    ch = rouse_chan_free(ch);
}
START_TEST(deadlines_race_with_senders)
{
    run(races_run);
}
END_TEST

static void cancelled_one(void *unused)
{
    (void)unused;
    MUST_BE(rouse_sleep(3600 * ROUSE_SECOND), -ECANCELED);
    MUST_BE(rouse_sleep(ROUSE_MS), -ECANCELED);
    woken++;
}
static void cancelled_run(void *unused)
{
    struct rouse_scope *scope;

    (void)unused;
    woken = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 1000; i++)
        MUST_BE(rouse_scope_spawn(scope, cancelled_one, NULL), 0);
    rouse_sleep(ROUSE_MS);
    rouse_scope_close(scope);
    MUST_BE(woken, 1000);
}
START_TEST(cancelled)
{
    run(cancelled_run);
}
END_TEST

UNIT_MAIN("sched sleep", many_and_never_too_early, of_a_processor_that_is_kept,
          deadlines_race_with_senders, cancelled)
