/* report.h - every task with what it waits for and its stack: rouse_dump_tasks(), SIGQUIT, deadlocks.
 *
 * A task that does not run is switched to for a moment and looks at its own
 * stack (report_visit); one that runs is interrupted by a signal. Meanwhile the
 * world is stopped. */
#pragma once
#include "sched/context.h"
#include "sched/text.h"

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* ---- switch.c: the value that a visited context is given */
enum { REPORT_VISIT = 1 };
static inline bool report_is_visit(const void *value)
{
    return __builtin_expect((uintptr_t)value & REPORT_VISIT, 0);
}
/* Looks at the stack that it runs on, goes back, and returns what the one after that gave. */
void *report_visit(struct context *own, void *value);

/* All tasks. `m`: of the calling task, or NULL. The world is stopped; or, `asleep`, every thread is for ever, and
 * sched.lock is held. */
void report_tasks(struct machine *m, bool asleep, struct text *to);

/* ---- asked for elsewhere, done by the monitor */
void report_ask(void);              /* SIGQUIT. Async-signal-safe */
void report_suspect_deadlock(void); /* sched.lock may be held */
void report_turn(void);             /* the monitor, now and then */
