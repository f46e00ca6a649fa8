/* child.h - what runs inside: the set-up of a sandbox, and then its init.
 *
 * The process comes out of clone3(2) as a copy of the launcher, alone in new
 * namespaces. It waits for the launcher's word (ids mapped, cgroups attached,
 * link there), builds its world, gives up every privilege, forks the runtime
 * and stays as PID 1: it reaps, forwards SIGTERM and tells how the runtime
 * ended. It is never trusted with more than one sandbox's descriptors. */
#pragma once
#include "sandbox/launcher.h"
#include "sandbox/network.h"
#include <linux/filter.h>

struct child_plan {
    const struct sandbox_spec *spec; /* defaults filled in */
    int channel;                     /* SEQPACKET to the launcher */
    int stdout_fd, stderr_fd;        /* write ends */
    int root_tree,
        code_tree;    /* detached mounts; -1: the child opens the paths itself (no privileges) */
    bool whole_range; /* 65536 ids are mapped, not one */
    const char *resolv_conf;
    const struct sock_fprog *seccomp;
};

/* The launcher's word. */
struct child_go {
    bool linked; /* an eth0 is there, for `link` */
    struct network_link link;
};

/* What it says on the channel. STARTED carries the listening sockets: frames, then api. */
enum child_report_kind { CHILD_STARTED = 1, CHILD_FAILED, CHILD_EXITED };
struct child_report {
    enum child_report_kind kind;
    int status;       /* EXITED: the runtime's wait status */
    struct err error; /* FAILED */
};

/* Clones the process that becomes the sandbox, into `cgroup_fd` unless -1, `more` flags added (0 or
 * CLONE_PARENT). Its pid, or -errno. The single thread of the caller's process only. */
pid_t child_clone(struct child_plan *p, int cgroup_fd, uint64_t more, int *ret_pidfd);

/* init.c: forks the runtime and never returns. `listen_fds` go out with STARTED. */
_Noreturn void init_run(const struct child_plan *p, int channel, const int *listen_fds, size_t n);
_Noreturn void init_fail(int channel, const struct err *e);
