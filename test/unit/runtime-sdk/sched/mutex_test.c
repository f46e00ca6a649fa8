#include "run.h"

struct shared {
    struct rouse_mutex mutex;
    long count; /* under the mutex, and not atomic */
    int64_t deadline;
    int inside;
    atomic_int left, begun, timedout, canceled;
};

static void add(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 2000; i++) {
        MUST_BE(rouse_mutex_lock(&s->mutex, ROUSE_NEVER), 0);
        MUST_BE(s->inside++, 0);
        s->count++;
        if (i % 64 == 0)
            rouse_yield(); /* held across a wait */
        s->inside--;
        rouse_mutex_unlock(&s->mutex);
    }
    s->left--;
}

static void exclude(void *unused)
{
    struct shared s = {.left = 20};

    (void)unused;
    for (int i = 0; i < 20; i++)
        rouse_spawn(add, &s);
    UNTIL(s.left == 0);
    MUST_BE(s.count, 40000);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), 0);
}

START_TEST(one_at_a_time)
{
    run(exclude);
}
END_TEST

static void unlock_twice(void *unused)
{
    struct rouse_mutex m = {0};

    (void)unused;
    MUST_BE(rouse_mutex_lock(&m, ROUSE_NEVER), 0);
    rouse_mutex_unlock(&m);
    rouse_mutex_unlock(&m);
}

START_TEST(unlocking_what_is_not_locked_aborts)
{
    must_abort(unlock_twice, "rouse_mutex_unlock: the mutex is not locked");
}
END_TEST

static void lock_with_deadline(void *arg)
{
    struct shared *s = arg;
    int r;

    s->begun++;
    r = rouse_mutex_lock(&s->mutex, s->deadline);
    if (r == -ETIMEDOUT)
        s->timedout++;
    else if (r == -ECANCELED)
        s->canceled++;
    else
        rouse_mutex_unlock(&s->mutex);
    s->left--;
}

static void gives_up(void *unused)
{
    struct shared s = {.left = 10};
    struct rouse_scope *scope;

    (void)unused;
    MUST_BE(rouse_mutex_lock(&s.mutex, ROUSE_NEVER), 0);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), -ETIMEDOUT);
    s.deadline = rouse_after(2 * ROUSE_MS);
    for (int i = 0; i < 10; i++)
        rouse_spawn(lock_with_deadline, &s);
    UNTIL(s.left == 0);
    MUST_BE(s.timedout, 10);
    s.deadline = ROUSE_NEVER;
    s.left = 10;
    s.begun = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 10; i++)
        MUST_BE(rouse_scope_spawn(scope, lock_with_deadline, &s), 0);
    UNTIL(s.begun == 10);
    rouse_scope_close(scope);
    MUST_BE(s.canceled, 10);
    /* Nothing is left of them: the next one gets it at once. */
    rouse_mutex_unlock(&s.mutex);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), 0);
    rouse_mutex_unlock(&s.mutex);
}

START_TEST(deadline_and_cancelling_leave_no_trace)
{
    run(gives_up);
}
END_TEST

/* Takes it again and again without ever leaving the processor while it is free. */
static void hog(void *arg)
{
    struct shared *s = arg;

    while (!s->timedout) {
        int64_t until = rouse_after(2 * ROUSE_MS);

        MUST_BE(rouse_mutex_lock(&s->mutex, ROUSE_NEVER), 0);
        while (rouse_now() < until)
            ;
        s->begun = 1;
        rouse_mutex_unlock(&s->mutex);
    }
    s->left--;
}

/* After more than a millisecond the mutex is handed over: a hog that locks again at once does not get it. */
static void starving(void *unused)
{
    struct shared s = {.left = 1};

    (void)unused;
    rouse_spawn(hog, &s);
    UNTIL(s.begun);
    for (int i = 0; i < 5; i++) {
        MUST_BE(rouse_mutex_lock(&s.mutex, ROUSE_NEVER), 0);
        rouse_mutex_unlock(&s.mutex);
    }
    s.timedout = 1;
    UNTIL(s.left == 0);
}

START_TEST(who_waits_long_is_served)
{
    run(starving);
}
END_TEST

/* ---- on one processor, where everything happens in a known order unless this thread is stopped for so long that
 * its processor is taken: then it is tried again */

enum { TRIES = 20 };

struct in_line {
    struct rouse_mutex mutex;
    struct rouse_scope *scope, *others;
    waiting_task first, second;
    int order[2], n; /* under the mutex */
    bool barged;
    atomic_int canceled, served;
};
static void be_served(struct in_line *l, waiting_task *self, int number)
{
    about_to_wait(self);
    if (rouse_mutex_lock(&l->mutex, ROUSE_NEVER) == -ECANCELED) {
        l->canceled++;
        return;
    }
    l->order[l->n++] = number;
    rouse_mutex_unlock(&l->mutex);
    l->served++;
}
static void be_first(void *arg)
{
    struct in_line *l = arg;

    be_served(l, &l->first, 1);
}
static void be_second(void *arg)
{
    struct in_line *l = arg;

    be_served(l, &l->second, 2);
}

/* Two wait; the first is woken, and before it runs the mutex is locked again, if it comes as it should. */
static bool begin_line(struct in_line *l)
{
    MUST_BE(rouse_mutex_lock(&l->mutex, 0), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &l->scope), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &l->others), 0);
    MUST_BE(rouse_scope_spawn(l->scope, be_first, l), 0);
    UNTIL(is_waiting(&l->first));
    MUST_BE(rouse_scope_spawn(l->others, be_second, l), 0);
    UNTIL(is_waiting(&l->second));
    rouse_mutex_unlock(&l->mutex);
    return rouse_mutex_lock(&l->mutex, 0) == 0;
}
static void end_line(struct in_line *l)
{
    MUST_BE(rouse_scope_wait(l->others, ROUSE_NEVER), 0);
    rouse_scope_close(l->others);
    MUST_BE(rouse_scope_wait(l->scope, ROUSE_NEVER), 0);
    rouse_scope_close(l->scope);
}

static void keeps_place(void *arg)
{
    for (int i = 0; i < TRIES; i++) {
        struct in_line l = {0};
        bool begun = begin_line(&l);

        if (begun) {
            UNTIL(is_waiting(&l.first)); /* it runs, finds it locked and waits again */
            rouse_mutex_unlock(&l.mutex);
        }
        end_line(&l);
        MUST_BE(l.served, 2);
        if (begun && l.order[0] == 1) {
            *(bool *)arg = true;
            return;
        }
    }
}

START_TEST(who_was_woken_in_vain_keeps_its_place)
{
    bool right = false;

    run_on("1", keeps_place, &right);
    ck_assert(right);
}
END_TEST

static void passes_on(void *arg)
{
    for (int i = 0; i < TRIES && !*(bool *)arg; i++) {
        struct in_line l = {0};
        bool begun = begin_line(&l);

        if (begun) {
            rouse_scope_cancel(l.scope); /* it was woken already: it sees it when it wants to wait again */
            UNTIL(l.canceled);
            rouse_mutex_unlock(&l.mutex);
        }
        end_line(&l);
        if (begun) {
            MUST_BE(l.served, 1);
            *(bool *)arg = true;
        }
    }
}

START_TEST(who_was_woken_and_cancelled_passes_it_on)
{
    bool right = false;

    run_on("1", passes_on, &right);
    ck_assert(right);
}
END_TEST

/* The mutex is handed to the only one that waits, and hunger is over: it can be taken again in front of one
 * that came later. */
static void was_hungry(void *arg)
{
    struct in_line *l = arg;

    about_to_wait(&l->first);
    MUST_BE(rouse_mutex_lock(&l->mutex, ROUSE_NEVER), 0);
    l->served++;
    UNTIL(is_waiting(&l->second));
    rouse_mutex_unlock(&l->mutex); /* wakes the other, which has not run yet */
    if (rouse_mutex_lock(&l->mutex, 0) == 0) {
        l->barged = true;
        rouse_mutex_unlock(&l->mutex);
    }
}
static void hunger_ends(void *arg)
{
    for (int i = 0; i < TRIES && !*(bool *)arg; i++) {
        struct in_line l = {0};
        int64_t until;

        MUST_BE(rouse_mutex_lock(&l.mutex, 0), 0);
        MUST_BE(rouse_scope_open(ROUSE_NEVER, &l.scope), 0);
        MUST_BE(rouse_scope_open(ROUSE_NEVER, &l.others), 0);
        MUST_BE(rouse_scope_spawn(l.scope, was_hungry, &l), 0);
        UNTIL(is_waiting(&l.first));
        until = rouse_after(2 * ROUSE_MS);
        while (rouse_now() < until)
            ;
        rouse_mutex_unlock(&l.mutex);
        if (rouse_mutex_lock(&l.mutex, 0) == 0) {
            UNTIL(is_waiting(&l.first)); /* woken in vain: from here on it is hungry */
            rouse_mutex_unlock(&l.mutex);
            MUST_BE(rouse_mutex_lock(&l.mutex, 0), -ETIMEDOUT);
        }
        UNTIL(l.served);
        MUST_BE(rouse_scope_spawn(l.others, be_second, &l), 0);
        end_line(&l);
        *(bool *)arg = l.barged;
    }
}

START_TEST(hunger_ends_with_the_last_who_waits)
{
    bool right = false;

    run_on("1", hunger_ends, &right);
    ck_assert(right);
}
END_TEST

/* Locks, cancels and deadlines at random: the count is right, and the mutex is free at the end. */
static void rush(void *arg)
{
    struct shared *s = arg;
    unsigned seed = (unsigned)rouse_task_id() * 7919;

    for (int i = 0; i < 400; i++) {
        unsigned dice = next_random(&seed) % 8;
        int64_t deadline = dice < 3 ? ROUSE_NEVER : rouse_after((int64_t)(dice * 20) * ROUSE_US);

        if (rouse_mutex_lock(&s->mutex, deadline) < 0)
            continue;
        MUST_BE(s->inside++, 0);
        if (next_random(&seed) % 4 == 0)
            rouse_yield();
        if (next_random(&seed) % 64 == 0)
            rouse_sleep(ROUSE_MS + ROUSE_MS / 2); /* makes others hungry */
        s->inside--;
        s->count++;
        rouse_mutex_unlock(&s->mutex);
    }
    s->left--;
}

static void rushes(void *unused)
{
    struct shared s = {.left = 24};
    struct rouse_scope *half;

    (void)unused;
    MUST_BE(rouse_scope_open(rouse_after(20 * ROUSE_MS), &half), 0);
    for (int i = 0; i < 24; i++) {
        if (i % 2)
            rouse_spawn(rush, &s);
        else
            MUST_BE(rouse_scope_spawn(half, rush, &s), 0);
    }
    UNTIL(s.left == 0);
    rouse_scope_close(half);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), 0);
    rouse_mutex_unlock(&s.mutex);
}

START_TEST(a_rush_ends)
{
    run(rushes);
}
END_TEST

/* The memory may go as soon as the last holder has unlocked: ASan looks. */
struct counted {
    struct rouse_mutex mutex;
    int refs;
};
static _Atomic int dropped;
static void drop(void *arg)
{
    struct counted *c = arg;
    bool last;

    MUST_BE(rouse_mutex_lock(&c->mutex, ROUSE_NEVER), 0);
    last = --c->refs == 0;
    rouse_mutex_unlock(&c->mutex);
    if (last)
        free(c);
    dropped++;
}
static void drops(void *unused)
{
    (void)unused;
    dropped = 0;
    for (int i = 0; i < 300; i++) {
        struct counted *c = calloc(1, sizeof(*c));

        c->refs = 4;
        for (int k = 0; k < 4; k++)
            rouse_spawn(drop, c);
        rouse_yield();
    }
    UNTIL(dropped == 1200); /* who comes later is cancelled */
}

START_TEST(the_last_holder_frees_it)
{
    run(drops);
}
END_TEST

UNIT_MAIN("mutex", one_at_a_time, unlocking_what_is_not_locked_aborts,
          deadline_and_cancelling_leave_no_trace, who_waits_long_is_served,
          who_was_woken_in_vain_keeps_its_place, who_was_woken_and_cancelled_passes_it_on,
          hunger_ends_with_the_last_who_waits, a_rush_ends, the_last_holder_frees_it)
