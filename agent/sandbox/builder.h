/* builder.h - the process that makes one sandbox's first process, and ends.
 *
 * It is in the sandbox's cgroups before it is needed, since on v1 an attach
 * waits for an RCU grace period, 5 to 30 ms when starts are rare, while a child
 * of an attached process is attached at birth. It takes one order, clones the
 * sandbox's init as its own sibling (CLONE_PARENT: a child of the launcher),
 * maps its ids, makes its link, says go and ends; the launcher waits for none of
 * it. Nothing here is the launcher's but the socket: whoever forks such
 * processes in the launcher's place may link this too. */
#pragma once
#include "cgroup/layout.h"
#include "sandbox/child.h"
#include "sandbox/idmap.h"
#include "network/network.h"

/* What a builder is born with; the descriptors are its own. */
struct builder_birth {
    int sock;                    /* SEQPACKET to the launcher */
    int procs[CGROUP_TREES_MAX]; /* cgroup.procs, for writing, of the cgroups on v1 */
    size_t procs_count;
    int cgroup; /* directory of the cgroup on v2 that the init is cloned into, or -1 */
    child_runtime_fn *runtime; /* instead of an exec of the kind's argv, ahead; NULL: none */
};

/* The order: this with the descriptors below, then the spec as a CREATE message: its kind, hostname and tmp_size;
 * code_dir unless it is "". */
struct builder_order {
    enum idmap_kind ids; /* from `uid` and `gid` on */
    uid_t uid;
    gid_t gid;
    bool detached; /* with the Runtime's tree; else the init opens it by its path */
    bool linked;
    struct network_link net; /* to be made */
    char resolv_conf[RESOLV_TEXT_MAX];
};
enum {
    ORDER_CHANNEL,
    ORDER_STDOUT,
    ORDER_STDERR,
    ORDER_SECCOMP, /* the program, as the bytes of its instructions */
    ORDER_ROOT,    /* the Runtime's tree, if it is detached */
    ORDER_FDS
};

/* What comes back on the socket. */
enum builder_answer_kind {
    BUILDER_BORN = 1, /* pid: its own, with a pidfd; said by whoever forked it */
    BUILDER_READY,    /* attached; pid as before */
    BUILDER_CLONED,   /* pid: the init's, with a pidfd */
    BUILDER_FAILED
};
struct builder_answer {
    enum builder_answer_kind kind;
    pid_t pid;
    struct err error; /* FAILED */
};
void builder_answer(int sock, enum builder_answer_kind kind, pid_t pid, int pidfd);
void builder_fail(int sock, const struct err *e);

/* In a process of its own, with no other descriptors than the birth's. */
_Noreturn void builder_run(const struct builder_birth *b);
