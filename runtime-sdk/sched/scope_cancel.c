/* scope_cancel.c - cancelling a scope, what its children have opened, and so on down.
 *
 * First every child, at any depth, is marked; then one barrier is run on every
 * cpu; then the waits that are open are claimed. A task opens its wait and looks
 * at its mark with no barrier in between (wait_open): ours came either before
 * the wait was opened, then the task sees the mark, or after, then we see the
 * wait (Dekker, as in internal.h). With a single processor there is no second
 * thread between the two, and no barrier.
 *
 * The tree has any depth, so there is no recursion: scopes that were found form a
 * chain, and each is kept by a reference, since its owner may close it meanwhile.
 * Whoever sets `sweeping` has the scope, and its `next`, for itself. Children
 * that were marked go to the list `swept` and come back when they are woken: the
 * spin is held for a batch of them at a time, and between batches the processor
 * can be taken. No child is added to a cancelled scope, and a marked child that
 * opens another scope opens a cancelled one. */
#include "sched/scope_internal.h"

enum { BATCH = 256 };

struct sweep {
    struct rouse_scope *first, *last;
    bool found; /* a child */
};

static bool claim_scope(struct rouse_scope *s)
{
    return !atomic_exchange_explicit(&s->sweeping, true, memory_order_acquire);
}

static void add(struct sweep *sweep, struct rouse_scope *s)
{
    if (!claim_scope(s))
        return; /* somebody else is at it */
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    s->next = NULL;
    if (sweep->last)
        sweep->last->next = s;
    else
        sweep->first = s;
    sweep->last = s;
}

static void mark_child(struct sweep *sweep, struct task *t)
{
    atomic_store_explicit(&t->canceled, true, memory_order_release);
    for (struct rouse_scope *s = t->opened; s; s = s->older)
        add(sweep, s);
}

/* Lets others have the processor. */
static struct machine *breathe(struct machine *m)
{
    sched_leave(m);
    return sched_enter();
}

static struct machine *mark(struct machine *m, struct sweep *sweep, struct rouse_scope *s)
{
    bool more;

    do {
        struct list *l = NULL;

        spin_acquire(&s->lock);
        s->canceled = true;
        for (unsigned n = 0; n < BATCH && (l = list_pop_front(&s->children)); n++) {
            list_push_back(&s->swept, l);
            mark_child(sweep, list_entry(l, struct task, siblings));
            sweep->found = true;
        }
        more = l;
        spin_release(&s->lock);
        if (more)
            m = breathe(m);
    } while (more);
    return m;
}

static struct machine *wake(struct machine *m, struct rouse_scope *s)
{
    bool more;

    do {
        struct task_list woken = {0};
        struct list *l = NULL;

        spin_acquire(&s->lock);
        for (unsigned n = 0; n < BATCH && (l = list_pop_front(&s->swept)); n++) {
            struct task *t = list_entry(l, struct task, siblings);

            list_push_back(&s->children, l);
            if (task_cancel_wait(t))
                task_list_push(&woken, t);
        }
        more = l;
        spin_release(&s->lock);
        task_ready_list(m, &woken);
        if (more)
            m = breathe(m);
    } while (more);
    return m;
}

struct machine *scope_cancel(struct machine *m, struct rouse_scope *s)
{
    struct sweep sweep = {0};
    struct rouse_scope *next;

    /* Also when somebody else is at it: it is cancelled when this returns, and takes no child. */
    spin_acquire(&s->lock);
    s->canceled = true;
    spin_release(&s->lock);
    add(&sweep, s);
    for (s = sweep.first; s; s = s->next)
        m = mark(m, &sweep, s);
    if (sweep.found && !sched_alone())
        membarrier_all();
    for (s = sweep.first; s; s = next) {
        next = s->next;
        m = wake(m, s);
        scope_unref(s);
    }
    return m;
}
