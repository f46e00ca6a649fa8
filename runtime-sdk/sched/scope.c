/* scope.c - scopes: opening, children, waiting for them, closing.
 *
 * The owner looks at the count only under the spin, and a child's release of the
 * spin is the last that it does to the scope: when the owner finds no child left
 * nobody is behind with one. A task that ends with a scope open aborts the
 * process: closing it then would be too late, for the children may use what lay
 * on the stack of a function that has returned. */
#include "sched/scope.h"
#include "sched/scope_internal.h"

#include <stdio.h>
#include <stdlib.h>

static __attribute__((noreturn)) void misused(const struct task *t, const char *what)
{
    fprintf(stderr, "rouse: task %llu (%s) %s\n", (unsigned long long)t->id, t->name, what);
    abort();
}

void scope_unref(struct rouse_scope *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

static void opened_acquire(struct task *t)
{
    if (t->scope)
        spin_acquire(&t->scope->lock);
}

static void opened_release(struct task *t)
{
    if (t->scope)
        spin_release(&t->scope->lock);
}

struct rouse_scope *scope_new(struct task *owner)
{
    struct rouse_scope *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->owner = owner;
    list_init(&s->children);
    list_init(&s->swept);
    return s;
}

void scope_renew(struct rouse_scope *s)
{
    spin_acquire(&s->lock);
    s->canceled = false;
    s->sweeping = false;
    spin_release(&s->lock);
}

void scope_free(struct rouse_scope *s)
{
    if (s)
        scope_unref(s);
}

static void open_as_newest(struct task *t, struct rouse_scope *s)
{
    opened_acquire(t);
    s->older = t->opened;
    t->opened = s;
    /* Marked before we came here: who did it may have missed this scope. Later: it is seen. */
    s->canceled = atomic_load_explicit(&t->canceled, memory_order_relaxed);
    opened_release(t);
}

static void close_newest(struct task *t, struct rouse_scope *s)
{
    opened_acquire(t);
    t->opened = s->older;
    opened_release(t);
    scope_unref(s);
}

int rouse_scope_open(int64_t deadline, struct rouse_scope **ret)
{
    struct machine *m = sched_enter();
    struct rouse_scope *s;
    int r = -ENOMEM;

    if (!m)
        return -EPERM;
    s = scope_new(m->current);
    if (s) {
        open_as_newest(m->current, s);
        r = deadline == ROUSE_NEVER ? 0 : scope_alarm_start(m, s, deadline);
        if (r == 0)
            *ret = s;
        else
            close_newest(m->current, s);
    }
    sched_leave(m);
    return r;
}

int scope_child_begins(struct machine *m, struct rouse_scope *s, struct task *t)
{
    int r = -ECANCELED;

    /* The canceller comes to the task's own scopes in a moment. */
    if (s->owner == m->current && atomic_load_explicit(&m->current->canceled, memory_order_relaxed))
        return r;
    spin_acquire(&s->lock);
    if (!s->canceled) {
        t->scope = s;
        list_push_back(&s->children, &t->siblings);
        s->count++;
        r = 0;
    }
    spin_release(&s->lock);
    return r;
}

struct machine *scope_child_ended(struct machine *m)
{
    struct task *t = m->current;
    struct rouse_scope *s = t->scope;
    struct waiter *w = NULL;

    t->scope = NULL;
    spin_acquire(&s->lock);
    list_del(&t->siblings);
    if (!--s->count)
        w = waiters_claim(&s->joining);
    spin_release(&s->lock);
    if (w)
        task_ready(m, w->task);
    return m;
}

void scope_left_open(const struct task *t)
{
    misused(t, "ends with a scope open");
}

int rouse_scope_spawn(struct rouse_scope *scope, rouse_task_fn *fn, void *arg)
{
    struct rouse_task_options options = {.scope = scope};

    return rouse_spawn_with(&options, fn, arg);
}

/* Waits until no child is left; the wait is open, the spin held, and released. */
static int join(struct machine **m, struct rouse_scope *s, int64_t deadline)
{
    struct waiter w = {.task = (*m)->current};
    int r;

    waiters_push(&s->joining, &w);
    r = wait_park(m, &s->lock, deadline);
    if (r < 0) {
        spin_acquire(&s->lock);
        waiters_remove(&s->joining, &w);
        spin_release(&s->lock);
    }
    return r;
}

int rouse_scope_wait(struct rouse_scope *s, int64_t deadline)
{
    struct machine *m = sched_enter();
    int r = 0;

    if (!m)
        return -EPERM;
    if (m->current != s->owner) {
        sched_leave(m);
        return -EPERM;
    }
    spin_acquire(&s->lock);
    if (s->count && (r = wait_open_until(m, "scope", deadline)) == 0)
        r = join(&m, s, deadline);
    else
        spin_release(&s->lock);
    sched_leave(m);
    return r;
}

void rouse_scope_cancel(struct rouse_scope *s)
{
    struct machine *m = sched_enter();

    if (!m)
        return;
    m = scope_cancel(m, s);
    sched_leave(m);
}

static bool has_children(struct rouse_scope *s)
{
    bool r;

    spin_acquire(&s->lock);
    r = s->count;
    spin_release(&s->lock);
    return r;
}

void rouse_scope_close(struct rouse_scope *s)
{
    struct machine *m;
    struct task *t;

    if (!s)
        return;
    m = sched_enter();
    if (!m)
        return;
    t = m->current;
    if (t->opened != s)
        misused(t, "closes a scope that is not the newest it opened");
    if (has_children(s)) {
        m = scope_cancel(m, s);
        spin_acquire(&s->lock);
        if (s->count) {
            wait_open_always(m, "scope's end");
            join(&m, s, ROUSE_NEVER);
        } else {
            spin_release(&s->lock);
        }
    }
    scope_alarm_stop(m, s);
    close_newest(t, s);
    sched_leave(m);
}
