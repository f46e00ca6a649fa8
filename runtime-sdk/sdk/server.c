#include "sdk/server.h"
#include "sdk/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { TICK_NS = 1000 * 1000, QUIET_TICKS = 10, SLOW_STREAK = 16 };

/* ---- the lead: all under `lock` */

static struct worker *worker_spare(struct server *s)
{
    struct worker *w = s->idle;

    if (w) {
        s->idle = w->next_idle;
        return w;
    }
    return s->count < s->hello->concurrency ? worker_start(s) : NULL;
}

static void give_lead(struct server *s, struct worker *to)
{
    s->leader = to;
    atomic_store(&to->state, WORKER_LEADING);
    pthread_cond_signal(&to->called);
}

/* The monitor's: the leader is in a handler that takes long. The compare-and-swap decides whether it
 * has just returned; whoever loses it leaves the lead where it is. */
static void move_lead(struct server *s)
{
    struct worker *w = s->leader, *next = worker_spare(s);
    enum worker_state running = WORKER_RUNNING;

    if (!next)
        return;
    if (atomic_compare_exchange_strong(&w->state, &running, WORKER_DETACHED)) {
        s->slow = SLOW_STREAK;
        give_lead(s, next);
    } else {
        next->next_idle = s->idle;
        s->idle = next;
    }
}

bool server_pass_lead(struct worker *w)
{
    struct server *s = w->server;
    struct worker *next;

    pthread_mutex_lock(&s->lock);
    next = worker_spare(s);
    if (next) {
        atomic_store(&w->state, WORKER_DETACHED);
        give_lead(s, next);
    }
    pthread_mutex_unlock(&s->lock);
    return next != NULL;
}

bool server_await_lead(struct worker *w, bool idle)
{
    struct server *s = w->server;
    bool ended;

    pthread_mutex_lock(&s->lock);
    if (idle) {
        atomic_store(&w->state, WORKER_IDLE);
        w->next_idle = s->idle;
        s->idle = w;
    }
    while (!s->ended && atomic_load(&w->state) == WORKER_IDLE)
        pthread_cond_wait(&w->called, &s->lock);
    ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    return !ended;
}

void server_end(struct server *s, int result)
{
    pthread_mutex_lock(&s->lock);
    if (!s->ended) {
        s->ended = true;
        s->result = result;
    }
    for (struct worker *w = s->idle; w; w = w->next_idle)
        pthread_cond_signal(&w->called);
    pthread_cond_signal(&s->busy);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the monitor */

static void sleep_a_tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
}

void server_wake_monitor(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->monitor_sleeps, false);
    pthread_cond_signal(&s->busy);
    pthread_mutex_unlock(&s->lock);
}

static bool leader_runs(struct server *s)
{
    return atomic_load(&s->leader->state) == WORKER_RUNNING;
}

/* A leader stores RUNNING and then looks at `monitor_sleeps`; here it is the other way round, so one
 * of the two sees the other. */
static void monitor_rest(struct server *s)
{
    atomic_store(&s->monitor_sleeps, true);
    if (leader_runs(s))
        atomic_store(&s->monitor_sleeps, false);
    while (atomic_load(&s->monitor_sleeps) && !s->ended)
        pthread_cond_wait(&s->busy, &s->lock);
}

static void *monitor(void *user)
{
    struct server *s = user;
    uint64_t seen = 0;
    unsigned quiet = 0;

    pthread_mutex_lock(&s->lock);
    while (!s->ended) {
        uint64_t started;

        if (quiet > QUIET_TICKS) {
            monitor_rest(s);
            quiet = 0;
        }
        pthread_mutex_unlock(&s->lock);
        sleep_a_tick();
        pthread_mutex_lock(&s->lock);
        started = atomic_load(&s->started);
        if (started == seen && leader_runs(s)) {
            move_lead(s);
            /* Answers that wait for the batch's end do not wait for this handler. */
            pthread_mutex_unlock(&s->lock);
            channel_flush(s->channel);
            pthread_mutex_lock(&s->lock);
        }
        quiet = started == seen ? quiet + 1 : 0;
        seen = started;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life */

int server_run(struct channel *ch, const struct hello *hello, rouse_handler *handler)
{
    struct server s = {.channel = ch, .hello = hello, .handler = handler};
    struct worker *first;
    pthread_t watcher;
    int r;

    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.busy, NULL);
    first = worker_new(&s);
    if (!first)
        return -ENOMEM;
    s.leader = first;
    atomic_store(&first->state, WORKER_LEADING);
    r = hello->concurrency > 1 ? -pthread_create(&watcher, NULL, monitor, &s) : 0;
    if (r == 0) {
        worker_run(first);
        if (hello->concurrency > 1)
            pthread_join(watcher, NULL);
        r = s.result;
    }
    while (s.all)
        worker_free(s.all);
    pthread_cond_destroy(&s.busy);
    pthread_mutex_destroy(&s.lock);
    return r;
}
