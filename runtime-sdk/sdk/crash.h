/* crash.h - the last word of a function that crashes or exits: an ERROR frame with FATAL.
 *
 * Everything that a signal handler needs is formatted ahead. The owner is the
 * thread of rouse_start(). A crash is told for the invocation of its thread; on a
 * thread that a handler made, for the invocation that began last. */
#pragma once
#include "sdk/channel.h"

/* Formats the frames and installs the handlers, on an alternate stack for the calling thread. */
int crash_init(struct channel *ch);
/* From now on a crash of this thread is told for `id`: 0 is initialisation, CRASH_NOBODY is between invocations. */
#define CRASH_NOBODY UINT64_MAX
void crash_set_id(uint64_t id);
/* For any other thread that runs handlers: an alternate stack. NULL: it has none. */
void *crash_stack_new(void);
void crash_stack_free(void *stack);
/* Before the channel is freed: the handlers go back to the default action. */
void crash_done(void);
