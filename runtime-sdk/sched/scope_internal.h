/* scope_internal.h - a scope's inside, for scope.c and scope_cancel.c.
 *
 * A scope is its owner's. Its children are on one of the two lists, under the
 * spin, until their last step; so a task that is found on a list is alive as
 * long as the spin is held. What a child has opened (task.opened, and `older`
 * from there) changes under the spin of the scope that the child is in: who
 * cancels that scope reads it. A task outside any scope is cancelled with all
 * others alone, which needs no list.
 *
 * References: the owner's until it closes the scope, the alarm's, and of one who
 * cancels it. Nobody else touches a scope after its last child has ended. */
#pragma once
#include "sched/internal.h"
#include "sched/waiters.h"

struct rouse_scope {
    struct spin lock;
    _Atomic uint32_t refs;
    struct task *owner;
    struct rouse_scope *older; /* the one that the owner opened before it */
    struct list children;
    struct list swept; /* children that were told; only while it is being cancelled */
    uint64_t count;    /* on both lists */
    bool canceled;
    _Atomic bool sweeping;    /* by the one who set it, which also has `next` */
    struct rouse_scope *next; /* to be swept */
    struct waiters joining;   /* the owner */
    struct task *alarm;       /* NULL: no deadline. See scope_alarm.c */
    uint32_t alarm_generation;
};

void scope_unref(struct rouse_scope *s);
/* ---- scope_cancel.c: the scope and all below it. The caller holds a reference, and no spin. */
struct machine *scope_cancel(struct machine *m, struct rouse_scope *s);
/* ---- scope_alarm.c */
int scope_alarm_start(struct machine *m, struct rouse_scope *s, int64_t deadline); /* -ENOMEM */
void scope_alarm_stop(struct machine *m, struct rouse_scope *s);
