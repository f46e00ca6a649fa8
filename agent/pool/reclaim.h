/* reclaim.h - memory that frozen instances are asked back for, while the node is short of it.
 *
 * One for all pools of an agent. They say what freezes and what thaws; a thread of its own looks at the
 * node's memory each second while anything is frozen, and takes from those that have been frozen longest, a bounded amount
 * a second, and from each once a freeze. What comes back and how depends on the kernel: with cgroup v2 the page
 * cache and, where there is swap, all else, by the byte; with v1 the same of a whole instance at once; without swap only
 * page cache. */
#pragma once
#include "base/buffer.h"
#include "base/list.h"
#include "launcher/launcher.h"
#include <stdatomic.h>

struct reclaim;

struct reclaim_entry { /* embed in the instance; zero-initialise */
    struct list link;
    char cgroup[CGROUP_NAME_MAX];
    bool listed;
    atomic_bool taken; /* something was taken: what it uses is not what it was */
};

struct reclaim_config {
    const struct launcher *launcher;
    unsigned below_percent; /* available memory; 1 to 99 */
    const char *cgroup;     /* as memory_look()'s; copied */
    const char *proc;       /* NULL: "/proc" */
    uint64_t period_ns;     /* 0: a second */
};
int reclaim_new(const struct reclaim_config *c, struct reclaim **ret);
struct reclaim *reclaim_free(struct reclaim *r); /* joins: it may be in the midst of one */

/* ---- any thread; cheap, and never behind a reclaim; r NULL: nothing is reclaimed on this node */
void reclaim_frozen(struct reclaim *r, struct reclaim_entry *e, const char *cgroup);
void reclaim_thawed(struct reclaim *r, struct reclaim_entry *e); /* twice is fine */
void reclaim_metrics(const struct reclaim *r, struct buffer *out);
