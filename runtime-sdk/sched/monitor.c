/* monitor.c - the thread that watches the others: it takes processors from tasks that keep them too
 * long, and looks at the poller and at timers when everybody is too busy to.
 *
 * Its pace: 20 us while declared blocking calls are about, 2 ms while tasks run
 * whenever it looks, 10 ms while they ran in between, and asleep when none has
 * for a while. A program that answers a request now and then is asleep most of
 * the time, and its monitor should not be what keeps it awake. It also has
 * threads made later that could not be made when a processor needed one. */
#include "sched/internal.h"
#include "sched/report.h"

#include <sys/prctl.h>

enum {
    FAST_NS = 20000,
    SLOW_NS = 2000000,
    CALM_NS = 10000000,
    BLOCKED_NS = 20000,    /* a declared call */
    RUNNING_NS = 10000000, /* a task that does not come into the scheduler */
    FAST_ROUNDS = 50,      /* without a call that blocks, before it slows down */
    IDLE_ROUNDS = 2,       /* without a processor that ran, before it sleeps */
};

_Atomic uint32_t monitor_sleeps = PACE_ASLEEP;

static struct {
    pthread_t thread;
    _Atomic uint32_t wake; /* futex: how often it was told */
    _Atomic bool end;
} monitor;

void monitor_notice(uint32_t pace)
{
    uint32_t was;

    /* First, and always: what it is told while it decides to sleep for longer ends that sleep. */
    atomic_fetch_add(&monitor.wake, 1);
    was = atomic_load(&monitor_sleeps);
    while (was > pace) {
        if (!atomic_compare_exchange_weak(&monitor_sleeps, &was, pace))
            continue;
        futex_wake(&monitor.wake, 1);
        return;
    }
}

/* There is something that this processor keeps from running. */
static bool in_the_way(const struct processor *p)
{
    return !queue_empty(&p->queue) || atomic_load_explicit(&sched.global_count, memory_order_relaxed);
}

static bool watch_blocked(struct processor *p, int64_t now)
{
    if (now - p->seen_at < BLOCKED_NS)
        return true;
    if (!in_the_way(p) && atomic_load(&sched.idle_count) + atomic_load(&sched.spinning))
        return false; /* others are there for what may come */
    if (processor_take_blocked(p)) {
        atomic_fetch_add_explicit(&sched.handoffs, 1, memory_order_relaxed);
        machine_hand_off(p);
    }
    return true;
}

/* Returns when it is to be taken. */
static int64_t watch_running(struct processor *p, int64_t now)
{
    int64_t due = p->runs_since + RUNNING_NS;

    if (now < due)
        return due;
    if (in_the_way(p) && processor_take_running(p)) {
        atomic_fetch_add_explicit(&sched.preemptions, 1, memory_order_relaxed);
        machine_hand_off(p);
    }
    return INT64_MAX;
}

struct seen {
    bool blocked; /* a processor is in a declared call */
    bool busy;    /* one runs, or is in one */
    bool active;  /* one ran since the last look */
    int64_t due;  /* when the first is to be taken if it runs on */
};

/* `last`: when it was looked at before. */
static struct seen watch(struct processor *p, int64_t now, int64_t last)
{
    uint32_t tick = atomic_load_explicit(&p->tick, memory_order_relaxed);
    uint32_t status = atomic_load_explicit(&p->status, memory_order_acquire);
    struct seen seen = {.busy = status == PROC_RUNNING || status == PROC_BLOCKED, .due = INT64_MAX};

    if (tick != p->seen_tick) {
        int64_t bound = atomic_load_explicit(&p->bound_at, memory_order_relaxed);

        p->seen_tick = tick;
        p->seen_at = now;
        /* No later than it began: rather some of its time too short than the others' wait too long. */
        p->runs_since = bound > last ? bound : last;
        seen.active = true;
    }
    if (status == PROC_BLOCKED)
        seen.blocked = watch_blocked(p, now);
    else if (status == PROC_RUNNING)
        seen.due = watch_running(p, now);
    return seen;
}

static void look_for_the_busy(int64_t now)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);
    int64_t polled = atomic_load(&sched.polled_at);
    struct task_list l = {0};

    if (polled && now - polled > SLOW_NS && poller_waited_for() &&
        atomic_compare_exchange_strong(&sched.polled_at, &polled, now))
        poller_look(0, &l);
    for (uint32_t i = 0; i < n; i++) {
        if (atomic_load_explicit(&sched.all[i]->timers.first, memory_order_relaxed) < now - SLOW_NS)
            timers_due(&sched.all[i]->timers, now, &l);
    }
    if (!l.count)
        return;
    task_ready_list(NULL, &l);
    /* Turns may be long: these are late already, and do not wait for one of many. */
    for (uint32_t i = 0; i < n; i++)
        atomic_store_explicit(&sched.all[i]->look, true, memory_order_relaxed);
}

static struct seen look(int64_t now, int64_t last)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);
    struct seen seen = {.due = INT64_MAX};

    atomic_store_explicit(&sched.now, now, memory_order_relaxed);
    look_for_the_busy(now);
    for (uint32_t i = 0; i < n; i++) {
        struct seen one = watch(sched.all[i], now, last);

        seen.blocked |= one.blocked;
        seen.busy |= one.busy;
        seen.active |= one.active;
        if (one.due < seen.due)
            seen.due = one.due;
    }
    if (atomic_exchange(&sched.short_of_threads, false)) {
        machine_wake_one();
        seen.busy = true;
    }
    return seen;
}

/* After a look. `calm` and `idle` count looks in a row. */
static uint32_t next_pace(uint32_t pace, struct seen seen, unsigned *calm, unsigned *idle)
{
    *calm = seen.blocked ? 0 : *calm + 1;
    *idle = seen.busy || seen.active ? 0 : *idle + 1;
    if (pace == PACE_FAST && *calm <= FAST_ROUNDS)
        return PACE_FAST;
    if (atomic_load(&sched.quiet))
        return PACE_ASLEEP;
    if (seen.busy)
        return PACE_SLOW;
    return *idle < IDLE_ROUNDS ? PACE_CALM : PACE_ASLEEP;
}

static void *monitor_main(void *arg)
{
    static const int64_t length[] = {
        [PACE_FAST] = FAST_NS, [PACE_SLOW] = SLOW_NS, [PACE_CALM] = CALM_NS, [PACE_ASLEEP] = -1};
    uint32_t pace = PACE_SLOW, told = atomic_load(&monitor.wake);
    struct seen seen = {.due = INT64_MAX};
    unsigned calm = 0, idle = 0;
    int64_t now = rouse_now();

    (void)arg;
    prctl(PR_SET_NAME, "rouse-monitor");
    prctl(PR_SET_TIMERSLACK, 1000);
    for (;;) {
        int64_t last = now, wait;
        uint32_t wake;

        /* Who makes a processor run tells it only if it finds this. */
        atomic_store(&monitor_sleeps, pace);
        if (pace == PACE_ASLEEP && !atomic_load(&sched.quiet) &&
            (atomic_load(&sched.idle_count) < atomic_load(&sched.procs) ||
             atomic_load(&sched.short_of_threads)))
            atomic_store(&monitor_sleeps, pace = PACE_SLOW);
        if (pace == PACE_ASLEEP)
            atomic_store_explicit(&sched.now, 0, memory_order_relaxed);
        wait = length[pace];
        if (seen.due - now < wait)
            wait = seen.due - now;
        futex_wait(&monitor.wake, told, wait);
        wake = atomic_load(&monitor.wake);
        if (atomic_load(&monitor.end))
            return NULL;
        if (told != wake) {
            told = wake;
            pace = atomic_load(&monitor_sleeps);
            calm = idle = 0;
        }
        now = rouse_now();
        seen = look(now, last);
        pace = next_pace(pace, seen, &calm, &idle);
        if (stacks_trim(now) && pace == PACE_ASLEEP)
            pace = PACE_CALM;
        report_turn();
    }
}

int monitor_start(void)
{
    atomic_store(&monitor.end, false);
    return -pthread_create(&monitor.thread, NULL, monitor_main, NULL);
}

void monitor_stop(void)
{
    atomic_store(&monitor.end, true);
    monitor_notice(PACE_FAST);
    pthread_join(monitor.thread, NULL);
}
