/* serve.c - rouse_serve(): the loops of a server, started and ended together.
 *
 * The caller's thread is loop 0. The others are started one after the other,
 * each listening before the next begins, so that the first error is the one
 * that is told and a port found by one loop can be shared by the next. A loop is
 * made, run and freed by its own thread, as an io_uring wants it. */
#include "reactor/serve_internal.h"
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOPS_MAX = 1024 };

static void say(struct rouse_error *e, int code, const char *what, const char *why)
{
    if (!e || e->code)
        return;
    e->code = code;
    snprintf(e->message, sizeof(e->message), "%s: %s", what, why ? why : strerror(code));
}

void serve_fail(struct rouse_server *s, int code, const char *what, const char *why)
{
    pthread_mutex_lock(&s->lock);
    say(&s->error, code, what, why);
    pthread_mutex_unlock(&s->lock);
}

void serve_post(struct rouse_server *s, struct serve_loop *to, struct mail *m)
{
    atomic_fetch_add_explicit(&s->posting, 1, memory_order_relaxed);
    loop_post(to->loop, m);
    atomic_fetch_sub_explicit(&s->posting, 1, memory_order_release);
}

static void stop_loops(struct rouse_server *s)
{
    for (unsigned i = 0; i < s->loop_count; i++)
        loop_stop(s->loops[i].loop);
}

void serve_token_gone(struct rouse_server *s)
{
    if (atomic_fetch_sub(&s->alive, 1) == 1 && !atomic_load(&s->failed))
        stop_loops(s);
}

void rouse_shutdown(struct rouse_server *s)
{
    /* Counted from before the look at `stopping`: whoever frees the loops sets that, then waits. */
    atomic_fetch_add(&s->posting, 1);
    if (!atomic_exchange(&s->stopping, true)) {
        for (unsigned i = 0; i < s->loop_count; i++)
            loop_post(s->loops[i].loop, &s->loops[i].stop);
    }
    atomic_fetch_sub(&s->posting, 1);
}

/* ---- a loop's thread */

static void advance(struct rouse_server *s, unsigned *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void await(struct rouse_server *s, const unsigned *counter, unsigned value)
{
    pthread_mutex_lock(&s->lock);
    while (*counter < value)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void run(struct serve_loop *sl)
{
    struct rouse_server *s = sl->server;
    int r;

    serve_loop_begin(sl);
    r = loop_run(sl->loop);
    if (r < 0) {
        serve_fail(s, -r, "event loop", NULL);
        atomic_store(&s->failed, true);
        atomic_store(&s->stopping, true);
        stop_loops(s);
    }
    /* No loop is freed while another runs and may post to it. */
    advance(s, &s->ended);
    await(s, &s->ended, s->loop_count);
}

/* A thread that is still leaving loop_post() touches the loop. Nobody begins to post now, for all
 * references are back. */
static void await_posting(struct rouse_server *s)
{
    while (atomic_load(&s->posting))
        sched_yield();
}

static void *loop_thread(void *arg)
{
    struct serve_loop *sl = arg;
    struct rouse_server *s = sl->server;
    bool ok = serve_loop_open(sl) == 0;
    char name[16];

    snprintf(name, sizeof(name), "rouse-loop-%u", sl->index % 10000);
    pthread_setname_np(pthread_self(), name);
    advance(s, &s->ready);
    pthread_mutex_lock(&s->lock);
    while (s->phase == SERVE_START)
        pthread_cond_wait(&s->changed, &s->lock);
    ok &= s->phase == SERVE_RUN;
    pthread_mutex_unlock(&s->lock);
    if (ok)
        run(sl);
    await_posting(s);
    serve_loop_done(sl);
    return NULL;
}

/* Starts the threads of all loops but the first; returns how many there are then. */
static unsigned start_threads(struct rouse_server *s)
{
    unsigned i;

    for (i = 1; i < s->loop_count && !s->error.code; i++) {
        struct serve_loop *sl = &s->loops[i];
        int r;

        /* Signals are the caller's: they interrupt its thread, not one it does not know. */
        r = thread_start(&sl->thread, loop_thread, sl);
        if (r < 0) {
            serve_fail(s, -r, "thread of a loop", NULL);
            break;
        }
        await(s, &s->ready, i);
    }
    return i;
}

static void serve(struct rouse_server *s)
{
    unsigned started = 1;
    bool go = serve_loop_open(&s->loops[0]) == 0;

    if (go)
        started = start_threads(s);
    go = go && !s->error.code;
    if (go && s->events.serving)
        go = s->events.serving(s) != ROUSE_SHUTDOWN;
    if (!go)
        atomic_store(&s->stopping, true);
    pthread_mutex_lock(&s->lock);
    s->phase = go ? SERVE_RUN : SERVE_LEAVE;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (go)
        run(&s->loops[0]);
    await_posting(s);
    serve_loop_done(&s->loops[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(s->loops[i].thread, NULL);
}

/* ---- what the caller gave */

static unsigned cpus(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t mine;

    if (sched_getaffinity(0, sizeof(mine), &mine) == 0)
        return (unsigned)CPU_COUNT(&mine);
    return online > 0 ? (unsigned)online : 1;
}

static int fill_in(struct rouse_server *s)
{
    struct rouse_events *e = &s->events;
    static const struct rouse_events defaults = {
        .max_connections = 10000,
        .input_limit = 64 * 1024,
        .output_high = 256 * 1024,
        .output_low = 64 * 1024,
        .output_limit = 16 * 1024 * 1024,
        .shutdown_timeout_ms = 5000,
    };

    if (e->loops > LOOPS_MAX) {
        say(&s->error, EINVAL, "loops", "1024 at most");
        return -EINVAL;
    }
    s->loop_count = e->loops < 0 ? cpus() : e->loops ? (unsigned)e->loops : 1;
    if (s->loop_count > LOOPS_MAX)
        s->loop_count = LOOPS_MAX;
    if ((unsigned)e->balance > ROUSE_LEAST_CONNECTIONS) {
        say(&s->error, EINVAL, "balance", NULL);
        return -EINVAL;
    }
    if ((unsigned)e->backend > ROUSE_BACKEND_IO_URING) {
        say(&s->error, EINVAL, "backend", NULL);
        return -EINVAL;
    }
    if (!e->max_connections)
        e->max_connections = defaults.max_connections;
    if (!e->input_limit)
        e->input_limit = defaults.input_limit;
    if (!e->output_high)
        e->output_high = defaults.output_high;
    if (!e->output_low)
        e->output_low = defaults.output_low;
    if (e->output_low > e->output_high)
        e->output_low = e->output_high;
    if (!e->output_limit)
        e->output_limit = defaults.output_limit;
    if (!e->shutdown_timeout_ms)
        e->shutdown_timeout_ms = defaults.shutdown_timeout_ms;
    return 0;
}

static int take_addresses(struct rouse_server *s, const char *const *texts, size_t count)
{
    const char *why = NULL;

    if (count > UINT_MAX)
        return -E2BIG;
    s->addresses = calloc(count ? count : 1, sizeof(*s->addresses));
    if (!s->addresses)
        return -ENOMEM;
    s->address_count = count;
    for (size_t i = 0; i < count; i++) {
        int r = serve_address_parse(texts[i], &s->addresses[i], &why);

        if (r < 0) {
            say(&s->error, -r, texts[i], why);
            return r;
        }
    }
    return 0;
}

int rouse_serve(const struct rouse_events *events, const char *const *addresses, size_t count,
                struct rouse_error *ret_error)
{
    struct rouse_server s = {
        .events = *events,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    int r = fill_in(&s);

    if (r == 0)
        r = take_addresses(&s, addresses, count);
    if (r == 0)
        s.loops = calloc(s.loop_count, sizeof(*s.loops));
    if (r == 0 && !s.loops)
        r = -ENOMEM;
    if (r == 0) {
        for (unsigned i = 0; i < s.loop_count; i++) {
            s.loops[i].server = &s;
            s.loops[i].index = i;
        }
        atomic_store(&s.alive, s.loop_count);
        serve(&s);
    }
    if (r < 0)
        say(&s.error, -r, "server", NULL);
    if (ret_error)
        *ret_error = s.error;
    free(s.loops);
    free(s.addresses);
    pthread_mutex_destroy(&s.lock);
    pthread_cond_destroy(&s.changed);
    return -s.error.code;
}

/* ---- what callbacks may ask */

void *rouse_server_user(const struct rouse_server *s)
{
    return s->events.user;
}

unsigned rouse_server_loops(const struct rouse_server *s)
{
    return s->loop_count;
}

size_t rouse_server_addresses(const struct rouse_server *s)
{
    return s->address_count;
}

const char *rouse_server_address(const struct rouse_server *s, size_t index)
{
    return index < s->address_count ? s->addresses[index].text : NULL;
}

int rouse_server_stats(const struct rouse_server *s, unsigned loop, struct rouse_loop_stats *ret)
{
    const struct serve_loop *sl;
    const struct loop_stats *turn;

    if (loop >= s->loop_count)
        return -EINVAL;
    sl = &s->loops[loop];
    turn = loop_stats(sl->loop);
    *ret = (struct rouse_loop_stats){
        .turns = __atomic_load_n(&turn->turns, __ATOMIC_RELAXED),
        .wakeups = __atomic_load_n(&turn->wakeups, __ATOMIC_RELAXED),
        .accepted = count_of(&sl->counts.accepted),
        .opened = count_of(&sl->counts.opened),
        .closed = count_of(&sl->counts.closed),
        .detached = count_of(&sl->counts.detached),
        .bytes_in = count_of(&sl->counts.bytes_in),
        .bytes_out = count_of(&sl->counts.bytes_out),
        .refused = count_of(&sl->counts.refused),
        .cut_input = count_of(&sl->counts.cut_input),
        .cut_output = count_of(&sl->counts.cut_output),
        .timed_out = count_of(&sl->counts.timed_out),
        .datagrams_in = count_of(&sl->counts.datagrams_in),
        .datagrams_out = count_of(&sl->counts.datagrams_out),
        .datagrams_dropped = count_of(&sl->counts.datagrams_dropped),
    };
    return 0;
}
