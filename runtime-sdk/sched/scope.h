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
