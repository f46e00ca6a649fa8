/* quiet.h - programs of few tasks, whose monitor costs more than it is for.
 *
 * A program that waits for a request, answers it and waits again has one task, and
 * a second one while it answers. The monitor's wake-ups would cost it more than
 * its requests, and there is nothing that one of the two keeps from running, but
 * each other. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* While at most `tasks` are alive none of them needs to be watched: they do not mind waiting for each
 * other, however long one of them computes. A task. */
void sched_unwatched(uint32_t tasks);
/* True: no more than `tasks` are alive, all of which wait for the calling one alone. Nothing can happen until
 * it goes on, so it may block its thread without a word. sched_quiet_end() when it goes on. */
bool sched_quiet_begin(uint32_t tasks);
void sched_quiet_end(void);
