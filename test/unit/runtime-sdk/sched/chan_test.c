#include "run.h"

#include <string.h>

static struct rouse_chan *chan(size_t item, size_t capacity)
{
    struct rouse_chan *ch;

    MUST_BE(rouse_chan_new(item, capacity, &ch), 0);
    return ch;
}
static void send_int(struct rouse_chan *ch, int v)
{
    MUST_BE(rouse_chan_send(ch, &v, ROUSE_NEVER), 0);
}
static int receive_int(struct rouse_chan *ch)
{
    int v = -1;

    MUST_BE(rouse_chan_receive(ch, &v, ROUSE_NEVER), 0);
    return v;
}

START_TEST(limits_and_foreign_threads)
{
    struct rouse_chan *ch = NULL;
    int v = 1;

    ck_assert_int_eq(rouse_chan_new((64 << 10) + 1, 0, &ch), -EINVAL);
    ck_assert_int_eq(rouse_chan_new(1, SIZE_MAX, &ch), -EINVAL);
    ck_assert_int_eq(rouse_chan_new(64 << 10, SIZE_MAX / 2, &ch), -ENOMEM);
    ck_assert_ptr_null(ch);
    ck_assert_int_eq(rouse_chan_new(sizeof(v), 1, &ch), 0);
    ck_assert_int_eq(rouse_chan_send(ch, &v, 0), -EPERM);
    ck_assert_int_eq(rouse_chan_receive(ch, &v, 0), -EPERM);
    ck_assert_int_eq(rouse_chan_close(ch), -EPERM);
    ck_assert_uint_eq(rouse_chan_size(ch), 0);
    ck_assert_ptr_null(rouse_chan_free(ch));
    ck_assert_ptr_null(rouse_chan_free(NULL));
}
END_TEST

static void buffer(void *unused)
{
    struct rouse_chan *ch = chan(sizeof(int), 3);
    int v = 9;

    (void)unused;
    for (int round = 0; round < 5; round++) { /* the ring goes round */
        MUST_BE(rouse_chan_receive(ch, &v, 0), -ETIMEDOUT);
        MUST_BE(v, 9);
        for (int i = 0; i < 2; i++)
            MUST_BE(rouse_chan_send(ch, &i, 0), 0);
        MUST_BE(rouse_chan_size(ch), 2);
        MUST_BE(rouse_chan_send(ch, &v, 0), 0);
        MUST_BE(rouse_chan_send(ch, &v, 0), -ETIMEDOUT);
        MUST_BE(rouse_chan_size(ch), 3);
        MUST_BE(receive_int(ch), 0);
        MUST_BE(rouse_chan_receive(ch, NULL, 0), 0); /* 1 is thrown away */
        MUST_BE(receive_int(ch), 9);
    }
    MUST_BE(rouse_chan_send(ch, &v, rouse_after(ROUSE_MS)), 0);
    MUST_BE(rouse_chan_close(ch), 0);
    MUST_BE(rouse_chan_close(ch), -EPIPE);
    MUST_BE(rouse_chan_send(ch, &v, ROUSE_NEVER), -EPIPE);
    MUST_BE(receive_int(ch), 9);
    v = 7;
    MUST_BE(rouse_chan_receive(ch, &v, ROUSE_NEVER), -EPIPE);
    MUST_BE(v, 7);
    rouse_chan_free(ch);
}

START_TEST(a_buffer_keeps_order_and_survives_the_close)
{
    run(buffer);
}
END_TEST

struct pair {
    struct rouse_chan *there, *back;
    atomic_int done;
};

static void echo(void *arg)
{
    struct pair *p = arg;
    int v;

    while (rouse_chan_receive(p->there, &v, ROUSE_NEVER) == 0)
        send_int(p->back, v + 1);
    p->done = 1;
}

static void ping_pong(void *unused)
{
    struct pair p = {.there = chan(sizeof(int), 0), .back = chan(sizeof(int), 0)};

    (void)unused;
    rouse_spawn(echo, &p);
    for (int i = 0; i < 2000; i++) {
        send_int(p.there, i);
        MUST_BE(receive_int(p.back), i + 1);
    }
    rouse_chan_close(p.there);
    UNTIL(p.done);
    rouse_chan_free(p.there);
    rouse_chan_free(p.back);
}

START_TEST(unbuffered_meets)
{
    run(ping_pong);
}
END_TEST

struct sized {
    struct rouse_chan *ch;
    size_t size;
    atomic_int done;
};

static void send_sized(void *arg)
{
    struct sized *s = arg;
    unsigned char *item = malloc(s->size + 1);

    for (unsigned i = 0; i < 20; i++) {
        pattern(item, s->size, i);
        MUST_BE(rouse_chan_send(s->ch, item, ROUSE_NEVER), 0);
    }
    free(item);
    s->done = 1;
}

static void receive_sized(size_t size, size_t capacity)
{
    struct sized s = {.ch = chan(size, capacity), .size = size};
    unsigned char *item = malloc(size + 1), *want = malloc(size + 1);

    rouse_spawn(send_sized, &s);
    for (unsigned i = 0; i < 20; i++) {
        item[size] = 0xa5; /* nothing is written behind it */
        pattern(want, size, i);
        MUST_BE(rouse_chan_receive(s.ch, size ? item : NULL, ROUSE_NEVER), 0);
        MUST(!size || !memcmp(item, want, size));
        MUST_BE(item[size], 0xa5);
    }
    UNTIL(s.done);
    rouse_chan_free(s.ch);
    free(item);
    free(want);
}

static void all_sizes(void *unused)
{
    static const size_t sizes[] = {0, 1, 3, 4, 8, 24, 4096, 64 << 10};

    (void)unused;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        for (size_t capacity = 0; capacity < 8; capacity += 3)
            receive_sized(sizes[i], capacity);
    }
}

START_TEST(items_of_every_size)
{
    run(all_sizes);
}
END_TEST

/* ---- who waits */

struct waiting {
    struct rouse_chan *ch;
    int64_t deadline;
    struct rouse_scope *scope;
    atomic_int begun, epipe, timedout, canceled, received;
};

static void count_result(struct waiting *w, int r)
{
    if (r == 0)
        w->received++;
    else if (r == -EPIPE)
        w->epipe++;
    else if (r == -ETIMEDOUT)
        w->timedout++;
    else if (r == -ECANCELED)
        w->canceled++;
    else
        MUST_BE(r, 0);
}
static void one_receive(void *arg)
{
    struct waiting *w = arg;
    int v;

    w->begun++;
    count_result(w, rouse_chan_receive(w->ch, &v, w->deadline));
}
static void one_send(void *arg)
{
    struct waiting *w = arg;
    int v = 1;

    w->begun++;
    count_result(w, rouse_chan_send(w->ch, &v, w->deadline));
}

static void spawn_many(struct waiting *w, rouse_task_fn *fn, int n)
{
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &w->scope), 0);
    for (int i = 0; i < n; i++)
        MUST_BE(rouse_scope_spawn(w->scope, fn, w), 0);
    UNTIL(w->begun == n); /* most of them wait; it is right either way */
    for (int i = 0; i < 10; i++)
        rouse_yield();
}

static void close_wakes(void *unused)
{
    struct waiting w = {.ch = chan(sizeof(int), 2), .deadline = ROUSE_NEVER};

    (void)unused;
    spawn_many(&w, one_receive, 50);
    MUST_BE(rouse_chan_close(w.ch), 0);
    MUST_BE(rouse_scope_wait(w.scope, ROUSE_NEVER), 0);
    MUST_BE(w.epipe, 50);
    rouse_scope_close(w.scope);
    rouse_chan_free(w.ch);

    w = (struct waiting){.ch = chan(sizeof(int), 2), .deadline = ROUSE_NEVER};
    spawn_many(&w, one_send, 50);
    UNTIL(rouse_chan_size(w.ch) == 2);
    MUST_BE(rouse_chan_close(w.ch), 0);
    MUST_BE(rouse_scope_wait(w.scope, ROUSE_NEVER), 0);
    MUST_BE(w.epipe, 48);
    MUST_BE(w.received, 2);
    rouse_scope_close(w.scope);
    rouse_chan_free(w.ch);
}

START_TEST(close_wakes_everybody)
{
    run(close_wakes);
}
END_TEST

static void deadlines(void *unused)
{
    struct waiting w = {.ch = chan(sizeof(int), 0), .deadline = rouse_after(2 * ROUSE_MS)};
    int v = 3;

    (void)unused;
    spawn_many(&w, one_receive, 50);
    MUST_BE(rouse_scope_wait(w.scope, ROUSE_NEVER), 0);
    MUST_BE(w.timedout, 50);
    rouse_scope_close(w.scope);
    /* The channel has no trace of them. */
    MUST_BE(rouse_chan_send(w.ch, &v, 0), -ETIMEDOUT);
    rouse_chan_free(w.ch);
}

START_TEST(deadlines_pass)
{
    run(deadlines);
}
END_TEST

static void cancellation(void *unused)
{
    struct waiting w = {.ch = chan(sizeof(int), 0), .deadline = ROUSE_NEVER};

    (void)unused;
    spawn_many(&w, one_send, 50);
    rouse_scope_cancel(w.scope);
    MUST_BE(rouse_scope_wait(w.scope, ROUSE_NEVER), 0);
    MUST_BE(w.canceled, 50);
    rouse_scope_close(w.scope);
    MUST_BE(rouse_chan_receive(w.ch, NULL, 0), -ETIMEDOUT);
    rouse_chan_free(w.ch);
}

START_TEST(cancelling_wakes)
{
    run(cancellation);
}
END_TEST

struct in_line {
    struct rouse_chan *ch;
    int place;
    int got;
    atomic_int *done;
    waiting_task self;
};
static void take_number(void *arg)
{
    struct in_line *l = arg;

    about_to_wait(&l->self);
    l->got = receive_int(l->ch);
    ++*l->done;
}
static void in_order(void *unused)
{
    struct rouse_chan *ch = chan(sizeof(int), 0);
    struct in_line all[20];
    atomic_int done = 0;

    (void)unused;
    for (int i = 0; i < 20; i++) {
        all[i] = (struct in_line){ch, i, -1, &done, NULL};
        rouse_spawn(take_number, &all[i]);
        UNTIL(is_waiting(&all[i].self));
    }
    for (int i = 0; i < 20; i++)
        send_int(ch, i);
    UNTIL(done == 20);
    for (int i = 0; i < 20; i++)
        MUST_BE(all[i].got, i);
    rouse_chan_free(ch);
}

START_TEST(first_come_first_served)
{
    run(in_order);
}
END_TEST

UNIT_MAIN("chan", limits_and_foreign_threads, a_buffer_keeps_order_and_survives_the_close,
          unbuffered_meets, items_of_every_size, close_wakes_everybody, deadlines_pass,
          cancelling_wakes, first_come_first_served)
