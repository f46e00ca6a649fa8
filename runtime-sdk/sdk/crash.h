/* crash.h - the last word of a function that crashes or exits: an ERROR frame with FATAL.
 *
 * Everything that a signal handler needs is formatted ahead. A crash is told for
 * the invocation whose task crashed, or whose scopes that task is in; on any
 * other task or thread, for the invocation that began last if it still runs. */
#pragma once
#include "sdk/outbox.h"

/* Formats the frames and takes over the handlers of the crash signals and exit(). From here to
 * crash_ended(0) a crash is told for the initialisation. */
int crash_init(struct outbox *o);
void crash_running(uint64_t id);
void crash_ended(uint64_t id);
/* The handlers go back to the default action. */
void crash_done(void);
