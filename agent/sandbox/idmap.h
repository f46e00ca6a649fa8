/* idmap.h - which of the node's ids a sandbox's user namespace has.
 *
 * Written from outside, by the process that cloned the sandbox's first one. */
#pragma once
#include "base/error.h"
#include <sys/types.h>

#define IDMAP_UIDS "/usr/bin/newuidmap"
#define IDMAP_GIDS "/usr/bin/newgidmap"
#define IDMAP_PAIR 2u /* ids: its root's, while it is set up, and the function's */

enum idmap_kind {
    IDMAP_ONE,   /* the function is the agent's user; there is no root */
    IDMAP_TWO,   /* IDMAP_PAIR ids of the user's own ranges, by the programs above */
    IDMAP_WHOLE, /* SANDBOX_ID_RANGE of them; takes privileges */
};
/* `uid` and `gid` are the node's, the first of them. */
int idmap_write(enum idmap_kind kind, uid_t uid, gid_t gid, pid_t pid, struct err *e);
/* What is written from outside, too: `text` to /proc/PID/FILE. */
int proc_write(pid_t pid, const char *file, const char *text, struct err *e);
