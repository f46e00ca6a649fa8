#include "run.h"

enum { SIDES = 4 };

static struct rouse_chan *chan(size_t capacity)
{
    struct rouse_chan *ch;

    MUST_BE(rouse_chan_new(sizeof(int), capacity, &ch), 0);
    return ch;
}

static void at_once(void *unused)
{
    struct rouse_chan *full = chan(1), *empty = chan(1), *closed = chan(1);
    int a = 5, b = 6, c = 7;
    struct rouse_case cases[] = {
        {NULL, ROUSE_RECEIVE, &a, 1},
        {empty, ROUSE_RECEIVE, &a, 1},
        {full, ROUSE_SEND, &b, 1},
        {empty, ROUSE_SEND, &c, 1},
    };

    (void)unused;
    MUST_BE(rouse_chan_send(full, &a, 0), 0);
    rouse_chan_close(closed);
    MUST_BE(rouse_select(cases, 1025, 0), -EINVAL);
    MUST_BE(rouse_select(NULL, 0, 0), -ETIMEDOUT);
    MUST_BE(rouse_select(cases, 1, 0), -ETIMEDOUT);
    MUST_BE(rouse_select(cases, 3, 0), -ETIMEDOUT);
    MUST_BE(rouse_select(cases, 3, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    MUST_BE(rouse_select(cases, 4, ROUSE_NEVER), 3);
    MUST_BE(cases[3].result, 0);
    MUST_BE(cases[1].result, 1);
    MUST_BE(rouse_select(cases, 3, ROUSE_NEVER), 1);
    MUST_BE(cases[1].result, 0);
    MUST_BE(a, 7);
    /* One that is closed is ready, to either side. */
    cases[1].chan = closed;
    MUST_BE(rouse_select(cases, 3, ROUSE_NEVER), 1);
    MUST_BE(cases[1].result, -EPIPE);
    cases[2].chan = closed;
    cases[1].chan = NULL;
    MUST_BE(rouse_select(cases, 3, ROUSE_NEVER), 2);
    MUST_BE(cases[2].result, -EPIPE);
    /* A task does not meet itself. */
    cases[1].chan = cases[2].chan = empty;
    MUST_BE(rouse_select(cases, 3, 0), 2);
    MUST_BE(rouse_select(cases, 3, 0), 1);
    rouse_chan_free(full);
    rouse_chan_free(empty);
    rouse_chan_free(closed);
}

START_TEST(what_can_go_on_goes_on)
{
    run(at_once);
}
END_TEST

static void meets_not_itself(void *unused)
{
    struct rouse_chan *ch = chan(0);
    int a = 1, b = 2;
    struct rouse_case cases[] = {{ch, ROUSE_SEND, &a, 0}, {ch, ROUSE_RECEIVE, &b, 0}};

    (void)unused;
    MUST_BE(rouse_select(cases, 2, 0), -ETIMEDOUT);
    MUST_BE(rouse_select(cases, 2, rouse_after(ROUSE_MS)), -ETIMEDOUT);
    rouse_chan_free(ch);
}

START_TEST(a_task_does_not_meet_itself)
{
    run(meets_not_itself);
}
END_TEST

static void fair(void *unused)
{
    struct rouse_chan *ch[SIDES];
    struct rouse_case cases[SIDES * 2];
    int seen[SIDES * 2] = {0}, v = 0;

    (void)unused;
    for (int i = 0; i < SIDES; i++) {
        ch[i] = chan(1);
        cases[2 * i] = (struct rouse_case){.chan = ch[i], .direction = ROUSE_SEND, .item = &v};
        cases[2 * i + 1] = (struct rouse_case){.chan = ch[i], .direction = ROUSE_RECEIVE, .item = &v};
    }
    /* Exactly one of each channel's two cases can go on: 4 of 8, in changing places. */
    for (int i = 0; i < 8000; i++) {
        int k = rouse_select(cases, SIDES * 2, 0);

        MUST(k >= 0);
        seen[k]++;
    }
    /* 1,000 each; six deviations are 180. */
    for (int i = 0; i < SIDES * 2; i++)
        MUST(seen[i] > 800 && seen[i] < 1200);
    for (int i = 0; i < SIDES; i++)
        rouse_chan_free(ch[i]);
}

START_TEST(each_has_its_chance)
{
    run(fair);
}
END_TEST

/* ---- waiting in many */

struct many {
    struct rouse_chan **ch;
    size_t n;
    int64_t got;
    int last;
    atomic_int done, begun;
};

static void receive_of_many(void *arg)
{
    struct many *m = arg;
    struct rouse_case *cases = calloc(m->n, sizeof(*cases));
    int *items = calloc(m->n, sizeof(*items)), k;

    for (size_t i = 0; i < m->n; i++)
        cases[i] =
            (struct rouse_case){.chan = m->ch[i], .direction = ROUSE_RECEIVE, .item = &items[i]};
    for (;;) {
        m->begun = 1;
        k = rouse_select(cases, m->n, ROUSE_NEVER);
        MUST(k >= 0);
        if (cases[k].result < 0)
            break;
        MUST_BE(items[k], k);
        m->got++;
    }
    MUST_BE(cases[k].result, -EPIPE);
    m->last = k;
    free(cases);
    free(items);
    m->done = 1;
}

static void one_of_many(size_t n)
{
    struct many m = {.ch = calloc(n, sizeof(m.ch)), .n = n};
    int rounds = n > 100 ? 200 : 1000;

    for (size_t i = 0; i < n; i++)
        m.ch[i] = chan(0);
    rouse_spawn(receive_of_many, &m);
    for (int i = 0; i < rounds; i++) {
        int k = (int)((size_t)i * 31 % n);

        MUST_BE(rouse_chan_send(m.ch[k], &k, ROUSE_NEVER), 0);
    }
    rouse_chan_close(m.ch[n / 2]);
    UNTIL(m.done);
    MUST_BE(m.got, rounds);
    MUST_BE(m.last, n / 2);
    for (size_t i = 0; i < n; i++) { /* nobody is left in the others */
        MUST_BE(rouse_chan_send(m.ch[i], &m.last, 0), i == n / 2 ? -EPIPE : -ETIMEDOUT);
        rouse_chan_free(m.ch[i]);
    }
    free(m.ch);
}

static void waits_in_many(void *unused)
{
    (void)unused;
    one_of_many(1);
    one_of_many(2);
    one_of_many(8);
    one_of_many(9);
    one_of_many(1024);
}

START_TEST(waits_in_up_to_1024)
{
    run(waits_in_many);
}
END_TEST

/* ---- selects that look for each other */

struct crossing {
    struct rouse_chan *a, *b;
    atomic_long sent, received, sum_sent, sum_received;
    atomic_int left;
};

/* Sends and receives in both, in either order, until it has done its share. */
static void crosser(void *arg)
{
    struct crossing *x = arg;
    unsigned seed = (unsigned)rouse_task_id();

    for (int i = 0; i < 500; i++) {
        int out = (int)(next_random(&seed) % 1000), in = 0;
        bool turned = next_random(&seed) & 1;
        struct rouse_case cases[] = {
            {turned ? x->a : x->b, ROUSE_SEND, &out, 0},
            {turned ? x->b : x->a, ROUSE_RECEIVE, &in, 0},
        };
        int k = rouse_select(cases, 2, rouse_after(20 * ROUSE_MS));

        if (k == 0) {
            x->sent++;
            x->sum_sent += out;
        } else if (k == 1) {
            x->received++;
            x->sum_received += in;
        } else {
            MUST_BE(k, -ETIMEDOUT); /* nobody is left to meet */
        }
    }
    x->left--;
}

static void cross(void *unused)
{
    struct crossing x = {.a = chan(0), .b = chan(0), .left = 16};

    (void)unused;
    for (int i = 0; i < 16; i++)
        rouse_spawn(crosser, &x);
    UNTIL(x.left == 0);
    MUST_BE(x.sent, x.received);
    MUST_BE(x.sum_sent, x.sum_received);
    MUST(x.sent > 1000);
    rouse_chan_free(x.a);
    rouse_chan_free(x.b);
}

START_TEST(selects_meet_selects)
{
    run(cross);
}
END_TEST

/* ---- a deadline and an item race: the item is received, or is still there */

struct race {
    struct rouse_chan *ch, *never;
    atomic_int taken, left;
};

static void racer(void *arg)
{
    struct race *r = arg;
    int v = 0;
    struct rouse_case cases[] = {{r->never, ROUSE_RECEIVE, &v, 0}, {r->ch, ROUSE_RECEIVE, &v, 0}};

    for (int i = 0; i < 200; i++) {
        int k = rouse_select(cases, 2, rouse_after(i % 7 * 10 * ROUSE_US));

        if (k == 1)
            r->taken++;
        else
            MUST_BE(k, -ETIMEDOUT);
    }
    r->left--;
}

static void race(void *unused)
{
    struct race r = {.ch = chan(0), .never = chan(0), .left = 8};
    int sent = 0;

    (void)unused;
    for (int i = 0; i < 8; i++)
        rouse_spawn(racer, &r);
    while (r.left) {
        int v = 1;

        if (rouse_chan_send(r.ch, &v, rouse_after(30 * ROUSE_US)) == 0)
            sent++;
    }
    MUST_BE(r.taken, sent);
    rouse_chan_free(r.ch);
    rouse_chan_free(r.never);
}

START_TEST(a_deadline_loses_nothing)
{
    run(race);
}
END_TEST

static void canceled_select(void *arg)
{
    struct many *m = arg;
    int v;
    struct rouse_case cases[] = {{m->ch[0], ROUSE_RECEIVE, &v, 0}, {m->ch[1], ROUSE_SEND, &v, 0}};

    m->begun = 1;
    MUST_BE(rouse_select(cases, 2, ROUSE_NEVER), -ECANCELED);
    MUST(rouse_canceled());
    MUST_BE(rouse_select(cases, 2, ROUSE_NEVER), -ECANCELED);
    MUST_BE(rouse_select(cases, 2, 0), -ECANCELED);
    m->done = 1;
}

static void cancel_it(void *unused)
{
    struct rouse_chan *ch[2] = {chan(0), chan(0)};
    struct many m = {.ch = ch};
    struct rouse_scope *s;
    int v = 0;

    (void)unused;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &s), 0);
    rouse_scope_spawn(s, canceled_select, &m);
    UNTIL(m.begun);
    rouse_scope_close(s);
    MUST_BE(m.done, 1);
    MUST_BE(rouse_chan_send(ch[0], &v, 0), -ETIMEDOUT);
    MUST_BE(rouse_chan_receive(ch[1], &v, 0), -ETIMEDOUT);
    rouse_chan_free(ch[0]);
    rouse_chan_free(ch[1]);
}

START_TEST(cancelling_ends_it)
{
    run(cancel_it);
}
END_TEST

UNIT_MAIN("select", what_can_go_on_goes_on, a_task_does_not_meet_itself, each_has_its_chance,
          waits_in_up_to_1024, selects_meet_selects, a_deadline_loses_nothing, cancelling_ends_it)
