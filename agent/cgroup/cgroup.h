/* cgroup.h - the cgroups of the sandboxes: `rouse-<id>/<name>` below the agent's own, in every hierarchy used.
 *
 * The launcher makes, limits and removes them; the agent's side freezes and
 * reads them. Each process has its own `struct cgroups`, made before the fork
 * and read-only once its directories are open, so any thread may use it.
 * Synchronous file writes of 4 to 12 us each, relative to those directories; an
 * attach on v1 may take 12 ms (baselines: RCU). */
#pragma once
#include "base/error.h"
#include "cgroup/layout.h"
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
/* Opens rouse-<id> in every hierarchy, once it is there: all calls below go
 * through these descriptors. cgroups_prepare() ends with it. */
void cgroups_open(struct cgroups *c);

/* Makes rouse-<id> everywhere. On v2, where a cgroup with processes cannot delegate, the two pids
 * move to the leaf first. What cannot be enforced is appended to `warning`, and that tree is left
 * out from then on. Launcher only. */
void cgroups_prepare(struct cgroups *c, const pid_t *pids, size_t n, char *warning, size_t size);
/* Kills what is in rouse-<id> (but for the leaf) and removes it; the leaf's processes go back up.
 * Blocks up to 2 s for processes to die. -errno of what could not be removed. */
int cgroups_clean(const struct cgroups *c, struct err *e);

struct cgroup_limits {
    uint64_t memory;     /* bytes; 0: none */
    uint32_t cpu_millis; /* 0: none */
    uint32_t pids;       /* 0: none */
};
/* Makes the directories and sets the limits. *ret_fd is the unified tree's directory, for CLONE_INTO_CGROUP, or
 * -1 where there is none. After a failure nothing of it is left. */
int cgroup_create(const struct cgroups *c, const char *name, const struct cgroup_limits *limits,
                  int *ret_fd, struct err *e);
/* Writes what `to` asks for and `from` (NULL: a cgroup just made) does not have already: see the
 * table in cgroup/limit.c. After a failure some may be written. */
int cgroup_limit(const struct cgroups *c, const char *name, const struct cgroup_limits *from,
                 const struct cgroup_limits *to, struct err *e);
/* Opens cgroup.procs of each hierarchy on v1, for writing: who writes "0" there is in it, whoever opened it. */
int cgroup_open_procs(const struct cgroups *c, const char *name, int fds[CGROUP_TREES_MAX],
                      size_t *ret_n, struct err *e);
/* Kills all in it, and thaws it where that is what keeps a kill from them. Without the unified tree's cgroup.kill one by
 * one: who was forked meanwhile is met by the next call. */
void cgroup_kill(const struct cgroups *c, const char *id);
/* Calls `fn` with each pid in one tree's, of this pid namespace; their number, or -errno. */
int cgroup_each_pid(const struct cgroup_tree *t, const char *id, void (*fn)(pid_t pid, void *arg),
                    void *arg);
/* May wait for attaches elsewhere, 20 ms and more, unless it is thawed already. -EOPNOTSUPP, -ENOENT */
int cgroup_freeze(const struct cgroups *c, const char *id, bool frozen);
int cgroup_may_freeze(const struct cgroups *c, const char *id); /* 0; -EOPNOTSUPP, -ENOENT, -EACCES */

struct cgroup_usage {
    uint64_t memory, cpu_ns; /* 0: not known */
};
/* Two files: for a look every second at every sandbox. -ENOENT */
int cgroup_usage(const struct cgroups *c, const char *id, struct cgroup_usage *ret);
struct cgroup_total {
    uint64_t memory_peak, cpu_ns, oom_kills; /* 0: not known */
};
/* What it had come to when it ended. */
void cgroup_total(const struct cgroups *c, const char *id, struct cgroup_total *ret);
/* Takes up to `bytes` of memory away from it, the page cache and, where the node has swap, what else
 * it has: for one that is frozen, since it must fault all of it in again. *ret_freed (may be NULL):
 * how much it shrank. May take a second: a worker's. -EOPNOTSUPP where the kernel has no way. */
int cgroup_reclaim(const struct cgroups *c, const char *id, uint64_t bytes, uint64_t *ret_freed);
/* -EBUSY while the kernel still counts a process in it. 0.1 ms for all hierarchies of one. */
int cgroup_remove(const struct cgroups *c, const char *id);
