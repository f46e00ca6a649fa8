/* running.h - the stacks of tasks that run at this moment: their threads are interrupted, one after the other, and
 * look at what they are doing. */
#pragma once
#include "sched/trace.h"

#include <stdbool.h>

struct machine;
struct running;
struct task;

/* Of all threads but the caller's, `self`. Those that do not answer in time are left out. NULL: no memory */
struct running *running_traces(struct machine *self);
bool running_trace(const struct running *r, const struct task *t, struct trace *ret);
struct running *running_free(struct running *r); /* NULL is a no-op */
