/* What evio's design has wrong: each test names the fault, and fails on that design. */
#include "serve_fixture.h"

#include <dirent.h>
#include <sys/syscall.h>

enum { BIG = 8 << 20 };

static char pattern(size_t i)
{
    return (char)(i * 31 + i / 251);
}

/* Appends `n` bytes of the pattern, of which `from` were sent before. */
static void append_pattern(struct rouse_output *out, size_t from, size_t n)
{
    char *to = rouse_reserve(out, n);

    ck_assert_ptr_nonnull(to);
    for (size_t i = 0; i < n; i++)
        to[i] = pattern(from + i);
    rouse_commit(out, n);
}

static void hear_pattern(int fd, size_t from, size_t n)
{
    static char got[65536];

    while (n) {
        ssize_t r = receive(fd, got, n < sizeof(got) ? n : sizeof(got), 0), good = 0;

        ck_assert_msg(r > 0, "%zu bytes are missing: %s", n, r ? strerror(errno) : "the end");
        while (good < r && got[good] == pattern(from + (size_t)good))
            good++;
        ck_assert_msg(good == r, "byte %zu is wrong", from + (size_t)good);
        from += (size_t)r;
        n -= (size_t)r;
    }
}

/* ---- evio never reads its eventfd: after one tick or wake, epoll_wait() returns for ever */

static atomic_int ticks;
static enum rouse_action tick_5ms(struct rouse_server *s, uint64_t *delay_ms)
{
    (void)s;
    *delay_ms = 5;
    ticks++;
    return ROUSE_NONE;
}
static enum rouse_action say_woken(struct rouse_conn *c, struct rouse_input *in,
                                   struct rouse_output *out)
{
    if (in->size) {
        rouse_wake(c);
        rouse_append_text(out, "in ");
    } else {
        rouse_append_text(out, "woken ");
    }
    return ROUSE_NONE;
}

START_TEST(nothing_spins_after_a_tick_or_a_wake)
{
    uint64_t turns, began;
    int fd, first;

    server.events = (struct rouse_events){.data = say_woken, .tick = tick_5ms};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial(server.bound[0]);
    say(fd, "x");
    hear(fd, "in woken ");
    turns = stats_of(0).turns;
    first = ticks;
    began = clock_monotonic_ns();
    AWAIT(ticks >= first + 20);
    /* A turn or two for each tick; a spinning loop makes thousands in that time. */
    ck_assert_uint_le(stats_of(0).turns - turns, 3 * (uint64_t)(ticks + 1 - first));
    /* And none is early: so many ticks took their time. */
    ck_assert_uint_ge(clock_monotonic_ns() - began, 18 * 5 * NS_PER_MS);
    close(fd);
    server_stop();
}
END_TEST

/* ---- evio's ticker is a thread that sleeps and writes to the eventfd */

static atomic_long tick_thread, tick_threads, serve_thread;
static long threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    long n = -2; /* "." and ".." */

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}
static void *await_sem(void *sem)
{
    sem_wait(sem);
    return NULL;
}
static enum rouse_action tick_once(struct rouse_server *s, uint64_t *delay_ms)
{
    (void)s;
    ck_assert_uint_eq(*delay_ms, 1000);
    tick_threads = threads_now();
    tick_thread = syscall(SYS_gettid);
    return ROUSE_SHUTDOWN;
}
static enum rouse_action note_thread(struct rouse_server *s)
{
    serve_thread = syscall(SYS_gettid);
    return server_serving(s);
}

START_TEST(a_tick_needs_no_thread)
{
    pthread_t other;
    sem_t over;
    long before;

    /* A sanitizer starts a thread of its own with the first of ours. */
    sem_init(&over, 0, 0);
    pthread_create(&other, NULL, await_sem, &over);
    before = threads_now() - 1;
    sem_post(&over);
    pthread_join(other, NULL);
    server.events = (struct rouse_events){.serving = note_thread, .tick = tick_once, .loops = 3};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    server_join();
    ck_assert_int_eq(tick_thread, serve_thread);
    ck_assert_int_le(tick_threads, before + 3);
}
END_TEST

/* ---- evio watches every listener in every loop: one connection wakes them all, one gets it */

enum { LOOPS = 4, CONNECTIONS = 48 };

static enum rouse_action name_loop(struct rouse_conn *c, struct rouse_conn_options *options,
                                   struct rouse_output *out)
{
    (void)options;
    rouse_appendf(out, "%u", rouse_conn_loop(c));
    return ROUSE_NONE;
}

static unsigned hear_loop(int fd)
{
    char c = 0;

    ck_assert_int_eq(receive(fd, &c, 1, 0), 1);
    return (unsigned)(c - '0');
}

static void start_loops(int backend, enum rouse_balance balance, const char *address)
{
    server.events = (struct rouse_events){.opened = name_loop, .loops = LOOPS, .balance = balance};
    server.addresses[0] = address;
    server_start(backend);
}

START_TEST(one_connection_wakes_one_loop)
{
    uint64_t before[LOOPS], woken = 0;
    int fds[CONNECTIONS];

    start_loops(_i, ROUSE_ROUND_ROBIN, "tcp://127.0.0.1:0");
    close(dial(server.bound[0]));
    AWAIT(stats_of(0).closed + stats_of(1).closed + stats_of(2).closed + stats_of(3).closed == 1);
    for (unsigned i = 0; i < LOOPS; i++)
        before[i] = stats_of(i).turns;
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(server.bound[0]);
        ck_assert_uint_eq(hear_loop(fds[i]), (unsigned)(i + 1) % LOOPS);
    }
    for (unsigned i = 1; i < LOOPS; i++) {
        uint64_t turns = stats_of(i).turns - before[i];

        /* Its own twelve, with a turn to spare each; evio's loops turn for all forty-eight. */
        ck_assert_uint_le(turns, 2 * CONNECTIONS / LOOPS);
        woken += turns;
        ck_assert_uint_eq(stats_of(i).opened, CONNECTIONS / LOOPS);
    }
    ck_assert_uint_ge(woken, (LOOPS - 1) * CONNECTIONS / LOOPS);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    server_stop();
}
END_TEST

START_TEST(reuseport_wakes_one_loop_without_mail)
{
    uint64_t opened = 0;
    int fds[CONNECTIONS];

    start_loops(_i, ROUSE_ROUND_ROBIN, "tcp://127.0.0.1:0?reuseport=true");
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(server.bound[0]);
        hear_loop(fds[i]);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        struct rouse_loop_stats s = stats_of(i);

        ck_assert_uint_eq(s.wakeups, 0);
        ck_assert_uint_eq(s.accepted, s.opened);
        ck_assert_uint_gt(s.opened, 0); /* 1 in 10^6 that the kernel's hash leaves one out */
        opened += s.opened;
    }
    ck_assert_uint_eq(opened, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    server_stop();
}
END_TEST

START_TEST(least_connections_fills_the_gaps)
{
    int fds[CONNECTIONS], count[LOOPS] = {0};
    unsigned loops[CONNECTIONS];

    start_loops(_i, ROUSE_LEAST_CONNECTIONS, "tcp://127.0.0.1:0");
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(server.bound[0]);
        count[loops[i] = hear_loop(fds[i])]++;
    }
    for (int i = 0; i < LOOPS; i++)
        ck_assert_int_eq(count[i], CONNECTIONS / LOOPS);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (loops[i] == 2)
            close(fds[i]);
    }
    AWAIT(stats_of(2).closed == CONNECTIONS / LOOPS);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (loops[i] == 2) {
            fds[i] = dial(server.bound[0]);
            ck_assert_uint_eq(hear_loop(fds[i]), 2);
        }
    }
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    server_stop();
}
END_TEST

START_TEST(random_uses_all_loops)
{
    int fds[CONNECTIONS], count[LOOPS] = {0};

    start_loops(_i, ROUSE_RANDOM, "tcp://127.0.0.1:0");
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(server.bound[0]);
        count[hear_loop(fds[i])]++;
    }
    for (int i = 0; i < LOOPS; i++)
        ck_assert_int_gt(count[i], 0); /* 1 in 10^6 that one is left out */
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    server_stop();
}
END_TEST

/* ---- evio's second answer while one is pending replaces what is left of the first; a wake is
 * lost while output is pending, since that is looked at first */

static struct rouse_conn *held;
static sem_t is_held;
static _Atomic size_t answered;

static enum rouse_action big_answers(struct rouse_conn *c, struct rouse_input *in,
                                     struct rouse_output *out)
{
    if (in->size) {
        held = rouse_conn_ref(c);
        sem_post(&is_held);
    }
    append_pattern(out, answered, in->size ? BIG : 1000);
    answered += in->size ? BIG : 1000;
    return ROUSE_NONE;
}

START_TEST(answers_are_appended_while_one_is_pending)
{
    int fd;

    sem_init(&is_held, 0, 0);
    server.events = (struct rouse_events){.data = big_answers};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial_with(server.bound[0], 4096);
    say(fd, "x");
    sem_wait(&is_held);
    for (int i = 1; i <= 3; i++) { /* the kernel is full, the peer reads nothing yet */
        rouse_wake(held);
        AWAIT(answered == BIG + 1000 * (size_t)i);
    }
    rouse_conn_unref(held);
    hear_pattern(fd, 0, BIG + 3000);
    close(fd);
    server_stop();
}
END_TEST

/* ---- evio acts on an action only when the socket is writable: a peer that reads nothing, and so
 * keeps the kernel's buffer full, holds it up for ever */

static enum rouse_action fill_and_shut_down(struct rouse_conn *c, struct rouse_input *in,
                                            struct rouse_output *out)
{
    (void)c, (void)in;
    append_pattern(out, 0, BIG);
    return ROUSE_SHUTDOWN;
}

START_TEST(an_action_does_not_wait_for_the_peer)
{
    int full, other;

    server.events = (struct rouse_events){.data = fill_and_shut_down, .shutdown_timeout_ms = 30000};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    other = dial(server.bound[0]);
    full = dial_with(server.bound[0], 4096);
    say(full, "x");
    hear_end(other); /* the shutdown is under way; `full` has not read a byte */
    hear_pattern(full, 0, BIG);
    hear_end(full);
    close(full);
    close(other);
    server_join();
}
END_TEST

/* ---- evio's close drops what is queued; and unread input turns it into a reset, which destroys
 * what is on its way */

static enum rouse_action fill_and_close(struct rouse_conn *c, struct rouse_input *in,
                                        struct rouse_output *out)
{
    (void)c, (void)in;
    append_pattern(out, 0, BIG);
    return ROUSE_CLOSE;
}

START_TEST(close_flushes_first)
{
    char more[4096] = {0};
    int fd;

    server.events = (struct rouse_events){.data = fill_and_close};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial_with(server.bound[0], 4096);
    say(fd, "x");
    AWAIT(stats_of(0).bytes_out == BIG);
    send(fd, more, sizeof(more), MSG_NOSIGNAL); /* nobody will read it */
    hear_pattern(fd, 0, BIG);
    hear_end(fd);
    close(fd);
    server_stop();
}
END_TEST

/* ---- evio's shutdown cuts off what was accepted, without a word and without a bound */

static atomic_int closed_error = 1;
static enum rouse_action note_error(struct rouse_conn *c, int error)
{
    (void)c;
    closed_error = error;
    return ROUSE_NONE;
}
static enum rouse_action hold(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    if (in->size) {
        held = rouse_conn_ref(c);
        sem_post(&is_held);
    } else {
        rouse_append_text(out, "done");
    }
    return ROUSE_NONE;
}

START_TEST(shutdown_finishes_what_was_accepted)
{
    int working, idle;

    sem_init(&is_held, 0, 0);
    server.events = (struct rouse_events){
        .data = hold, .closed = note_error, .loops = 2, .shutdown_timeout_ms = 30000};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    working = dial(server.bound[0]);
    say(working, "x");
    sem_wait(&is_held);
    idle = dial(server.bound[0]);
    AWAIT(stats_of(0).opened + stats_of(1).opened == 2);
    rouse_shutdown(server.handle);
    hear_end(idle);
    rouse_wake(held);
    rouse_conn_unref(held);
    hear(working, "done");
    hear_end(working);
    close(working);
    close(idle);
    server_join();
    ck_assert_int_eq(closed_error, 0);
}
END_TEST

START_TEST(shutdown_ends_at_its_deadline)
{
    int fd;

    server.events = (struct rouse_events){
        .data = fill_and_close, .closed = note_error, .shutdown_timeout_ms = 100};
    server.addresses[0] = "tcp://127.0.0.1:0";
    server_start(_i);
    fd = dial_with(server.bound[0], 4096);
    say(fd, "x");
    AWAIT(stats_of(0).bytes_out == BIG);
    server_stop(); /* with a peer that never reads */
    ck_assert_int_eq(closed_error, -ETIMEDOUT);
    close(fd);
}
END_TEST

SERVE_MAIN("serve_faults", nothing_spins_after_a_tick_or_a_wake, a_tick_needs_no_thread,
           one_connection_wakes_one_loop, reuseport_wakes_one_loop_without_mail,
           least_connections_fills_the_gaps, random_uses_all_loops,
           answers_are_appended_while_one_is_pending, an_action_does_not_wait_for_the_peer,
           close_flushes_first, shutdown_finishes_what_was_accepted, shutdown_ends_at_its_deadline)
