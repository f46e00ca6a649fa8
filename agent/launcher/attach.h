/* attach.h - a process of somebody else is put into a cgroup.
 *
 * cgroup.procs takes a number, not a descriptor, and each attach to v1 waits for an RCU grace period, time enough for
 * the process to end and its number to become another's: who then would be limited, and killed as what it is not. So
 * it is looked at before and after each write, and a stranger that was caught goes back. Synchronous, for a helper process. */
#pragma once
#include "cgroup/cgroup.h"
#include <stdbool.h>

/* Into all hierarchies' cgroups of that name. -ESRCH: it has ended, and who has its number now is where it was. */
int attach_process(const struct cgroups *c, const char *cgroup, int pidfd, pid_t pid, pid_t init);
/* What is in one of them without descending from `init` goes where its parent is. */
void attach_send_home(const struct cgroup_tree *t, const char *cgroup, pid_t init);
/* Whoever is in a pid namespace descends from its init. (Its link in /proc would say so, too, but is not for a
 * launcher that is not root.) */
bool attach_descends(pid_t pid, pid_t init);
bool attach_has_ended(int pidfd);
