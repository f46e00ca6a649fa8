/* wait_group.c - rouse_wait_group: a count, and the tasks that wait for it to be 0.
 *
 * One 64-bit word has the count, in its upper half, and two flags: WAITING, and
 * HELD, which is the spin over the list. So that the last done() and a task that
 * finds 0 and frees the memory do not meet: nobody returns from wait() on its own
 * as long as WAITING is set, and the last done() clears WAITING and HELD with the
 * one store that is the last thing it does here. A wait that ends by its deadline
 * leaves WAITING set, and the next done() that reaches 0 finds an empty list. */
#include "sched/internal.h"
#include "sched/waiters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HELD    UINT64_C(1)
#define WAITING UINT64_C(2)
#define ONE     (UINT64_C(1) << 32)

struct wait_group {
    _Atomic uint64_t word;
    struct waiters waiters;
};
_Static_assert(sizeof(struct wait_group) <= sizeof(struct rouse_wait_group), "fits");

static void acquire(struct wait_group *g)
{
    for (unsigned tries = 0; atomic_fetch_or_explicit(&g->word, HELD, memory_order_acquire) & HELD;
         tries++)
        spin_pause(tries);
}

static void release(struct wait_group *g, uint64_t flags)
{
    atomic_fetch_and_explicit(&g->word, ~(HELD | flags), memory_order_release);
}

static int32_t count_of(uint64_t word)
{
    return (int32_t)(word >> 32);
}

static void wake_all(struct machine *m, struct wait_group *g)
{
    struct task_list woken = {0};

    acquire(g);
    waiters_claim_all(&g->waiters, 0, &woken);
    release(g, WAITING);
    task_ready_list(m, &woken);
}

/* With a single processor nobody else changes the word, unless it gets this one first. */
static uint64_t add(struct wait_group *g, uint64_t n)
{
    uint64_t is;

    /* release: what was done before done(); acquire: the last one has seen all of it, and tells the waiters */
    if (!sched_alone())
        return atomic_fetch_add_explicit(&g->word, n, memory_order_acq_rel) + n;
    is = atomic_load_explicit(&g->word, memory_order_relaxed) + n;
    atomic_store_explicit(&g->word, is, memory_order_relaxed);
    return is;
}

void rouse_wait_group_add(struct rouse_wait_group *group, int n)
{
    struct wait_group *g = (struct wait_group *)group;
    struct machine *m = sched_enter();
    uint64_t is;

    if (!m)
        return;
    is = add(g, (uint64_t)(int64_t)n * ONE);
    if (count_of(is) < 0) {
        fputs("rouse_wait_group_add: the count is below 0\n", stderr);
        abort();
    }
    if (n < 0 && count_of(is) == 0 && (is & WAITING))
        wake_all(m, g);
    sched_leave(m);
}

void rouse_wait_group_done(struct rouse_wait_group *g)
{
    rouse_wait_group_add(g, -1);
}

/* Nobody counts, and nobody is about to wake those who wait. */
static bool over(uint64_t word)
{
    return count_of(word) == 0 && !(word & WAITING);
}

static int wait_in(struct machine **m, struct wait_group *g, int64_t deadline)
{
    struct waiter w = {.task = (*m)->current};
    int r = wait_open_until(*m, "wait group", deadline);

    if (r < 0)
        return r;
    acquire(g);
    if (over(atomic_fetch_or_explicit(&g->word, WAITING, memory_order_acq_rel))) {
        release(g, WAITING);
        if (!wait_abandon(*m))
            wait_park(m, NULL, ROUSE_NEVER); /* cancelled meanwhile */
        return 0;
    }
    waiters_push(&g->waiters, &w);
    release(g, 0);
    r = wait_park(m, NULL, deadline);
    if (r < 0) {
        acquire(g);
        waiters_remove(&g->waiters, &w);
        release(g, 0);
    }
    return r;
}

int rouse_wait_group_wait(struct rouse_wait_group *group, int64_t deadline)
{
    struct wait_group *g = (struct wait_group *)group;
    struct machine *m = sched_enter();
    int r = 0;

    if (!m)
        return -EPERM;
    if (!over(atomic_load_explicit(&g->word, memory_order_acquire)))
        r = wait_in(&m, g, deadline);
    sched_leave(m);
    return r;
}
