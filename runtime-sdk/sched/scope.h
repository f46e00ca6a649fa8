/* scope.h - what the rest of the scheduler sees of scopes. Inside the scheduler. */
#pragma once
struct machine;
struct rouse_scope;
struct task;

/* Lists `t`, which was not submitted yet. -ECANCELED: the scope takes no more. */
int scope_child_begins(struct machine *m, struct rouse_scope *scope, struct task *t);
/* Of the current task, which has one. */
struct machine *scope_child_ended(struct machine *m);
/* The task ends and has not closed what it opened: aborts with its name. */
__attribute__((noreturn)) void scope_left_open(const struct task *t);
/* A scope, with `owner` NULL one of nobody's: for tasks whose spawner does not wait for them. They are spawned
 * by rouse_spawn_with() and ended by rouse_scope_cancel(); its memory must outlive them, which the end of
 * rouse_run() tells. NULL: no memory */
struct rouse_scope *scope_new(struct task *owner);
void scope_renew(struct rouse_scope *s); /* one of nobody's takes children again; nobody cancels it now */
void scope_free(struct rouse_scope *s); /* NULL is a no-op */
