/* crash.h - the last word of a function that crashes or exits: an ERROR frame with FATAL.
 *
 * Everything that a signal handler needs is formatted ahead. The owner is the
 * thread of rouse_start(); a crash on any thread is reported for the invocation that runs. */
#pragma once
#include "sdk/channel.h"

/* Formats the frames and installs the handlers, on an alternate stack for the calling thread. */
int crash_init(struct channel *ch);
/* From now on a crash is told for `id`: 0 is initialisation, CRASH_NOBODY is between invocations. */
#define CRASH_NOBODY UINT64_MAX
void crash_set_id(uint64_t id);
/* Before the channel is freed: the handlers go back to the default action. */
void crash_done(void);
