/* scope_alarm.c - the deadline of a scope.
 *
 * Timers end waits of tasks (timer.h), so a deadline is a task whose first wait
 * is already open when it is made: it has a timer and no stack, and costs what
 * a sleeping task costs less its stack. When the time comes it is claimed, gets
 * a stack, and cancels the scope. Mostly the scope is closed before: whoever
 * claims the wait first has the task, and gives it back without it ever having
 * run. Cancelling all tasks does not end the wait: it goes when the scope is closed. */
#include "sched/scope_internal.h"

static void ring(void *arg)
{
    struct rouse_scope *s = arg;
    struct machine *m = sched_enter();

    m = scope_cancel(m, s);
    scope_unref(s);
    sched_leave(m);
}

int scope_alarm_start(struct machine *m, struct rouse_scope *s, int64_t deadline)
{
    struct task *t = task_make(m, ring, s);
    uint32_t generation;

    if (!t)
        return -ENOMEM;
    t->waits_for = "a scope's deadline";
    atomic_store_explicit(&t->shielded, true, memory_order_relaxed);
    generation = atomic_load_explicit(&t->claim, memory_order_relaxed) + 1;
    atomic_store_explicit(&t->claim, generation, memory_order_release);
    atomic_store_explicit(&t->state, TASK_WAITING, memory_order_relaxed);
    s->alarm = t;
    s->alarm_generation = generation;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    /* From here on it may ring at any time. */
    if (timer_start(m, t, deadline) == 0)
        return 0;
    scope_alarm_stop(m, s);
    return -ENOMEM;
}

void scope_alarm_stop(struct machine *m, struct rouse_scope *s)
{
    struct task *t = s->alarm;

    if (!t || !wait_claim_generation(t, s->alarm_generation, 0))
        return; /* it rings, and has its reference */
    timer_stop(t);
    task_discard(m, t);
    scope_unref(s);
}
