/* nursery.h - a process that makes and removes cgroups, and forks the builders into them.
 *
 * What it does may wait: the kernel lets nobody make or remove a cgroup while
 * somebody is being attached on v1, and that takes 5 to 30 ms. The launcher asks
 * and goes on. Its forks are the launcher's children, and small: it was forked
 * itself before the launcher had anything. One that ends is replaced. */
#pragma once
#include "reactor/loop.h"
#include "cgroup/cgroup.h"
#include "launcher/launcher.h"

struct nursery {
    struct loop *loop;
    const struct cgroups *cgroups;
    pid_t pid;
    uint32_t serial;             /* of the cgroups' names */
    struct cgroup_limits limits; /* that a cgroup is made with */
    struct loop_watch watch;
    /* That cgroup is gone (0), or not yet (-EBUSY). */
    void (*on_removed)(struct nursery *n, const char *cgroup, int result);
    void (*on_lost)(struct nursery *n); /* what it was asked may be lost */
};

int nursery_start(struct nursery *n); /* -errno; `loop`, `cgroups` and the callbacks are set */
void nursery_end(struct nursery *n);
/* A builder in a new cgroup of that name, a fork of the nursery or, if `zygote` is not -1, of who hears that
 * socket. `sock` is closed here: its other end hears BORN or FAILED, or its end. -EAGAIN: ask again later. */
int nursery_make(struct nursery *n, const char *cgroup, int sock, int zygote);
/* What the next sandboxes will probably ask for: if there is room to build one in it, cgroups are made with that, and
 * nothing is left to write when one is taken. */
void nursery_expect(struct nursery *n, const struct cgroup_limits *limits);
int nursery_remove(struct nursery *n, const char *cgroup); /* -EAGAIN */
