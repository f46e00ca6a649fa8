/* adopt_exit.h - how a process that is not our child ended. Launcher only. */
#pragma once
#include <stdbool.h>

/* The wait status of the process behind `pidfd`: 0; -EAGAIN: it was not reaped yet; -EOPNOTSUPP: this kernel
 * does not tell (before 6.15). */
int adopt_exit_status(int pidfd, int *ret_status);
