/* waiters.h - the tasks that wait for one thing, in the order in which they came.
 *
 * A waiter lies on the stack of its task. The list is its owner's, under its
 * owner's spin; all zeros is an empty one. Whoever ends a wait takes the waiter
 * off and claims its task, copies to and from the task's stack what there is to
 * copy, and hands it to task_ready(): until then the waiter stays where it is.
 * A waiter whose wait was ended by somebody else (a timer, a cancellation,
 * another case of a select) is just taken off: its task finds itself not linked. */
#pragma once
#include "sched/internal.h"

#include <errno.h>

struct waiter {
    struct waiter *prev, *next;
    struct task *task;
    void *item;     /* to take, or to give */
    int64_t since;  /* a mutex's: when it began to wait */
    uint32_t index; /* of the case of a select; the wait is claimed with it */
    int result;     /* written by the one who claimed: 0 or -errno */
    bool linked;
};
struct waiters {
    struct waiter *first, *last;
};

static inline void waiters_push(struct waiters *l, struct waiter *w)
{
    w->next = NULL;
    w->prev = l->last;
    w->linked = true;
    if (l->last)
        l->last->next = w;
    else
        l->first = w;
    l->last = w;
}
static inline void waiters_push_front(struct waiters *l, struct waiter *w)
{
    w->prev = NULL;
    w->next = l->first;
    w->linked = true;
    if (l->first)
        l->first->prev = w;
    else
        l->last = w;
    l->first = w;
}
/* Does nothing when it was taken off already. */
static inline void waiters_remove(struct waiters *l, struct waiter *w)
{
    if (!w->linked)
        return;
    w->linked = false;
    if (w->prev)
        w->prev->next = w->next;
    else
        l->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        l->last = w->prev;
}
/* Takes the first one whose wait it can end, with `result` 0 and woken with its index, and all before it.
 * The caller hands its task to task_ready() when it has released the spin. NULL: nobody waits. */
static inline struct waiter *waiters_claim(struct waiters *l)
{
    struct waiter *w;

    while ((w = l->first)) {
        waiters_remove(l, w);
        if (wait_claim(w->task, (int)w->index)) {
            w->result = 0;
            return w;
        }
    }
    return NULL;
}
/* Takes all; the tasks of those whose waits it ended, with `result`, go to `ret`. */
static inline void waiters_claim_all(struct waiters *l, int result, struct task_list *ret)
{
    struct waiter *w;

    while ((w = waiters_claim(l))) {
        w->result = result;
        task_list_push(ret, w->task);
    }
}
/* wait_open(), but 0 and less is a deadline that has passed: nothing waits then. */
static inline int wait_open_until(struct machine *m, const char *what, int64_t deadline)
{
    if (deadline > 0)
        return wait_open(m, what);
    return atomic_load_explicit(&m->current->canceled, memory_order_relaxed) ? -ECANCELED
                                                                             : -ETIMEDOUT;
}
