/* sandbox.h - one sandbox in the launcher: shared by its start (sandbox_start.c) and its life (sandbox.c). */
#pragma once
#include "sandbox/server.h"
#include <unistd.h>

enum sandbox_state {
    SANDBOX_SETTING_UP, /* cloned; it mounts and binds */
    SANDBOX_RUNNING,    /* the runtime was exec'ed */
    SANDBOX_STOPPING,   /* SIGTERM sent, grace running */
    SANDBOX_KILLED,
    SANDBOX_REMOVING, /* no process left; cgroups and link go */
    SANDBOX_STATES
};

struct sandbox {
    struct map_node node;
    struct server *server;
    char id[64], cgroup[SANDBOX_CGROUP_MAX];
    enum sandbox_state state;
    uint64_t arrived, remove_until;
    uint64_t memory; /* the limit, for messages */
    uint32_t slot;
    pid_t pid;
    int stdout_fd, stderr_fd; /* read ends, until STARTED hands them over */
    bool linked;
    struct network_link link;
    struct loop_watch channel, process;
    struct loop_timer timer;
    struct err error; /* why it never ran */
    bool started, exited;
    int status;                /* the runtime's, once exited; else the init's */
    struct cgroup_total total; /* once all is over */
};

static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Gathers the parts, clones and says go. After it `b->pid` is 0 or that of a process to watch: with an error
 * and a pid, the caller kills it. */
int sandbox_start(struct sandbox *b, const struct sandbox_spec *spec, struct err *e);
