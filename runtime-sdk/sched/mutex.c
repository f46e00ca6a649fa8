/* mutex.c - rouse_mutex: one compare-and-swap when nobody else wants it.
 *
 * After Go's sync.Mutex. Whoever finds it free takes it, also in front of those
 * who wait (it barges): handing it over to the first waiter instead would make
 * every critical section as long as a switch of tasks as soon as there is one
 * waiter. Unlocking wakes one waiter, which then competes; WOKEN says that one is
 * on its way, so that a second is not woken for nothing. A woken waiter that
 * loses waits again, in front; when it has waited for a millisecond it makes the
 * mutex HUNGRY: from then on unlocking hands it over to the first waiter, LOCKED
 * is never clear, and nobody barges, until a waiter was served that waited less
 * than that, or was the last. HUNGRY is only ever set together with LOCKED.
 *
 * WAITING (the list is not empty) changes under the spin, and is set only while
 * LOCKED is: so the one who clears LOCKED sees it. Clearing LOCKED is the last
 * thing that an unlock does to the mutex: the next holder may free its memory. */
#include "sched/mutex.h"
#include "sched/waiters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOCKED = 1, WAITING = 2, WOKEN = 4, HUNGRY = 8 };
enum { PATIENCE = 1000000 /* ns */, SPINS = 4, SPIN_PAUSES = 30, HANDED_OVER = 1 };

struct mutex {
    _Atomic uint32_t word;
    struct spin lock;
    struct waiters waiters;
};
_Static_assert(sizeof(struct mutex) <= sizeof(struct rouse_mutex), "fits");

static struct mutex *mutex_of(struct rouse_mutex *m)
{
    return (struct mutex *)m;
}

static uint32_t word_of(struct mutex *x)
{
    return atomic_load_explicit(&x->word, memory_order_relaxed);
}

static bool swap(struct mutex *x, uint32_t *was, uint32_t is)
{
    /* acquire to lock, release to unlock */
    return atomic_compare_exchange_weak_explicit(&x->word, was, is, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

/* The holder runs on another processor and will be done soon: cheaper than a switch. */
static bool worth_spinning(struct machine *m, unsigned spun, uint32_t was)
{
    return spun < SPINS && (was & (LOCKED | HUNGRY)) == LOCKED && !sched_alone() &&
           queue_empty(&m->p->queue);
}

/* Spins once; true: this task has set WOKEN, so nobody is woken while it is at it. */
static bool spin_once(struct mutex *x, uint32_t was, bool woken)
{
    if (!woken && (was & (WAITING | WOKEN)) == WAITING)
        woken = swap(x, &was, was | WOKEN);
    for (unsigned i = 0; i < SPIN_PAUSES; i++)
        cpu_relax();
    return woken;
}

/* Takes it if it is free. False: it is not, and *was says so. */
static bool take(struct mutex *x, bool woken, uint32_t *was)
{
    while (!(*was & LOCKED)) {
        if (swap(x, was, (*was | LOCKED) & ~(woken ? (uint32_t)WOKEN : 0)))
            return true;
    }
    return false;
}

/* Puts the waiter on the list, with the spin held; false: the mutex became free meanwhile. */
static bool enqueue(struct mutex *x, struct waiter *w, bool woken, bool again, bool hungry)
{
    uint32_t off = woken ? WOKEN : 0, on = WAITING | (hungry ? HUNGRY : 0u), was = word_of(x);

    do {
        if (!(was & LOCKED))
            return false;
    } while (!swap(x, &was, (was & ~off) | on));
    if (again)
        waiters_push_front(&x->waiters, w);
    else
        waiters_push(&x->waiters, w);
    return true;
}

/* The spin is held. */
static void clear_if_empty(struct mutex *x)
{
    if (!x->waiters.first)
        atomic_fetch_and_explicit(&x->word, ~(uint32_t)WAITING, memory_order_relaxed);
}

/* The next to have it, or to be woken for it, is claimed; *ret_handed: it has it. NULL: nobody waits. */
static struct waiter *choose(struct mutex *x, bool *ret_handed)
{
    struct waiter *w;

    spin_acquire(&x->lock);
    w = waiters_claim(&x->waiters);
    *ret_handed = w && (word_of(x) & HUNGRY);
    clear_if_empty(x);
    if (*ret_handed)
        w->result = HANDED_OVER;
    else if (w)
        atomic_fetch_or_explicit(&x->word, WOKEN, memory_order_relaxed);
    spin_release(&x->lock);
    return w;
}

/* Nobody waits, or one is on its way already. */
static bool nobody_to_wake(uint32_t word)
{
    return !(word & WAITING) || (word & (WOKEN | HUNGRY)) == WOKEN;
}

/* With the mutex held. */
static __attribute__((noinline)) void unlock_slow(struct machine *m, struct mutex *x)
{
    uint32_t was = word_of(x);
    struct waiter *w = NULL;
    bool handed = false;

    do {
        /* One at most: a task that spins may have cleared the WOKEN that was set for `w`. */
        if (!w && !nobody_to_wake(was)) {
            w = choose(x, &handed);
            was = word_of(x);
            continue;
        }
        /* HUNGRY is of nobody, or of one who came to it after `w` was chosen and asks for it again. */
        if (swap(x, &was, was & ~(uint32_t)(LOCKED | HUNGRY)))
            break;
    } while (!handed);
    if (w)
        task_ready(m, w->task);
}

/* The wait ended without the mutex. */
static void leave(struct mutex *x, struct waiter *w)
{
    spin_acquire(&x->lock);
    waiters_remove(&x->waiters, w);
    clear_if_empty(x);
    spin_release(&x->lock);
}

/* Of one that has set WOKEN, or for which it was set, and does not want the mutex any more: the next does. */
static void pass_on(struct machine *m, struct mutex *x)
{
    uint32_t was = word_of(x);

    for (;;) {
        if (was & LOCKED) {
            if (swap(x, &was, was & ~(uint32_t)WOKEN))
                return;
        } else if (swap(x, &was, (was | LOCKED) & ~(uint32_t)WOKEN)) {
            unlock_slow(m, x);
            return;
        }
    }
}

static void handed_over(struct mutex *x, const struct waiter *w)
{
    if (rouse_now() - w->since < PATIENCE || !(word_of(x) & WAITING))
        atomic_fetch_and_explicit(&x->word, ~(uint32_t)HUNGRY, memory_order_relaxed);
}

/* Waits once: 0 with w->result, -EAGAIN if the mutex was free when it was about to, else why the wait ended. */
static int wait_for(struct machine **m, struct mutex *x, struct waiter *w, bool *woken, bool again,
                    int64_t deadline, enum interruptible how)
{
    bool hungry = false;
    int r = 0;

    if (again)
        hungry = rouse_now() - w->since > PATIENCE;
    else if (!w->since)
        w->since = rouse_now();
    if (how == WAIT_ALWAYS)
        wait_open_always(*m, "mutex");
    else
        r = wait_open_until(*m, "mutex", deadline);
    if (r < 0)
        return r;
    spin_acquire(&x->lock);
    if (!enqueue(x, w, *woken, again, hungry)) {
        spin_release(&x->lock);
        return wait_abandon(*m) ? -EAGAIN : wait_park(m, NULL, ROUSE_NEVER);
    }
    *woken = false;
    r = wait_park(m, &x->lock, deadline);
    if (r < 0)
        leave(x, w);
    return r;
}

static __attribute__((noinline)) int lock_slow(struct machine **m, struct mutex *x,
                                               int64_t deadline, enum interruptible how)
{
    struct waiter w = {.task = (*m)->current};
    bool woken = false, again = false;
    uint32_t was = word_of(x);
    unsigned spun = 0;
    int r;

    while (!take(x, woken, &was)) {
        if (deadline > 0 && worth_spinning(*m, spun, was)) {
            woken = spin_once(x, was, woken);
            spun++;
        } else {
            r = wait_for(m, x, &w, &woken, again, deadline, how);
            if (r < 0 && r != -EAGAIN) {
                if (woken)
                    pass_on(*m, x);
                return r;
            }
            if (r == 0 && w.result == HANDED_OVER) {
                handed_over(x, &w);
                return 0;
            }
            if (r == 0) {
                woken = again = true;
                spun = 0;
            }
        }
        was = word_of(x);
    }
    return 0;
}

/* With a single processor nobody else changes the word, unless it gets this one first. */
static bool exchange(struct mutex *x, uint32_t was, uint32_t is)
{
    if (!sched_alone())
        return atomic_compare_exchange_strong_explicit(&x->word, &was, is, memory_order_acq_rel,
                                                       memory_order_relaxed);
    atomic_store_explicit(&x->word, is, memory_order_relaxed);
    return true;
}

int mutex_lock(struct machine **m, struct rouse_mutex *mutex, int64_t deadline, enum interruptible how)
{
    struct mutex *x = mutex_of(mutex);
    uint32_t was = word_of(x);

    if (!(was & LOCKED) && exchange(x, was, was | LOCKED))
        return 0;
    return lock_slow(m, x, deadline, how);
}

void mutex_unlock(struct machine *m, struct rouse_mutex *mutex)
{
    struct mutex *x = mutex_of(mutex);
    uint32_t was = word_of(x);

    if (!(was & LOCKED)) {
        fputs("rouse_mutex_unlock: the mutex is not locked\n", stderr);
        abort();
    }
    if (nobody_to_wake(was) && exchange(x, was, was & ~(uint32_t)(LOCKED | HUNGRY)))
        return;
    unlock_slow(m, x);
}

int rouse_mutex_lock(struct rouse_mutex *mutex, int64_t deadline)
{
    struct machine *m = sched_enter();
    int r;

    if (!m)
        return -EPERM;
    r = mutex_lock(&m, mutex, deadline, WAIT_CANCELABLE);
    sched_leave(m);
    return r;
}

void rouse_mutex_unlock(struct rouse_mutex *mutex)
{
    struct machine *m = sched_enter();

    if (!m)
        return;
    mutex_unlock(m, mutex);
    sched_leave(m);
}
