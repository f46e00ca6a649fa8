/* scope.h - what the rest of the scheduler sees of scopes. Inside the scheduler. */
#pragma once
struct machine;
struct rouse_scope;
struct task;

/* Lists `t`, which was not submitted yet. -ECANCELED: the scope takes no more. */
int scope_child_begins(struct machine *m, struct rouse_scope *scope, struct task *t);
struct machine *scope_child_ended(struct machine *m); /* the current task, which has one */
