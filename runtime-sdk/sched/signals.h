/* signals.h - signals that the scheduler looks at first: SIGSEGV and SIGBUS, for stacks that overflow, and
 * SIGQUIT, for a report.
 *
 * Whoever had installed a handler of SIGSEGV or SIGBUS before rouse_run() gets
 * every fault, also those of stacks, after the scheduler's word about it. */
#pragma once
#include <stddef.h>

/* `fn` is called, in the handler, when a task has overflowed its stack, before what was installed for the signal:
 * with its name (never NULL), and the size of the stack. NULL: nobody. Any thread, at any time. */
void sched_on_overflow(void (*fn)(const char *task, size_t stack));
