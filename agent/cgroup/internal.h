/* cgroup/internal.h - what the files of cgroup.h share. */
#pragma once
#include "base/file.h"
#include "cgroup/cgroup.h"

#include <limits.h>
#include <stdio.h>

enum { CGROUP_SHORT_MAX = NAME_MAX + 64 };

/* NAME/FILE, below a tree's `dir`. */
static inline const char *cgroup_short(char to[CGROUP_SHORT_MAX], const char *name, const char *file)
{
    snprintf(to, CGROUP_SHORT_MAX, "%s/%s", name, file);
    return to;
}
static inline const struct cgroup_tree *cgroup_tree_with(const struct cgroups *c,
                                                         enum cgroup_controller what)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->trees[i].controllers & 1u << what)
            return &c->trees[i];
    return NULL;
}
/* Opens rouse-<id> there and finds out which knobs of its controllers the kernel has. */
void cgroup_tree_open(const struct cgroups *c, struct cgroup_tree *t);
void cgroup_probe(struct cgroup_tree *t); /* the second half alone */
/* cgroup_each_pid() of a directory below `at`. */
int cgroup_pids(int at, const char *dir, void (*fn)(pid_t pid, void *arg), void *arg);
static inline int cgroup_poke(const struct cgroup_tree *t, const char *id, const char *file,
                              const char *text)
{
    char path[CGROUP_SHORT_MAX];

    return file_poke(t->dir, cgroup_short(path, id, file), text);
}
