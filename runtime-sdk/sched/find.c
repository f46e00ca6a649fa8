/* find.c - what to run next: own queue, global queue, timers, net poller, other processors' queues;
 * then sleep. After Go's findRunnable(); the order and its barriers are argued in internal.h. */
#include "sched/internal.h"

#include <time.h>

enum {
    GLOBAL_TURN = 61, /* every so many turns the thread's loop looks at everything */
    NEXT_STREAK = 64, /* turns in a row of tasks that wake each other, before the ring has one */
    STEAL_ROUNDS = 4,
};

static struct task *take_local(struct processor *p)
{
    struct task *t = NULL;

    if (p->next_streak < NEXT_STREAK && atomic_load_explicit(&p->queue.next, memory_order_relaxed))
        t = queue_swap_next(&p->queue, NULL, sched_alone());
    if (t) {
        p->next_streak++;
        return t;
    }
    p->next_streak = 0;
    t = queue_take(&p->queue, sched_alone());
    if (!t && atomic_load_explicit(&p->queue.next, memory_order_relaxed))
        t = queue_swap_next(&p->queue, NULL, sched_alone());
    return t;
}

static struct task *take_global(struct processor *p, uint32_t max)
{
    struct task *t;

    if (!atomic_load_explicit(&sched.global_count, memory_order_relaxed))
        return NULL;
    lock_acquire(&sched.lock);
    t = global_take(p, max);
    lock_release(&sched.lock);
    return t;
}

bool find_turn(const struct processor *p)
{
    return atomic_load_explicit(&p->tick, memory_order_relaxed) % GLOBAL_TURN == 0 ||
           atomic_load_explicit(&p->look, memory_order_relaxed) ||
           atomic_load_explicit(&sched.stopping, memory_order_relaxed);
}

struct task *find_local(struct machine *m)
{
    struct processor *p = m->p;
    struct task *t;

    processor_turn(p);
    if (__builtin_expect(find_turn(p), 0))
        return NULL;
    t = take_local(p);
    return t ? t : take_global(p, 0);
}

static void run_timers(struct machine *m, struct processor *p)
{
    int64_t first = atomic_load_explicit(&p->timers.first, memory_order_relaxed), now;
    struct task_list l = {0};

    if (first == INT64_MAX)
        return;
    now = rouse_now();
    if (first > now)
        return;
    timers_due(&p->timers, now, &l);
    task_ready_list(m, &l);
}

static struct task *take_polled(struct machine *m)
{
    struct task_list l = {0};
    struct task *t;

    if (!poller_waited_for() || !atomic_load_explicit(&sched.polled_at, memory_order_relaxed))
        return NULL;
    count(&m->p->counters.polls);
    poller_look(0, &l);
    t = task_list_pop(&l);
    task_ready_list(m, &l);
    return t;
}

/* ---- other processors */

static uint32_t coprime(uint32_t n, uint32_t step)
{
    for (;; step++) {
        uint32_t a = n, b = step % n;

        while (b) {
            uint32_t rest = a % b;

            a = b;
            b = rest;
        }
        if (a == 1 && (step % n || n == 1))
            return step;
    }
}

/* What a holder readied last it runs next, and the two that wake each other have their data in its cache:
 * that one is taken only from a holder that does not get to it. */
static bool stays_behind(const struct processor *p)
{
    uint32_t tick = atomic_load_explicit(&p->tick, memory_order_relaxed);

    if (!atomic_load_explicit(&p->queue.next, memory_order_relaxed))
        return false;
    if (atomic_load_explicit(&p->status, memory_order_relaxed) != PROC_RUNNING)
        return true;
    nanosleep(&(struct timespec){.tv_nsec = 3000}, NULL);
    return tick == atomic_load_explicit(&p->tick, memory_order_relaxed);
}

/* All others in a random order: steps of a length that is coprime to their number. */
static struct task *steal(struct machine *m)
{
    struct processor *p = m->p;
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);

    for (int round = 0; round < STEAL_ROUNDS; round++) {
        uint64_t random = processor_random(p);
        uint32_t at = (uint32_t)random % n;
        uint32_t step = n == 1 ? 1 : coprime(n, (uint32_t)(random >> 32) % n + 1);
        bool last = round == STEAL_ROUNDS - 1;

        for (uint32_t i = 0; i < n; i++, at = (at + step) % n) {
            struct processor *from = atomic_load_explicit(&sched.all[at], memory_order_acquire);
            struct task *t;

            if (atomic_load_explicit(&sched.stopping, memory_order_relaxed))
                return NULL;
            if (from == p)
                continue;
            if (last) {
                run_timers(m, from);
                t = take_local(p);
                if (t)
                    return t;
            }
            t = queue_steal(&p->queue, &from->queue, last && stays_behind(from));
            if (t) {
                count(&p->counters.steals);
                return t;
            }
        }
    }
    return NULL;
}

static struct task *spin(struct machine *m)
{
    if (!m->spinning) {
        uint32_t busy = atomic_load(&sched.procs) - atomic_load(&sched.idle_count);

        if (2 * atomic_load(&sched.spinning) >= busy)
            return NULL;
        m->spinning = true;
        atomic_fetch_add(&sched.spinning, 1);
    }
    return steal(m);
}

/* ---- nothing: without a processor */

static bool take_idle(struct machine *m)
{
    struct processor *p;

    lock_acquire(&sched.lock);
    p = processor_take_idle();
    if (p)
        processor_bind(m, p);
    lock_release(&sched.lock);
    return p;
}

bool work_waits(void)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);

    full_barrier();
    if (atomic_load_explicit(&sched.global_count, memory_order_relaxed))
        return true;
    for (uint32_t i = 0; i < n; i++) {
        if (!queue_empty(&atomic_load_explicit(&sched.all[i], memory_order_acquire)->queue))
            return true;
    }
    return false;
}

/* Some queue has work after all, and there is a processor for it. */
static bool look_again(struct machine *m)
{
    if (!work_waits() || !take_idle(m))
        return false;
    m->spinning = true;
    atomic_fetch_add(&sched.spinning, 1);
    return true;
}

static int64_t first_timer(void)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);
    int64_t first = INT64_MAX;

    for (uint32_t i = 0; i < n; i++) {
        int64_t f = atomic_load(&sched.all[i]->timers.first);

        if (f < first)
            first = f;
    }
    return first;
}

static void run_all_timers(struct task_list *ret)
{
    uint32_t n = atomic_load_explicit(&sched.made, memory_order_acquire);
    int64_t now = rouse_now();

    for (uint32_t i = 0; i < n; i++) {
        if (atomic_load(&sched.all[i]->timers.first) <= now)
            timers_due(&sched.all[i]->timers, now, ret);
    }
}

/* One thread waits in the poller, for descriptors and for timers. True: it did, and has a processor. */
static bool wait_in_poller(struct machine *m, struct task **ret)
{
    int64_t until = first_timer();
    struct task_list l = {0};

    *ret = NULL;
    if (!poller_waited_for() && until == INT64_MAX)
        return false;
    if (!atomic_exchange(&sched.polled_at, 0)) {
        if (until < atomic_load(&sched.poll_until))
            poller_wake();
        return false;
    }
    /* A timer that starts from here on is compared with poll_until; one that started before is seen. */
    atomic_store(&sched.poll_until, until);
    until = first_timer();
    poller_look(until, &l);
    atomic_store(&sched.poll_until, 0);
    atomic_store(&sched.polled_at, rouse_now());
    run_all_timers(&l);
    if (!take_idle(m)) {
        task_ready_list(NULL, &l);
        return false;
    }
    *ret = task_list_pop(&l);
    task_ready_list(m, &l);
    return true;
}

/* The processor goes to the idle ones, unless something came. */
static bool give_up(struct machine *m, struct task **ret)
{
    struct processor *p = m->p;

    *ret = NULL;
    lock_acquire(&sched.lock);
    if (sched.global.count)
        *ret = global_take(p, 0);
    if (*ret || atomic_load(&sched.stopping) || atomic_load(&sched.done)) {
        lock_release(&sched.lock);
        return false;
    }
    processor_unbind(m);
    processor_put_idle(p);
    lock_release(&sched.lock);
    return true;
}

struct task *find_runnable(struct machine *m)
{
    for (;;) {
        struct task *t;
        bool look;

        if (atomic_load_explicit(&sched.done, memory_order_acquire))
            return NULL;
        if (atomic_load_explicit(&sched.stopping, memory_order_relaxed)) {
            if (!world_give_up(m))
                return NULL;
            continue;
        }
        run_timers(m, m->p);
        look = atomic_load_explicit(&m->p->look, memory_order_relaxed);
        if (look)
            atomic_store_explicit(&m->p->look, false, memory_order_relaxed);
        if (look || atomic_load_explicit(&m->p->tick, memory_order_relaxed) % GLOBAL_TURN == 0) {
            t = take_global(m->p, look ? 0 : 1);
            if (!t)
                t = take_polled(m);
            if (t)
                return t;
        }
        t = take_local(m->p);
        if (!t)
            t = take_global(m->p, 0);
        /* Alone, it is about to wait in the poller anyway. */
        if (!t && !sched_alone())
            t = take_polled(m);
        if (!t && !sched_alone())
            t = spin(m);
        if (t || !give_up(m, &t)) {
            if (t)
                return t;
            continue;
        }
        if (m->spinning) {
            m->spinning = false;
            atomic_fetch_sub(&sched.spinning, 1);
        }
        if (look_again(m))
            continue;
        if (wait_in_poller(m, &t)) {
            if (t)
                return t;
            continue;
        }
        if (!machine_stop(m))
            return NULL;
    }
}
