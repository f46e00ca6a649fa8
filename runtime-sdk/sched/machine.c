/* machine.c - threads (M): made when a processor needs one, asleep when there is none for them. */
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

static void done_wake_all(void);

int machine_new(struct machine **ret)
{
    struct machine *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    *ret = m;
    return 0;
}

static void enlist(struct machine *m)
{
    m->next = sched.machines;
    sched.machines = m;
    sched.machine_count++;
}

static void hand(struct machine *m, struct processor *p, struct task *t)
{
    m->handed = p;
    m->handed_task = t;
    atomic_store_explicit(&m->wake, 1, memory_order_release);
    futex_wake(&m->wake, 1);
}

/* Asleep until a processor is handed over; false: sched.done. */
static bool await_processor(struct machine *m)
{
    while (!atomic_load_explicit(&m->wake, memory_order_acquire))
        futex_wait(&m->wake, 0, -1);
    atomic_store_explicit(&m->wake, 0, memory_order_relaxed);
    if (!m->handed)
        return false;
    processor_bind(m, m->handed);
    m->handed = NULL;
    m->given = m->handed_task;
    m->handed_task = NULL;
    return true;
}

bool machine_stop(struct machine *m)
{
    lock_acquire(&sched.lock);
    if (atomic_load_explicit(&sched.done, memory_order_relaxed)) {
        lock_release(&sched.lock);
        return false;
    }
    /* One that keeps a pinned task sleeps until that one is runnable: no other work is for it. */
    if (!m->pinned) {
        m->next_idle = sched.idle_machines;
        sched.idle_machines = m;
    }
    sched.idle_machine_count++;
    deadlock_check();
    lock_release(&sched.lock);
    return await_processor(m);
}

static void *thread_main(void *arg)
{
    struct machine *m = arg;

    sched_self = m;
    /* whoever made the thread, the monitor too, left it its own name */
    prctl(PR_SET_NAME, program_invocation_short_name);
    signals_thread_init(m);
    if (await_processor(m))
        machine_loop(m);
    signals_thread_done(m);
    return NULL;
}

static struct machine *thread_new(void)
{
    struct machine *m;

    if (sched.machine_count == MACHINES_MAX || machine_new(&m) < 0)
        return NULL;
    m->inside = 1;
    if (pthread_create(&m->thread, NULL, thread_main, m)) {
        free(m);
        return NULL;
    }
    enlist(m);
    return m;
}

void machine_start(struct processor *p, bool spinning, struct task *given)
{
    struct machine *m;

    lock_acquire(&sched.lock);
    m = sched.idle_machines;
    if (m) {
        sched.idle_machines = m->next_idle;
        sched.idle_machine_count--;
    } else {
        m = thread_new();
    }
    if (!m)
        processor_put_idle(p); /* of a thread that runs out of work, or that the monitor makes later */
    lock_release(&sched.lock);
    if (m) {
        m->spinning = spinning;
        hand(m, p, given);
        return;
    }
    if (spinning)
        atomic_fetch_sub(&sched.spinning, 1);
    atomic_store(&sched.short_of_threads, true);
    if (given) {
        struct task_list l = {0};

        task_list_push(&l, given);
        global_put(&l);
    }
}

void machine_wake_one(void)
{
    struct processor *p;
    uint32_t none = 0;

    if (!atomic_compare_exchange_strong(&sched.spinning, &none, 1))
        return;
    lock_acquire(&sched.lock);
    p = processor_take_idle();
    /* Under the lock: who looks at `spinning` after a processor became idle must not find this one in it. */
    if (!p)
        atomic_fetch_sub(&sched.spinning, 1);
    lock_release(&sched.lock);
    if (p)
        machine_start(p, true, NULL);
}

static bool work_for(const struct processor *p)
{
    return !queue_empty(&p->queue) || atomic_load_explicit(&sched.global_count, memory_order_relaxed);
}

void machine_hand_off(struct processor *p)
{
    uint32_t none = 0;
    int64_t first;
    bool poll;

    if (work_for(p)) {
        machine_start(p, false, NULL);
        return;
    }
    if (!atomic_load(&sched.idle_count) && atomic_compare_exchange_strong(&sched.spinning, &none, 1)) {
        machine_start(p, true, NULL); /* everybody is busy: somebody is to look for what comes */
        return;
    }
    lock_acquire(&sched.lock);
    if (atomic_load_explicit(&sched.stopping, memory_order_relaxed)) {
        world_take(p);
        lock_release(&sched.lock);
        return;
    }
    /* Whoever holds the last processor that is not idle also looks for what the poller has. */
    poll = sched.global.count || (atomic_load(&sched.idle_count) + 1 == atomic_load(&sched.procs) &&
                                  poller_waited_for() && atomic_load(&sched.polled_at));
    if (!poll)
        processor_put_idle(p);
    lock_release(&sched.lock);
    if (poll) {
        machine_start(p, false, NULL);
        return;
    }
    if (work_waits())
        machine_wake_one();
    first = atomic_load(&p->timers.first);
    if (first != INT64_MAX)
        timers_need_look(first);
}

void timers_need_look(int64_t when)
{
    if (atomic_load(&sched.polled_at))
        machine_wake_one(); /* nobody waits in the poller: somebody will, for as long as that */
    else if (when < atomic_load(&sched.poll_until))
        poller_wake();
}

/* ---- the loop */

/* It found work: if it was the last that looked, another one looks on. */
static void stop_spinning(struct machine *m)
{
    m->spinning = false;
    if (atomic_fetch_sub(&sched.spinning, 1) == 1 && atomic_load(&sched.idle_count))
        machine_wake_one();
}

/* A pinned task runs on its own thread: that one gets this processor. */
static void hand_to_pinned(struct machine *m, struct task *t)
{
    struct processor *p = m->p;

    processor_unbind(m);
    lock_acquire(&sched.lock);
    sched.idle_machine_count--;
    lock_release(&sched.lock);
    hand(t->pinned, p, t);
}

void machine_loop(struct machine *m)
{
    for (;;) {
        struct task *t;

        if (m->p && m->pinned && !m->given) {
            struct processor *p = m->p;

            processor_unbind(m);
            machine_hand_off(p);
        }
        if (!m->p && !machine_stop(m))
            break;
        t = m->given;
        m->given = NULL;
        if (!t)
            t = find_runnable(m);
        if (!t)
            break;
        if (m->spinning)
            stop_spinning(m);
        if (t->pinned && t->pinned != m)
            hand_to_pinned(m, t);
        else
            machine_run(m, t);
    }
    done_wake_all();
}

/* ---- the end */

static void done_wake_all(void)
{
    struct machine *m;

    poller_wake();
    lock_acquire(&sched.lock);
    while ((m = sched.idle_machines)) {
        sched.idle_machines = m->next_idle;
        sched.idle_machine_count--;
        hand(m, NULL, NULL);
    }
    lock_release(&sched.lock);
}

void machines_done(void)
{
    struct machine *m;

    while ((m = sched.machines)) {
        sched.machines = m->next;
        if (m != sched.main)
            pthread_join(m->thread, NULL);
        free(m);
    }
}
