/* mutex.h - the inside of rouse_mutex, for conditions: both within the scheduler. */
#pragma once
#include "sched/internal.h"

enum interruptible { WAIT_CANCELABLE, WAIT_ALWAYS };

/* *m may be another machine afterwards. */
int mutex_lock(struct machine **m, struct rouse_mutex *mutex, int64_t deadline,
               enum interruptible how);
void mutex_unlock(struct machine *m, struct rouse_mutex *mutex);
