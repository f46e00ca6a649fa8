#include "run.h"

struct shared {
    struct rouse_once once;
    int calls; /* not atomic: written once, read after rouse_once() */
    atomic_int begun, passed, go;
    int result;
};

static int call(void *arg)
{
    struct shared *s = arg;

    UNTIL(s->go);
    s->calls++;
    return s->result;
}
static void caller(void *arg)
{
    struct shared *s = arg;

    s->begun++;
    MUST_BE(rouse_once(&s->once, call, s, ROUSE_NEVER), s->result);
    MUST_BE(s->calls, 1);
    s->passed++;
}

static void with_result(int result)
{
    struct shared s = {.result = result};

    for (int i = 0; i < 20; i++)
        rouse_spawn(caller, &s);
    UNTIL(s.begun == 20);
    MUST_BE(s.passed, 0);
    s.go = 1;
    UNTIL(s.passed == 20);
    MUST_BE(rouse_once(&s.once, call, &s, 0), result);
    MUST_BE(s.calls, 1);
}
static void results(void *unused)
{
    (void)unused;
    with_result(0);
    with_result(7);
    with_result(-EIO);
}

START_TEST(everybody_gets_the_result_of_the_one)
{
    run(results);
}
END_TEST

static void canceled_caller(void *arg)
{
    struct shared *s = arg;

    s->begun++;
    MUST_BE(rouse_once(&s->once, call, s, ROUSE_NEVER), -ECANCELED);
    s->passed++;
}

static void ends(void *unused)
{
    struct shared s = {.result = 3};
    struct rouse_scope *scope;

    (void)unused;
    rouse_spawn(caller, &s);
    UNTIL(s.begun);
    MUST_BE(rouse_once(&s.once, call, &s, 0), -ETIMEDOUT);
    MUST_BE(rouse_once(&s.once, call, &s, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    rouse_scope_spawn(scope, canceled_caller, &s);
    UNTIL(s.begun == 2);
    rouse_scope_close(scope);
    MUST_BE(s.passed, 1);
    s.go = 1;
    UNTIL(s.passed == 2);
}

START_TEST(deadline_and_cancelling_of_those_who_wait)
{
    run(ends);
}
END_TEST

UNIT_MAIN("once", everybody_gets_the_result_of_the_one, deadline_and_cancelling_of_those_who_wait)
