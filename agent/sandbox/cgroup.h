/* cgroup.h - the cgroups of the sandboxes: `rouse-<id>/<instance>` below the agent's own, in every hierarchy used.
 *
 * The launcher makes, limits and removes them; the agent's side freezes and
 * reads them. Each process has its own `struct cgroups`, made before the fork
 * and read-only after, so both may use it at once. Synchronous file writes of
 * some 10 us each; an attach on v1 may take 12 ms (baselines: RCU). */
#pragma once
#include "base/error.h"
#include "sandbox/cgroup_layout.h"
#include <stdint.h>
#include <sys/types.h>

struct cgroups {
    struct cgroup_layout layout;
    struct cgroup_tree trees[CGROUP_TREES_MAX];
    size_t count;
    char name[16]; /* rouse-<id> */
};

/* Pids of the agent's own leaf below rouse-<id> on v2; no instance can be called so. */
#define CGROUP_AGENT_LEAF "_agent"

/* Reads /proc and decides. -errno. */
int cgroups_init(struct cgroups *c, const char *name, bool v1_only);
void cgroups_done(struct cgroups *c);

/* Makes rouse-<id> everywhere. On v2, where a cgroup with processes cannot delegate, the two pids
 * move to the leaf first. What cannot be enforced is appended to `warning`, and that tree is left
 * out from then on. Launcher only. */
void cgroups_prepare(struct cgroups *c, const pid_t *pids, size_t n, char *warning, size_t size);
/* Kills what is in rouse-<id> (but for the leaf) and removes it; the leaf's processes go back up.
 * Blocks up to 2 s for processes to die. -errno of what could not be removed. */
int cgroups_clean(const struct cgroups *c, struct err *e);

struct cgroup_limits {
    uint64_t memory;     /* 0: none */
    uint32_t cpu_millis; /* 0: none */
    uint32_t pids;
};
/* Makes the v1 directories only, with no limits yet, for a process that attaches itself ahead. */
int cgroup_create_spare(const struct cgroups *c, const char *name);
/* Makes the directories, or renames those of `spare` where it has one, and sets the limits. *ret_fd is the unified tree's directory for
 * CLONE_INTO_CGROUP, or -1 where there is none. After a failure nothing of it is left. */
int cgroup_create(const struct cgroups *c, const char *id, const char *spare,
                  const struct cgroup_limits *limits, int *ret_fd, struct err *e);
/* Puts `pid` into the v1 hierarchies. */
int cgroup_attach(const struct cgroups *c, const char *id, pid_t pid, struct err *e);
/* Kills all in it: -EOPNOTSUPP without the unified tree's cgroup.kill (thawed then on v1: kill the init). */
int cgroup_kill(const struct cgroups *c, const char *id);
int cgroup_freeze(const struct cgroups *c, const char *id, bool frozen); /* -EOPNOTSUPP, -ENOENT */

struct cgroup_usage {
    uint64_t memory, memory_peak, cpu_ns, oom_kills; /* 0: not known */
};
int cgroup_usage(const struct cgroups *c, const char *id, struct cgroup_usage *ret); /* -ENOENT */
/* -EBUSY while the kernel still counts a process in it. */
int cgroup_remove(const struct cgroups *c, const char *id);
