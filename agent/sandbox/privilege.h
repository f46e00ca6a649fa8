/* privilege.h - gives up, for good, all that foreign code must not have.
 *
 * Called in the sandbox's first process, with all capabilities of its own user
 * namespace, after the last mount. */
#pragma once
#include "base/error.h"
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#define SANDBOX_UID       1000u /* who the function is, inside */
#define SANDBOX_PROCESSES 257u  /* with the init; where no cgroup says how many */

/* rlimits, new session and session keyring, securebits, bounding set, user, capabilities,
 * no_new_privs, death with the parent, Landlock, and last the seccomp program. `limit_processes`: there may
 * be no cgroup that does. */
int privilege_drop(bool may_set_groups, bool limit_processes, const struct sock_fprog *seccomp,
                   struct err *e);
/* A session keyring with nothing in it: what is in the caller's is not for those that it makes. -EDQUOT: the
 * user has as many keys as there may be. */
int privilege_new_keyring(void);
/* Since Linux 5.14 each user namespace counts its own processes; before, all of the agent's user count. */
bool privilege_counts_processes(void);
