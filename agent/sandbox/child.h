/* child.h - what runs inside: the set-up of a sandbox, and then its init.
 *
 * The process comes out of clone3(2) as a copy of its builder, alone in new
 * namespaces. It waits for the builder's word (ids mapped), builds its world,
 * gives up every privilege and stays as PID 1, parked, until the launcher says
 * what to run. Then it spawns the runtime, reaps, forwards SIGTERM and tells how
 * the runtime ended. It is never trusted with more than one sandbox's
 * descriptors. */
#pragma once
#include "sandbox/idmap.h"
#include "sandbox/spec.h"
#include "network/network.h"
#include <linux/filter.h>

#define SANDBOX_ID_RANGE 65536u

/* The runtime, forked ahead by who linked it: in its own process, privileges gone. Must not return. */
typedef void child_runtime_fn(void);

struct child_plan {
    const struct sandbox_spec *spec; /* as builder.h has it */
    int channel;                     /* SEQPACKET to the launcher */
    int go; /* what the builder says: a byte when the ids are there, then child_go */
    int stdout_fd, stderr_fd; /* write ends */
    int root_tree; /* detached; -1: the child opens the paths itself, and nobody can mount its code later */
    enum idmap_kind ids;
    const char *resolv_conf;
    const struct sock_fprog *seccomp;
    child_runtime_fn *runtime; /* in place of an exec of spec->kind.argv; or NULL */
};

struct child_go {
    bool linked; /* an eth0 is there */
    struct network_link net;
};

/* What it says on the channel. */
enum child_report_kind {
    CHILD_PARKED = 1, /* with the descriptors of `fds`, in that order */
    CHILD_STARTED,    /* not of a kind with argv: that runs when it is parked */
    CHILD_FAILED,
    CHILD_EXITED
};
enum {
    CHILD_FD_FRAMES = 1,  /* listening */
    CHILD_FD_API = 2,     /* listening */
    CHILD_FD_HOSTS = 4,   /* what /etc/hosts shows, for writing */
    CHILD_FD_HOSTNAME = 8 /* /etc/hostname */
};
struct child_report {
    enum child_report_kind kind;
    unsigned fds;
    int status;       /* EXITED: the runtime's wait status */
    struct err error; /* FAILED */
};
/* The launcher's answer to PARKED is a RUN message: argv and env. */

/* Clones the process that becomes the sandbox, into `cgroup_fd` unless -1, as a sibling of the caller. Its pid,
 * or -errno. The single thread of the caller's process only. */
pid_t child_clone(struct child_plan *p, int cgroup_fd, int *ret_pidfd);

/* init.c: tells that it is parked, spawns the runtime and never returns. */
_Noreturn void init_run(const struct child_plan *p, unsigned which, const int *fds, size_t n);
_Noreturn void init_fail(int channel, const struct err *e);
