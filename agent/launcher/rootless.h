/* rootless.h - an agent without root: what it can enforce nevertheless, and the one line that says what it cannot.
 *
 * - Limits of memory, cpu and processes, where a part of cgroup v2 is the user's own to divide: under systemd's
 *   user manager, or by whatever else handed it over.
 * - Two ids for each sandbox, where /etc/subuid and /etc/subgid give the user a range and newuidmap(1) and
 *   newgidmap(1) are there to map them: a function is then another user than the agent, and than its siblings.
 * Launcher only. */
#pragma once
#include "base/error.h"
#include "cgroup/cgroup.h"
#include <stdbool.h>

struct rootless {
    unsigned boxes; /* for how many there are ids; 0: all share the agent's user */
    unsigned uid_base, gid_base;
};

/* Leaves those trees of `c` that can be used and makes them ready. What is missing goes to `warning`. */
void rootless_prepare(struct rootless *r, struct cgroups *c, const pid_t *pids, size_t n,
                      char *warning, size_t size);
/* The first range of subuid(5) text for a user, by name or number. Pure. False: none. */
bool rootless_subids(const char *text, const char *name, unsigned long id, unsigned *ret_base,
                     unsigned *ret_count);
/* The line, from which controllers (bits of enum cgroup_controller) limit, whether each has ids, and whether the
 * kernel counts processes without a cgroup. Pure. */
void rootless_text(unsigned controllers, bool own_ids, bool counted, char *out, size_t size);
