/* run.c - rouse_run(): the scheduler's beginning and end, and the beginning and end of tasks. */
#include "sched/internal.h"

#include "base/clock.h"
#include "sched/cpus.h"
#include "sched/local.h"
#include "sched/scope.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { IDS = 64 };

struct scheduler sched;
static _Atomic bool running;

static void main_entry(void *arg);

/* ---- the life of a task */

static uint64_t new_id(struct processor *p)
{
    if (p->ids == p->ids_end) {
        p->ids = atomic_fetch_add_explicit(&sched.ids, IDS, memory_order_relaxed) + 1;
        p->ids_end = p->ids + IDS;
    }
    return p->ids++;
}

struct task *task_make(struct machine *m, rouse_task_fn *fn, void *arg)
{
    struct task *t = task_new(m);

    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    t->id = new_id(m->p);
    t->waits_for = "its first turn";
    t->stack_size = STACK_DEFAULT;
    t->scope = NULL;
    t->opened = NULL;
    t->name[0] = '\0';
    atomic_store_explicit(&t->on_cpu, 0, memory_order_relaxed);
    atomic_store_explicit(&t->canceled, false, memory_order_relaxed);
    count(&m->p->counters.spawned);
    monitor_needed();
    if (__builtin_expect(atomic_load_explicit(&sched.ending, memory_order_relaxed), 0)) {
        atomic_fetch_add(&sched.live, 1);
        atomic_store(&t->canceled, true);
    }
    return t;
}

int rouse_spawn(rouse_task_fn *fn, void *arg)
{
    struct machine *m = sched_enter();
    struct task *t;

    if (!m)
        return -EPERM;
    t = task_make(m, fn, arg);
    if (t)
        task_ready(m, t);
    sched_leave(m);
    return t ? 0 : tasks_error();
}

int rouse_spawn_with(const struct rouse_task_options *options, rouse_task_fn *fn, void *arg)
{
    struct machine *m;
    struct task *t;
    int r = 0;

    if (options->stack && (options->stack < STACK_MIN || options->stack > STACK_MAX))
        return -EINVAL;
    m = sched_enter();
    if (!m)
        return -EPERM;
    t = task_make(m, fn, arg);
    if (!t)
        r = tasks_error();
    if (t && options->stack)
        t->stack_size = options->stack;
    if (t && options->name)
        strncat(t->name, options->name, TASK_NAME - 1);
    if (t && options->scope)
        r = scope_child_begins(m, options->scope, t);
    if (r == 0)
        task_ready(m, t);
    else if (t)
        task_discard(m, t);
    sched_leave(m);
    return r;
}

void task_discard(struct machine *m, struct task *t)
{
    count(&m->p->counters.ended);
    if (atomic_load_explicit(&sched.ending, memory_order_relaxed))
        atomic_fetch_sub(&sched.live, 1); /* not the last: there is the current task */
    task_free(m->p, t);
}

struct machine *task_end(struct machine *m)
{
    struct task *t = m->current;

    task_unpin(m);
    if (t->locals)
        m = locals_done(m);
    if (t->opened)
        scope_left_open(t);
    if (t->scope)
        m = scope_child_ended(m);
    count(&m->p->counters.ended);
    if (__builtin_expect(atomic_load_explicit(&sched.ending, memory_order_relaxed), 0) &&
        atomic_fetch_sub(&sched.live, 1) == 1) {
        lock_acquire(&sched.lock);
        atomic_store(&sched.done, true);
        lock_release(&sched.lock);
    }
    return m;
}

void rouse_yield(void)
{
    struct machine *m = sched_enter();

    if (!m)
        return;
    m = machine_leave_task(m, AFTER_YIELD, NULL);
    sched_leave(m);
}

uint64_t rouse_task_id(void)
{
    struct machine *m = machine_self();

    return m->current ? m->current->id : 0;
}

const char *rouse_task_name(void)
{
    struct machine *m = machine_self();

    return m->current ? m->current->name : "";
}

bool rouse_canceled(void)
{
    struct machine *m = machine_self();

    return m->current && atomic_load_explicit(&m->current->canceled, memory_order_acquire);
}

/* ---- time */

int64_t rouse_now(void)
{
    return (int64_t)clock_monotonic_ns();
}

int64_t rouse_after(int64_t ns)
{
    int64_t now = rouse_now();

    return ns > ROUSE_NEVER - now ? ROUSE_NEVER : now + ns;
}

int rouse_sleep_until(int64_t deadline)
{
    struct machine *m = sched_enter();
    int r;

    if (!m)
        return -EPERM;
    r = wait_open(m, "sleep");
    if (r == 0)
        r = wait_park(&m, NULL, deadline);
    sched_leave(m);
    return r == -ETIMEDOUT ? 0 : r;
}

int rouse_sleep(int64_t ns)
{
    return rouse_sleep_until(rouse_after(ns));
}

/* ---- the beginning and the end */

static int64_t live_now(void)
{
    int64_t live = 0;

    for (uint32_t i = 0; i < sched.made; i++) {
        struct counters *c = &sched.all[i]->counters;

        live += (int64_t)(atomic_load(&c->spawned) - atomic_load(&c->ended));
    }
    return live;
}

/* From here on every task that begins or ends is counted, and each is cancelled. */
static struct machine *end_others(struct machine *m)
{
    m = world_stop(m);
    atomic_store(&sched.live, live_now());
    atomic_store(&sched.ending, true);
    world_start(m);
    tasks_cancel_all(m);
    return m;
}

struct first {
    rouse_task_fn *fn;
    void *arg;
};

static void main_entry(void *arg)
{
    const struct first *first = arg;
    struct machine *m;

    first->fn(first->arg);
    m = sched_enter();
    m = end_others(m);
    sched_leave(m);
}

static int begin(struct first *first)
{
    struct task_list l = {0};
    struct machine *m;
    struct task *t;
    int r;

    atomic_store_explicit(&sched.fence, membarrier_init() < 0, memory_order_relaxed);
    sched.polled_at = 1;
    r = processors_init(cpus_default());
    if (r == 0)
        r = machine_new(&m);
    if (r < 0)
        return r;
    m->thread = pthread_self();
    m->inside = 1;
    lock_acquire(&sched.lock);
    sched.main = sched.machines = m;
    sched.machine_count = 1;
    lock_release(&sched.lock);
    r = poller_init();
    if (r == 0)
        r = signals_init();
    if (r < 0)
        return r;
    lock_acquire(&sched.lock);
    processor_bind(m, processor_take_idle());
    lock_release(&sched.lock);
    t = task_make(m, main_entry, first);
    if (!t)
        return -ENOMEM;
    strcpy(t->name, "main");
    r = monitor_start(); /* the last that can fail: nothing below end() ends it */
    if (r < 0)
        return r;
    task_list_push(&l, t);
    task_ready_list(m, &l);
    return 0;
}

static void end(void)
{
    machines_done();
    signals_done();
    poller_done();
    processors_done();
    stacks_done();
    tasks_done();
    lock_acquire(&sched.lock);
    memset(&sched.global, 0, sizeof(sched) - offsetof(struct scheduler, global));
    lock_release(&sched.lock);
}

int rouse_run(rouse_task_fn *fn, void *arg)
{
    struct first first = {fn, arg};
    struct machine *foreign = machine_self();
    int r;

    if (atomic_exchange(&running, true))
        return -EBUSY;
    r = begin(&first);
    if (r == 0) {
        sched_self = sched.main;
        signals_thread_init(sched.main);
        machine_loop(sched.main);
        signals_thread_done(sched.main);
        sched_self = foreign;
        monitor_stop();
    }
    end();
    atomic_store(&running, false);
    return r;
}
