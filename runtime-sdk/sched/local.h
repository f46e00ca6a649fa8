/* local.h - the end of a task's values. */
#pragma once
struct machine;

/* Frees what the current task has set; outside the scheduler meanwhile: a value's free() may call it. */
struct machine *locals_done(struct machine *m);
