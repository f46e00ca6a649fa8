#include "base/cleanup.h"
#include "base/clock.h"
#include "reactor/loop.h"
#include "backends.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

static struct loop *loop;

/* ---- timers */
enum { TIMERS = 500 };
static struct numbered_timer {
    struct loop_timer timer;
    int number;
} timers[TIMERS];
static int order[2 * TIMERS], ran;

static void note(struct loop_timer *t)
{
    order[ran++] = container_of(t, struct numbered_timer, timer)->number;
    ck_assert(!loop_timer_armed(t));
}
static void stop_by_timer(struct loop_timer *t)
{
    (void)t;
    loop_stop(loop);
}

START_TEST(timers_run_in_order)
{
    struct loop_timer end = {.fn = stop_by_timer};
    uint64_t base;
    uint32_t seed = 7;

    ck_assert_int_eq(loop_new(&loop), 0);
    base = loop_now(loop);
    for (int i = 0; i < TIMERS; i++) {
        seed = seed * 1664525 + 1013904223;
        timers[i] = (struct numbered_timer){{.fn = note}, (int)(seed >> 8) % 50};
        loop_timer_set(loop, &timers[i].timer, base + (uint64_t)timers[i].number * 100000);
    }
    for (int i = 0; i < TIMERS; i += 3)
        loop_timer_cancel(loop, &timers[i].timer);
    for (int i = 1; i < TIMERS; i += 3) { /* moved */
        timers[i].number = 60 + i % 5;
        loop_timer_set(loop, &timers[i].timer, base + (uint64_t)timers[i].number * 100000);
    }
    loop_timer_set(loop, &end, base + 8000000);
    loop_run(loop);
    ck_assert_int_eq(ran, TIMERS - (TIMERS + 2) / 3);
    for (int i = 1; i < ran; i++)
        ck_assert_int_le(order[i - 1], order[i]);
    loop_free(loop);
}
END_TEST

START_TEST(equal_times_keep_the_order_of_setting)
{
    struct loop_timer end = {.fn = stop_by_timer};
    uint64_t at;

    ck_assert_int_eq(loop_new(&loop), 0);
    at = loop_now(loop);
    for (int i = 0; i < 100; i++) {
        timers[i] = (struct numbered_timer){{.fn = note}, i};
        loop_timer_set(loop, &timers[i].timer, at);
    }
    loop_timer_set(loop, &end, at);
    loop_run(loop);
    ck_assert_int_eq(ran, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(order[i], i);
    loop_free(loop);
}
END_TEST

static int again_left = 1000;
static void set_again(struct loop_timer *t)
{
    if (again_left-- == 0)
        loop_stop(loop);
    else
        loop_timer_set(loop, t, loop_now(loop));
}

START_TEST(a_timer_that_sets_itself_does_not_starve_the_loop)
{
    struct loop_timer t = {.fn = set_again};

    ck_assert_int_eq(loop_new(&loop), 0);
    loop_timer_set(loop, &t, loop_now(loop));
    loop_run(loop);
    ck_assert_uint_ge(loop_stats(loop)->turns, 1000);
    loop_free(loop);
}
END_TEST

/* ---- watches */
static struct loop_watch left, right;
static int calls;

static void cancel_other(struct loop_watch *w, uint32_t events)
{
    struct loop_watch *other = w == &left ? &right : &left;

    ck_assert_uint_eq(events & LOOP_READ, LOOP_READ);
    calls++;
    loop_watch_cancel(loop, other);
    memset(other, 0xff, sizeof(*other)); /* as if freed */
    loop_watch_cancel(loop, w);
    loop_stop(loop);
}

START_TEST(a_watch_cancelled_in_the_same_batch_does_not_run)
{
    int a[2], b[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    left = (struct loop_watch){.fd = a[0], .fn = cancel_other};
    right = (struct loop_watch){.fd = b[0], .fn = cancel_other};
    ck_assert_int_eq(loop_watch_set(loop, &left, LOOP_READ), 0);
    ck_assert_int_eq(loop_watch_set(loop, &right, LOOP_READ), 0);
    ck_assert_int_eq(write(a[1], "x", 1), 1);
    ck_assert_int_eq(write(b[1], "x", 1), 1);
    loop_run(loop);
    ck_assert_int_eq(calls, 1);
    loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}
END_TEST

/* ---- early watches */
enum { ROUNDS = 20000, SOCKETS = 300 };
static struct loop_watch first_watch, then_watch;
static atomic_int acknowledged;
static int heard;

static void on_first(struct loop_watch *w, uint32_t events)
{
    char in[64];
    ssize_t n = read(w->fd, in, sizeof(in));

    (void)events;
    heard += n > 0 ? (int)n : 0;
}

static void on_then(struct loop_watch *w, uint32_t events)
{
    char octet;

    (void)events;
    if (read(w->fd, &octet, 1) != 1)
        return;
    ck_assert(loop_early_told(loop));
    ck_assert_int_ge(heard, acknowledged + 1);
    if (++acknowledged == ROUNDS)
        loop_stop(loop);
}

/* Writes to the one, then to the other; the next pair when the loop has seen the second. */
static void *write_pairs(void *user)
{
    int *fds = user;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(write(fds[0], "x", 1), 1);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        while (atomic_load(&acknowledged) == i)
            ;
    }
    return NULL;
}

START_TEST(an_early_watch_hears_first_what_was_written_first)
{
    int a[2], b[2], ends[2];
    pthread_t writer;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pipe2(a, O_NONBLOCK), 0);
    ck_assert_int_eq(pipe2(b, O_NONBLOCK), 0);
    then_watch = (struct loop_watch){.fd = b[0], .fn = on_then};
    first_watch = (struct loop_watch){.fd = a[0], .fn = on_first, .early = true};
    ck_assert_int_eq(loop_watch_set(loop, &then_watch, LOOP_READ), 0);
    ck_assert_int_eq(loop_watch_set(loop, &first_watch, LOOP_READ), 0);
    ends[0] = a[1];
    ends[1] = b[1];
    ck_assert_int_eq(pthread_create(&writer, NULL, write_pairs, ends), 0);
    loop_run(loop);
    pthread_join(writer, NULL);
    ck_assert_int_eq(heard, ROUNDS);
    loop_watch_cancel(loop, &first_watch);
    loop_watch_cancel(loop, &then_watch);
    loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}
END_TEST

static int others;

static void on_other(struct loop_watch *w, uint32_t events)
{
    (void)events;
    ck_assert_int_eq(heard, 1);
    ck_assert(loop_early_told(loop));
    others++;
    loop_watch_cancel(loop, w);
    if (others == SOCKETS)
        loop_stop(loop);
}

static void on_early(struct loop_watch *w, uint32_t events)
{
    (void)events;
    heard++;
    loop_watch_cancel(loop, w);
}

START_TEST(an_early_watch_runs_before_its_batch)
{
    static struct loop_watch watches[SOCKETS];
    int ready[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pipe2(ready, O_NONBLOCK), 0);
    ck_assert_int_eq(write(ready[1], "x", 1), 1);
    first_watch = (struct loop_watch){.fd = dup(ready[0]), .fn = on_early, .early = true};
    for (int i = 0; i < SOCKETS; i++) {
        watches[i] = (struct loop_watch){.fd = dup(ready[0]), .fn = on_other};
        if (i == 200)
            ck_assert_int_eq(loop_watch_set(loop, &first_watch, LOOP_READ), 0);
        ck_assert_int_eq(loop_watch_set(loop, &watches[i], LOOP_READ), 0);
    }
    loop_run(loop);
    ck_assert_int_eq(others, SOCKETS);
    loop_free(loop);
}
END_TEST

static void on_unsure(struct loop_watch *w, uint32_t events)
{
    (void)events;
    ck_assert(!loop_early_told(loop));
    loop_watch_cancel(loop, w);
    loop_stop(loop);
}

static void cancel_early_others(struct loop_watch *w, uint32_t events)
{
    (void)events;
    heard++;
    for (struct loop_watch *o = w->events ? w : NULL; o && o->fd >= 0; o++)
        loop_watch_cancel(loop, o);
}

/* More early ones are ready than are told at once: nobody is sure then. One of them cancels the rest. */
START_TEST(too_many_early_watches_at_once)
{
    static struct loop_watch watches[SOCKETS + 1];
    int ready[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pipe2(ready, O_NONBLOCK), 0);
    ck_assert_int_eq(write(ready[1], "x", 1), 1);
    then_watch = (struct loop_watch){.fd = dup(ready[0]), .fn = on_unsure};
    ck_assert_int_eq(loop_watch_set(loop, &then_watch, LOOP_READ), 0);
    for (int i = 0; i < SOCKETS; i++) {
        watches[i] = (struct loop_watch){
            .fd = dup(ready[0]), .fn = i ? cancel_early_others : on_first, .early = true};
        ck_assert_int_eq(loop_watch_set(loop, &watches[i], LOOP_READ), 0);
    }
    watches[SOCKETS].fd = -1;
    loop_run(loop);
    ck_assert_int_eq(heard, 2); /* an octet by the first, a call of the second */
    loop_free(loop);
}
END_TEST

static void hung_up(struct loop_watch *w, uint32_t events)
{
    ck_assert_uint_eq(events & LOOP_HANGUP, LOOP_HANGUP);
    loop_watch_cancel(loop, w);
    loop_stop(loop);
}

START_TEST(a_hangup_is_told)
{
    struct loop_watch w = {.fn = hung_up};
    int p[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pipe(p), 0);
    w.fd = p[0];
    ck_assert_int_eq(loop_watch_set(loop, &w, LOOP_HANGUP | LOOP_READ), 0);
    close(p[1]);
    loop_run(loop);
    close(p[0]);
    w.fd = 9999;
    ck_assert_int_eq(loop_watch_set(loop, &w, LOOP_READ), -EBADF);
    loop_free(loop);
}
END_TEST

/* ---- deferred work */
static struct loop_deferred first, second;
static int deferred_runs;

static void run_second(struct loop_deferred *d)
{
    (void)d;
    deferred_runs++;
    loop_stop(loop);
}
static void run_first(struct loop_deferred *d)
{
    (void)d;
    deferred_runs++;
    loop_defer(loop, &second);
}

START_TEST(deferred_work_runs_once_and_may_defer_more)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    first.fn = run_first;
    second.fn = run_second;
    loop_defer(loop, &first);
    loop_defer(loop, &first);
    loop_run(loop);
    ck_assert_int_eq(deferred_runs, 2);
    loop_free(loop);
}
END_TEST

/* ---- mail */
enum { SENDERS = 4, LETTERS = 20000 };
struct letter {
    struct mail mail;
    int sender, number;
};
static int last[SENDERS], received;

static void read_letter(struct mail *m)
{
    struct letter *letter = container_of(m, struct letter, mail);

    ck_assert_int_eq(letter->number, last[letter->sender] + 1); /* first in, first out */
    last[letter->sender] = letter->number;
    free(letter);
    if (++received == SENDERS * LETTERS)
        loop_stop(loop);
}

static void *send_letters(void *arg)
{
    for (int i = 1; i <= LETTERS; i++) {
        struct letter *letter = malloc(sizeof(*letter));

        *letter = (struct letter){{.fn = read_letter}, (int)(intptr_t)arg, i};
        loop_post(loop, &letter->mail);
    }
    return NULL;
}

START_TEST(mail_from_many_threads)
{
    pthread_t threads[SENDERS];

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_letters, (void *)(intptr_t)i), 0);
    loop_run(loop);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(received, SENDERS * LETTERS);
    ck_assert_uint_eq(loop_stats(loop)->mails, SENDERS * LETTERS);
    ck_assert_uint_le(loop_stats(loop)->wakeups, loop_stats(loop)->turns);
    loop_free(loop);
}
END_TEST

static void stop_by_mail(struct mail *m)
{
    (void)m;
    loop_stop(loop);
}

static void *post_one(void *user)
{
    loop_post(loop, user);
    return NULL;
}

/* The mail runs before its sender has returned: the loop must not be gone under it. */
START_TEST(a_loop_ends_with_its_only_mail)
{
    for (int i = 0; i < 300; i++) {
        struct mail m = {.fn = stop_by_mail};
        pthread_t sender;

        ck_assert_int_eq(loop_new(&loop), 0);
        ck_assert_int_eq(pthread_create(&sender, NULL, post_one, &m), 0);
        ck_assert_int_eq(loop_run(loop), 0);
        loop_free(loop);
        pthread_join(sender, NULL);
    }
}
END_TEST

static void *stop_from_thread(void *arg)
{
    (void)arg;
    loop_stop(loop);
    return NULL;
}

START_TEST(stop_from_a_thread_and_before_the_run)
{
    pthread_t thread;

    ck_assert_int_eq(loop_new(&loop), 0);
    loop_stop(loop);
    ck_assert_int_eq(loop_run(loop), 0); /* returns at once */
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_from_thread, NULL), 0);
    ck_assert_int_eq(loop_run(loop), 0);
    pthread_join(thread, NULL);
    ck_assert_ptr_null(loop_free(loop));
    ck_assert_ptr_null(loop_free(NULL));
}
END_TEST

BACKENDS_MAIN("loop", timers_run_in_order, equal_times_keep_the_order_of_setting,
              a_timer_that_sets_itself_does_not_starve_the_loop,
              a_watch_cancelled_in_the_same_batch_does_not_run,
              an_early_watch_hears_first_what_was_written_first,
              an_early_watch_runs_before_its_batch, too_many_early_watches_at_once,
              a_hangup_is_told, deferred_work_runs_once_and_may_defer_more, mail_from_many_threads,
              a_loop_ends_with_its_only_mail, stop_from_a_thread_and_before_the_run)
