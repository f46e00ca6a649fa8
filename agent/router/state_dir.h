/* state_dir.h - the agent's state directory: made, made absolute and locked for one agent's life. Start-up only. */
#pragma once
#include "base/error.h"
#include <limits.h>

struct state_dir {
    char path[PATH_MAX];
    int lock_fd; /* held until the process ends */
};

/* An agent that was killed may have a launcher that still cleans up with the lock in its hands: that one is
 * waited for (20 s); a living agent is not. -errno with *e. */
int state_dir_open(const char *path, struct state_dir *ret, struct err *e);
/* The first line of a token file, which the caller frees. */
int state_token_read(const char *path, char **ret, struct err *e);
