#include "run.h"

struct counts {
    atomic_int begun, ended, canceled, refused;
    struct rouse_scope *scope;
    int depth;
};

static struct rouse_scope *scope_open(int64_t deadline)
{
    struct rouse_scope *s;

    MUST_BE(rouse_scope_open(deadline, &s), 0);
    return s;
}

static void short_child(void *arg)
{
    struct counts *c = arg;

    c->begun++;
    rouse_yield();
    c->ended++;
}
/* Until it is cancelled. */
static void long_child(void *arg)
{
    struct counts *c = arg;

    c->begun++;
    MUST_BE(rouse_sleep_until(ROUSE_NEVER), -ECANCELED);
    MUST_BE(rouse_sleep(1), -ECANCELED); /* it sticks */
    MUST(rouse_canceled());
    c->canceled++;
    rouse_yield(); /* and takes its time */
    c->ended++;
}

static void waits(void *unused)
{
    struct counts c = {0};
    struct rouse_scope *s = scope_open(ROUSE_NEVER);

    (void)unused;
    MUST_BE(rouse_scope_wait(s, 0), 0);
    for (int i = 0; i < 100; i++)
        MUST_BE(rouse_scope_spawn(s, short_child, &c), 0);
    MUST_BE(rouse_scope_wait(s, ROUSE_NEVER), 0);
    MUST_BE(c.ended, 100);
    MUST_BE(rouse_scope_spawn(s, long_child, &c), 0); /* it goes on taking children */
    MUST_BE(rouse_scope_wait(s, 0), -ETIMEDOUT);
    MUST_BE(rouse_scope_wait(s, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    rouse_scope_close(s);
    MUST_BE(c.ended, 101);
    MUST_BE(c.canceled, 1);
    MUST(!rouse_canceled()); /* that was the children */
    rouse_scope_close(NULL);
}

START_TEST(waiting_and_closing_join)
{
    run(waits);
}
END_TEST

static void cancels(void *unused)
{
    struct counts c = {0};
    struct rouse_scope *s = scope_open(ROUSE_NEVER);

    (void)unused;
    for (int i = 0; i < 700; i++) /* several batches */
        MUST_BE(rouse_scope_spawn(s, long_child, &c), 0);
    UNTIL(c.begun > 350);
    rouse_scope_cancel(s);
    rouse_scope_cancel(s);
    MUST_BE(rouse_scope_spawn(s, long_child, &c), -ECANCELED);
    MUST_BE(rouse_scope_wait(s, ROUSE_NEVER), 0);
    MUST_BE(c.ended, 700);
    MUST_BE(c.canceled, 700);
    rouse_scope_close(s);
}

START_TEST(cancelling_reaches_every_child)
{
    run(cancels);
}
END_TEST

static void deadline(void *unused)
{
    struct counts c = {0};
    struct rouse_scope *s = scope_open(rouse_after(2 * ROUSE_MS));

    (void)unused;
    for (int i = 0; i < 20; i++)
        rouse_scope_spawn(s, long_child, &c);
    MUST_BE(rouse_scope_wait(s, ROUSE_NEVER), 0);
    MUST_BE(c.canceled, c.begun);
    MUST_BE(rouse_scope_spawn(s, long_child, &c), -ECANCELED);
    rouse_scope_close(s);
    for (int i = 0; i < 300; i++) { /* some ring while they are closed, some never */
        s = scope_open(rouse_after(i % 10 * 10 * ROUSE_US));
        c.begun = c.ended = 0;
        if (i % 3 && rouse_scope_spawn(s, short_child, &c) == 0) {
            rouse_scope_wait(s, ROUSE_NEVER);
            MUST_BE(c.ended, 1);
        }
        rouse_scope_close(s);
    }
    s = scope_open(0); /* passed already */
    while (rouse_scope_spawn(s, short_child, &c) == 0)
        rouse_yield();
    rouse_scope_close(s);
    s = scope_open(rouse_after(3600 * ROUSE_SECOND)); /* the end does not wait for it */
    rouse_scope_close(s);
}

START_TEST(a_deadline_cancels)
{
    run(deadline);
}
END_TEST

/* What the alarm of a closed scope was is another task soon: its waits end when they should. */
static void sleeps_on(void *arg)
{
    atomic_int *left = arg;
    int64_t until = rouse_after(3 * ROUSE_MS);

    MUST_BE(rouse_sleep_until(until), 0);
    MUST(rouse_now() >= until);
    --*left;
}

static void closed_alarms(void *unused)
{
    atomic_int left = 100;

    (void)unused;
    for (int i = 0; i < 100; i++) {
        struct rouse_scope *s = scope_open(rouse_after(ROUSE_MS));

        rouse_scope_close(s);
        rouse_spawn(sleeps_on, &left);
    }
    UNTIL(left == 0);
}

START_TEST(a_closed_scopes_deadline_touches_nobody)
{
    run(closed_alarms);
}
END_TEST

/* ---- nested */

#ifdef __SANITIZE_THREAD__ /* makes tasks slowly */
enum { DEPTH = 400 };
#else
enum { DEPTH = 2000 };
#endif

static void nest(void *arg)
{
    struct counts *c = arg;
    struct rouse_scope *s, *other;
    int r;

    c->begun++;
    s = scope_open(ROUSE_NEVER);
    other = scope_open(ROUSE_NEVER);
    if (rouse_scope_spawn(other, long_child, c) < 0)
        c->refused++;
    if (--c->depth > 0 && rouse_scope_spawn(s, nest, c) < 0)
        c->refused++;
    r = rouse_scope_wait(s, ROUSE_NEVER);
    MUST(r == -ECANCELED || r == 0);
    rouse_scope_close(other);
    rouse_scope_close(s);
    c->ended++;
}

static void nested(void *unused)
{
    struct counts c = {.depth = DEPTH};
    struct rouse_scope *s = scope_open(ROUSE_NEVER);

    (void)unused;
    MUST_BE(rouse_scope_spawn(s, nest, &c), 0);
    UNTIL(c.begun == 2 * DEPTH); /* each has one that is long */
    rouse_scope_close(s);
    MUST_BE(c.ended, 2 * DEPTH);
    MUST_BE(c.canceled, DEPTH);
    MUST_BE(c.refused, 0);
    /* Cancelled while it grows: what comes later is born cancelled, nothing hangs. */
    for (int i = 0; i < 50; i++) {
        c = (struct counts){.depth = DEPTH / 6};
        s = scope_open(i % 2 ? ROUSE_NEVER : rouse_after(i * 5 * ROUSE_US));
        MUST(rouse_scope_spawn(s, nest, &c) == 0 || i % 2 == 0);
        while (i % 2 && c.begun < i)
            rouse_yield();
        rouse_scope_close(s);
        MUST_BE(c.ended, c.begun);
    }
}

START_TEST(nested_scopes_are_cancelled_with_their_parents)
{
    run(nested);
}
END_TEST

/* Cancelling reaches all that a child has opened, though the child itself does not look. */
static void opens_two(void *arg)
{
    struct counts *c = arg;
    struct rouse_scope *a = scope_open(ROUSE_NEVER), *b = scope_open(ROUSE_NEVER);

    MUST_BE(rouse_scope_spawn(a, long_child, c), 0);
    MUST_BE(rouse_scope_spawn(b, long_child, c), 0);
    UNTIL(c->canceled == 2);
    rouse_scope_close(b);
    rouse_scope_close(a);
}

static void two_opened(void *unused)
{
    struct counts c = {0};
    struct rouse_scope *s = scope_open(ROUSE_NEVER);

    (void)unused;
    MUST_BE(rouse_scope_spawn(s, opens_two, &c), 0);
    UNTIL(c.begun == 2);
    rouse_scope_close(s);
    MUST_BE(c.ended, 2);
}

START_TEST(all_that_a_child_opened_is_cancelled)
{
    run(two_opened);
}
END_TEST

/* A child adds children, and cancels. */
static void family(void *arg)
{
    struct counts *c = arg;

    c->begun++;
    for (int i = 0; i < 3 && c->begun < 200; i++) {
        if (rouse_scope_spawn(c->scope, family, c) < 0)
            c->refused++;
    }
    if (c->begun >= 200)
        rouse_scope_cancel(c->scope);
    if (rouse_sleep(ROUSE_US) < 0)
        c->canceled++;
    c->ended++;
}

static void families(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        struct counts c = {.scope = scope_open(ROUSE_NEVER)};

        MUST_BE(rouse_scope_spawn(c.scope, family, &c), 0);
        MUST_BE(rouse_scope_wait(c.scope, ROUSE_NEVER), 0);
        MUST_BE(c.ended, c.begun);
        MUST_BE(rouse_scope_spawn(c.scope, family, &c), -ECANCELED);
        rouse_scope_close(c.scope);
    }
}

START_TEST(children_spawn_and_cancel)
{
    run(families);
}
END_TEST

/* ---- closing is not interrupted; what is not the owner's */

static void close_canceled(void *arg)
{
    struct counts *c = arg;
    struct rouse_scope *s = scope_open(ROUSE_NEVER);
    int before;

    for (int i = 0; i < 10; i++)
        MUST_BE(rouse_scope_spawn(s, long_child, c), 0);
    UNTIL(rouse_canceled());
    MUST_BE(rouse_scope_spawn(s, long_child, c), -ECANCELED);
    MUST_BE(rouse_sleep(0), -ECANCELED);
    before = c->begun;
    rouse_scope_close(s);
    MUST_BE(c->ended, before > 10 ? before : 10);
    s = scope_open(ROUSE_NEVER); /* of a cancelled task: cancelled */
    MUST_BE(rouse_scope_spawn(s, long_child, c), -ECANCELED);
    rouse_scope_close(s);
}
static void not_mine(void *arg)
{
    struct counts *c = arg;

    MUST_BE(rouse_scope_wait(c->scope, ROUSE_NEVER), -EPERM);
}

static void joins(void *unused)
{
    struct counts c = {0};
    struct rouse_scope *s = scope_open(ROUSE_NEVER);

    (void)unused;
    c.scope = s;
    MUST_BE(rouse_scope_spawn(s, close_canceled, &c), 0);
    MUST_BE(rouse_scope_spawn(s, not_mine, &c), 0);
    UNTIL(c.begun == 10);
    rouse_scope_cancel(s);
    MUST_BE(rouse_scope_wait(s, ROUSE_NEVER), 0);
    MUST_BE(c.canceled, 10);
    rouse_scope_close(s);
}

START_TEST(a_cancelled_task_still_joins)
{
    run(joins);
}
END_TEST

static void leaves_open(void *unused)
{
    (void)unused;
    scope_open(ROUSE_NEVER);
}
static void leave(void *unused)
{
    struct rouse_task_options o = {.name = "forgetful"};

    (void)unused;
    rouse_spawn_with(&o, leaves_open, NULL);
    rouse_yield();
    rouse_sleep(ROUSE_SECOND);
}
static void wrong_order(void *unused)
{
    struct rouse_scope *a = scope_open(ROUSE_NEVER);

    (void)unused;
    scope_open(ROUSE_NEVER);
    rouse_scope_close(a);
}

START_TEST(misuse_aborts_with_the_tasks_name)
{
    must_abort(leave, "(forgetful) ends with a scope open");
    must_abort(wrong_order, "(main) closes a scope that is not the newest it opened");
}
END_TEST

/* ---- the end of rouse_run() cancels everybody */

static struct counts last;

static void outlives(void *arg)
{
    struct counts *c = arg;
    struct rouse_scope *s = scope_open(rouse_after(3600 * ROUSE_SECOND));

    for (int i = 0; i < 10; i++)
        rouse_scope_spawn(s, long_child, c);
    rouse_scope_wait(s, ROUSE_NEVER);
    rouse_scope_close(s);
    s = scope_open(rouse_after(3600 * ROUSE_SECOND));
    rouse_scope_close(s);
}
static void ends_early(void *unused)
{
    (void)unused;
    last = (struct counts){0};
    for (int i = 0; i < 10; i++)
        rouse_spawn(outlives, &last);
    UNTIL(last.begun > 50);
}

START_TEST(the_end_cancels_everybody)
{
    static const char *const procs[] = {"1", "2", "8"};

    for (int i = 0; i < 30; i++) {
        run_on(procs[i % 3], ends_early, NULL);
        ck_assert_int_eq(last.ended, last.begun);
        ck_assert_int_eq(last.canceled, last.begun);
    }
}
END_TEST

START_TEST(not_in_a_task)
{
    struct rouse_scope *s;

    ck_assert_int_eq(rouse_scope_open(ROUSE_NEVER, &s), -EPERM);
}
END_TEST

UNIT_MAIN("scope", waiting_and_closing_join, cancelling_reaches_every_child, a_deadline_cancels,
          nested_scopes_are_cancelled_with_their_parents, children_spawn_and_cancel,
          all_that_a_child_opened_is_cancelled, a_closed_scopes_deadline_touches_nobody,
          a_cancelled_task_still_joins, misuse_aborts_with_the_tasks_name,
          the_end_cancels_everybody, not_in_a_task)
