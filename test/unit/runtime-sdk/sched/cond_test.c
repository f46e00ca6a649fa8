#include "run.h"

enum { TASKS = 16 };

/* A bounded stack of numbers: every one that was put is taken once. */
struct store {
    struct rouse_mutex mutex;
    struct rouse_cond filled, emptied;
    int items[4], n;
    long put, taken, sum_put, sum_taken; /* under the mutex */
    atomic_int left, waiting, woken, canceled, timedout;
    int held;
    bool go;
};

static void lock(struct store *s)
{
    MUST_BE(rouse_mutex_lock(&s->mutex, ROUSE_NEVER), 0);
}

static void put(void *arg)
{
    struct store *s = arg;

    for (int i = 0; i < 500; i++) {
        lock(s);
        while (s->n == 4)
            MUST_BE(rouse_cond_wait(&s->emptied, &s->mutex, ROUSE_NEVER), 0);
        s->items[s->n++] = i;
        s->put++;
        s->sum_put += i;
        rouse_cond_signal(&s->filled);
        rouse_mutex_unlock(&s->mutex);
    }
    s->left--;
}

static void take(void *arg)
{
    struct store *s = arg;

    for (int i = 0; i < 500; i++) {
        lock(s);
        while (!s->n)
            MUST_BE(rouse_cond_wait(&s->filled, &s->mutex, ROUSE_NEVER), 0);
        s->sum_taken += s->items[--s->n];
        s->taken++;
        rouse_mutex_unlock(&s->mutex);
        rouse_cond_signal(&s->emptied); /* also right without the mutex */
    }
    s->left--;
}

static void bounded(void *unused)
{
    struct store s = {.left = TASKS};

    (void)unused;
    for (int i = 0; i < TASKS; i++)
        rouse_spawn(i % 2 ? put : take, &s);
    UNTIL(s.left == 0);
    MUST_BE(s.put, TASKS / 2 * 500);
    MUST_BE(s.taken, s.put);
    MUST_BE(s.sum_taken, s.sum_put);
}

START_TEST(no_signal_is_lost)
{
    run(bounded);
}
END_TEST

/* The mutex is held again whatever ended the wait. */
static void wait_for_go(void *arg)
{
    struct store *s = arg;
    int r = 0;

    lock(s);
    s->waiting++;
    while (!s->go && r == 0)
        r = rouse_cond_wait(&s->filled, &s->mutex, ROUSE_NEVER);
    MUST_BE(s->held++, 0);
    rouse_yield();
    s->held--;
    if (r == -ECANCELED)
        s->canceled++;
    else
        s->woken++;
    rouse_mutex_unlock(&s->mutex);
}

static void broadcast(void *unused)
{
    struct store s = {0};
    struct rouse_scope *scope;

    (void)unused;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    rouse_cond_broadcast(&s.filled); /* nobody is there: nothing is kept */
    for (int i = 0; i < TASKS; i++)
        rouse_scope_spawn(scope, wait_for_go, &s);
    UNTIL(s.waiting == TASKS);
    lock(&s); /* so they all wait */
    MUST_BE(s.woken, 0);
    s.go = true;
    rouse_cond_broadcast(&s.filled);
    rouse_mutex_unlock(&s.mutex);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    MUST_BE(s.woken, TASKS);
    rouse_scope_close(scope);
}

START_TEST(broadcast_wakes_all)
{
    run(broadcast);
}
END_TEST

static void cancel(void *unused)
{
    struct store s = {0};
    struct rouse_scope *scope;

    (void)unused;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < TASKS; i++)
        rouse_scope_spawn(scope, wait_for_go, &s);
    UNTIL(s.waiting == TASKS);
    lock(&s);
    rouse_scope_cancel(scope);
    rouse_yield();
    MUST_BE(s.canceled, 0); /* each needs the mutex to go on */
    rouse_mutex_unlock(&s.mutex);
    rouse_scope_close(scope);
    MUST_BE(s.canceled, TASKS);
}

START_TEST(cancelled_waits_take_the_mutex_back)
{
    run(cancel);
}
END_TEST

static void deadline(void *unused)
{
    struct store s = {0};

    (void)unused;
    lock(&s);
    MUST_BE(rouse_cond_wait(&s.filled, &s.mutex, 0), -ETIMEDOUT);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), -ETIMEDOUT);
    MUST_BE(rouse_cond_wait(&s.filled, &s.mutex, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_mutex_lock(&s.mutex, 0), -ETIMEDOUT);
    rouse_cond_signal(&s.filled); /* it is off the list */
    rouse_mutex_unlock(&s.mutex);
}

START_TEST(a_deadline_takes_the_mutex_back)
{
    run(deadline);
}
END_TEST

/* A signal and a deadline race: one signal wakes one task whose wait it ended, or nobody's. */
struct tokens {
    struct rouse_mutex mutex;
    struct rouse_cond cond;
    int tokens, taken;
    atomic_int left;
};
static void take_token(void *arg)
{
    struct tokens *t = arg;

    for (int i = 0; i < 200; i++) {
        MUST_BE(rouse_mutex_lock(&t->mutex, ROUSE_NEVER), 0);
        if (!t->tokens)
            (void)rouse_cond_wait(&t->cond, &t->mutex, rouse_after(i % 5 * 20 * ROUSE_US));
        if (t->tokens) {
            t->tokens--;
            t->taken++;
        }
        rouse_mutex_unlock(&t->mutex);
    }
    t->left--;
}
static void tokens(void *unused)
{
    struct tokens t = {.left = 8};
    int made = 0;

    (void)unused;
    for (int i = 0; i < 8; i++)
        rouse_spawn(take_token, &t);
    while (t.left) {
        MUST_BE(rouse_mutex_lock(&t.mutex, ROUSE_NEVER), 0);
        if (t.tokens < 3) {
            t.tokens++;
            made++;
        }
        rouse_mutex_unlock(&t.mutex);
        rouse_cond_signal(&t.cond);
        rouse_yield();
    }
    MUST_BE(t.taken + t.tokens, made);
}

START_TEST(signals_and_deadlines_race)
{
    run(tokens);
}
END_TEST

UNIT_MAIN("cond", no_signal_is_lost, broadcast_wakes_all, cancelled_waits_take_the_mutex_back,
          a_deadline_takes_the_mutex_back, signals_and_deadlines_race)
