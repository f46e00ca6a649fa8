/* cgroup/layout.h - where this process's cgroups are, from the text of two proc files.
 *
 * Pure: /proc/self/cgroup and /proc/self/mountinfo in, directories out. A
 * hierarchy that is mounted but does not show the process's own cgroup (bind
 * mounts of a part, another cgroup namespace) counts as absent. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum cgroup_controller {
    CGROUP_MEMORY,
    CGROUP_CPU,
    CGROUP_PIDS,
    CGROUP_IO,
    CGROUP_CPUACCT,
    CGROUP_FREEZER,
    CGROUP_CONTROLLERS
};

struct cgroup_layout {
    char *v1[CGROUP_CONTROLLERS]; /* the process's own directory in that v1 hierarchy, or NULL */
    char *v2;                     /* its own directory in the unified tree, or NULL */
};

/* -ENOMEM. Lines of another shape are passed over. */
int cgroup_layout_parse(const char *cgroup, const char *mountinfo, struct cgroup_layout *ret);
void cgroup_layout_done(struct cgroup_layout *l);

/* One hierarchy to work in and what is done there. */
struct cgroup_tree {
    const char *own; /* the layout's */
    bool v2;
    unsigned controllers; /* 1 << enum cgroup_controller */
    unsigned absent; /* knobs that this kernel does not have, by their place in cgroup/limit.c */
    int dir;         /* of `own`/rouse-<id> once open, else -1 */
};
#define CGROUP_NAME_MAX 24 /* a sandbox's own, below rouse-<id> */
enum { CGROUP_TREES_MAX = CGROUP_CONTROLLERS + 1 };

/* Decides which hierarchy limits what. `v2_controllers` is the unified tree's cgroup.controllers
 * ("" if none). Freezing and CPU time come from the unified tree where there is one. */
size_t cgroup_trees(const struct cgroup_layout *l, const char *v2_controllers, bool v1_only,
                    struct cgroup_tree trees[CGROUP_TREES_MAX]);
/* "v1", "v2", "hybrid" or "none". */
const char *cgroup_trees_name(const struct cgroup_tree *trees, size_t n);
const char *cgroup_controller_name(enum cgroup_controller c);
