/* spare.h - processes that wait inside cgroups of v1 to become the parent-in-law of a sandbox.
 *
 * On v1 an attach waits for an RCU grace period, 5 to 30 ms when starts are
 * rare, while a child of an attached process is attached at birth. So a few
 * forks of the launcher attach themselves ahead of time, each in cgroups of
 * its own; a start renames these to the instance's, and the spare clones the
 * sandbox's init as its own sibling (CLONE_PARENT: a child of the launcher)
 * and ends. Where nothing needs an attach there are none. Launcher only. */
#pragma once
#include "reactor/loop.h"
#include "sandbox/cgroup.h"
#include "sandbox/child.h"

#define SPARES 4

struct spare {
    char name[24]; /* of its cgroups; "" for none */
    pid_t pid;
    int sock;
};

struct spares {
    struct loop *loop;
    const struct cgroups *cgroups;
    const struct sock_fprog *seccomp;
    struct spare all[SPARES];
    struct loop_timer refill;
    uint32_t serial;
};

/* Starts to fill the pool, from the loop. */
void spares_init(struct spares *s, struct loop *loop, const struct cgroups *cgroups,
                 const struct sock_fprog *seccomp);
void spares_done(struct spares *s);

/* False if none is ready. The caller ends it. */
bool spares_take(struct spares *s, struct spare *ret);
/* Makes the child of `p` as child_clone() does: its pid, or -errno. */
pid_t spare_clone(const struct spare *s, const struct child_plan *p, int cgroup_fd, int *ret_pidfd);
void spare_end(struct spare *s); /* waits for its end, which follows at once */
