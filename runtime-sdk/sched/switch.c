/* switch.c - leaving a task for the next one.
 *
 * A task that stops running switches straight to the next one of its processor
 * where it can, else to the loop of its thread. Either way it is the context
 * switched *to* that does what is left to do for it (machine_settle): before
 * that, its registers are not saved, and nobody may go on with it. */
#include "sched/internal.h"
#include "sched/report.h"

#include <time.h>

enum { ON_CPU_PAUSES = 200 };

static void task_entry(void *value);

static bool make_stack(struct machine *m, struct task *t)
{
    t->stack = stack_get(&m->p->stacks, t->stack_size);
    if (!t->stack)
        return false;
    context_init(&t->context, t->stack, task_entry);
    return true;
}

/* Without a step to the thread's loop: it has left its stack, and may run here. */
static bool may_switch_to(struct machine *m, struct task *t)
{
    return !atomic_load_explicit(&t->on_cpu, memory_order_acquire) && !t->pinned &&
           (t->stack || make_stack(m, t));
}

static void begin(struct machine *m, struct task *t)
{
    atomic_store_explicit(&t->on_cpu, 1, memory_order_relaxed);
    atomic_store_explicit(&t->state, TASK_RUNNING, memory_order_relaxed);
    m->current = t;
}

void machine_settle(struct machine *m)
{
    struct task *t = m->prev;

    if (!t)
        return;
    m->prev = NULL;
    if (m->after == AFTER_EXIT) {
        stack_put(&m->p->stacks, t->stack);
        t->stack = NULL;
        task_free(m->p, t);
        return;
    }
    atomic_store_explicit(&t->on_cpu, 0, memory_order_release);
    switch (m->after) {
    case AFTER_PARK:
        if (m->after_lock)
            spin_release(m->after_lock);
        break;
    case AFTER_YIELD:
        task_requeue(m->p, t);
        break;
    default: {
        struct task_list l = {0};

        atomic_store_explicit(&t->state, TASK_RUNNABLE, memory_order_relaxed);
        task_list_push(&l, t);
        task_ready_list(NULL, &l);
    }
    }
}

static struct machine *leave_for(struct machine *m, struct task *next, enum after after,
                                 struct spin *lock)
{
    struct task *t = m->current;

    m->prev = t;
    m->after = after;
    m->after_lock = lock;
    if (after == AFTER_EXIT)
        context_ends(&t->context);
    if (next && may_switch_to(m, next)) {
        begin(m, next);
        m = context_switch(&t->context, &next->context, m);
    } else {
        m->given = next;
        m->current = NULL;
        m = context_switch(&t->context, &m->loop, m);
    }
    /* A report switches to a task only to look at its stack. */
    while (report_is_visit(m))
        m = report_visit(&t->context, m);
    machine_settle(m);
    return m;
}

struct machine *machine_leave_task(struct machine *m, enum after after, struct spin *lock)
{
    struct task *next = NULL;

    if (after != AFTER_LOST && !m->pinned) { /* else the thread's loop decides */
        next = find_local(m);
        if (!next && after == AFTER_YIELD && !find_turn(m->p))
            return m; /* there is nobody to yield to */
    }
    return leave_for(m, next, after, lock);
}

void machine_run(struct machine *m, struct task *t)
{
    unsigned tries = 0;

    /* Its last thread is between the claim of its wait and the end of its switch. */
    while (atomic_load_explicit(&t->on_cpu, memory_order_acquire)) {
        if (++tries < ON_CPU_PAUSES)
            cpu_relax();
        else
            nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
    }
    if (!t->stack && !make_stack(m, t)) {
        struct task_list l = {0};

        /* Others may end and leave theirs. */
        task_list_push(&l, t);
        global_put(&l);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        return;
    }
    begin(m, t);
    m->prev = NULL;
    context_switch(&m->loop, &t->context, m);
    machine_settle(m);
}

/* A task that has not run yet goes on on the stack of the one that ends: no switch at all. */
static bool inherit(struct machine *m, struct task *next, struct task *t)
{
    if (next->stack || next->pinned || next->stack_size != t->stack_size)
        return false;
    next->stack = t->stack;
    next->context = t->context; /* what the tools know of it */
    t->stack = NULL;
    task_free(m->p, t);
    begin(m, next);
    return true;
}

static void task_entry(void *value)
{
    struct machine *m = value;

    for (;;) {
        struct task *t = m->current, *next;

        machine_settle(m);
        sched_leave(m);
        t->fn(t->arg);
        if (__builtin_expect(t->stack->canary, 0))
            signals_check_stack(t);
        m = sched_enter();
        m = task_end(m);
        next = find_local(m);
        if (!next || !inherit(m, next, t)) {
            leave_for(m, next, AFTER_EXIT, NULL);
            __builtin_unreachable();
        }
    }
}
