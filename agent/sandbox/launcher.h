/* launcher.h - the agent's handle on its launcher, the process that makes and owns the sandboxes.
 *
 * The launcher is forked before the agent has a second thread, stays
 * single-threaded and is the parent of every sandbox's init. Requests and
 * answers cross a SOCK_SEQPACKET pair; descriptors come by SCM_RIGHTS. All
 * calls and callbacks are on the loop's thread. If the agent dies, the launcher
 * kills its sandboxes, removes what it made and exits. */
#pragma once
#include "base/cidr.h"
#include "base/buffer.h"
#include "base/error.h"
#include "reactor/loop.h"
#include <sys/types.h>

struct launcher;

enum sandbox_network { SANDBOX_NETWORK_EGRESS, SANDBOX_NETWORK_NONE };

struct launcher_config {
    const char *state_dir; /* absolute; every name on the machine carries an id derived from it */
    struct launcher_network {
        const char *subnet; /* IPv4 block for links, e.g. "100.64.0.0/16"; NULL: derived from state_dir */
        const struct cidr *deny, *allow; /* what instances may not reach, and exceptions */
        size_t deny_count, allow_count;
        const char *gateway; /* this node's, which instances may reach; NULL: they may not */
    } network;
    /* How many are kept ready of a kind that launcher_create() has asked for, of the last 8 of these; 0: only what
     * launcher_park() says is. */
    unsigned park_asked;
    uid_t uid_base; /* first host uid of the instances' ranges; 0: from state_dir, at or above 0x70000000 */
    bool cgroup_v1_only; /* for tests */
};

/* What of a sandbox can be made ahead of any function: two that are given the same kind could be given each
 * other's. Strings are copied. */
struct sandbox_kind {
    const char *runtime_root; /* a Runtime's root file system, mounted read-only as / */
    enum sandbox_network network;
    bool frames_socket; /* open /run/rouse/runtime.sock inside; ROUSE_RUNTIME_SOCKET names it */
    uint16_t api_port;  /* listen on 127.0.0.1:PORT inside; 0: no */
    /* An interpreter that is started ahead, in the sandbox and before it has any code; NULL: none. The
     * instance is then it, and what the instance's own argv and env say is for its bootstrap to hear. */
    const char *const *argv, *const *env;
    bool zygote; /* it may be a fork of one such that is started once and has no function: see zygote.h */
    const char *const *syscalls; /* names that its seccomp list allows beside the usual; NULL: none */
};

/* What one instance is given. Strings are copied. */
struct sandbox_spec {
    const char *id; /* instance id, [a-z0-9-]{1,63} */
    const char *hostname;
    struct sandbox_kind kind;
    const char *code_dir;    /* mounted read-only at /var/task */
    const char *const *argv; /* absolute path inside; NULL-terminated */
    const char *const *env;  /* whole environment; NULL-terminated */
    uint64_t memory;         /* bytes; limit of memory and (where possible) no swap */
    uint32_t cpu_millis;     /* quota */
    uint32_t pids;           /* 0: 256 */
    uint64_t tmp_size;       /* bytes of /tmp; 0: 64 MiB */
};

/* A process of a running sandbox that is to be limited, counted and ended by itself. */
struct sandbox_adoption {
    const char *id; /* of its own, as a sandbox's */
    const char *of; /* the sandbox it is in */
    pid_t pid;      /* seen from the host */
    uint64_t memory;
    uint32_t cpu_millis, pids; /* as a sandbox's */
};

#define SANDBOX_CGROUP_MAX 24
#define SANDBOX_PIDS       256u
#define SANDBOX_TMP        (64ull << 20)

struct sandbox_started {
    char cgroup[SANDBOX_CGROUP_MAX]; /* its cgroup's name: for launcher_usage() and launcher_freeze() */
    pid_t pid;                       /* the init's, seen from the host */
    int stdout_fd, stderr_fd;        /* pipes, non-blocking; the callee owns them */
    int frames_listen_fd;            /* listening Unix socket, or -1 */
    int api_listen_fd;               /* listening TCP socket in the sandbox's network, or -1 */
    uint64_t create_ns;              /* from the request's arrival at the launcher to exec */
    bool pooled;                     /* its sandbox was parked when it was asked for */
};
struct sandbox_exit {
    int code;             /* exit code, or -1 when killed by a signal */
    int signal;           /* 0, or the signal of the runtime process */
    bool oom;             /* the kernel killed it for memory */
    uint64_t memory_peak; /* bytes; 0: not known */
    uint64_t cpu_ns;
};
struct sandbox_usage {
    uint64_t memory, cpu_ns;
};

struct launcher_ops {
    void (*on_started)(void *user, const char *id, const struct sandbox_started *s);
    /* `e` says which step, which path, what the kernel said. No process remains of the sandbox. */
    void (*on_failed)(void *user, const char *id, const struct err *e);
    /* After on_started(), once: all processes are gone. Cgroups and link go after that. */
    void (*on_exit)(void *user, const char *id, const struct sandbox_exit *e);
    void (*on_lost)(void *user); /* the launcher itself died: the agent must end */
};

/* Forks the launcher: call it before any thread exists. It first removes what an earlier life with the
 * same state_dir left behind (cgroups, links, nftables table, mounts), and nothing else. -errno, with *e. */
int launcher_start(const struct launcher_config *c, struct launcher **ret, struct err *e);
/* Ties it to a loop, once; no callback comes before, and nothing is frozen. -EALREADY, -errno */
int launcher_attach(struct launcher *l, struct loop *loop, const struct launcher_ops *ops,
                    void *user);
int launcher_create(struct launcher *l, const struct sandbox_spec *s); /* -EMSGSIZE (256 KiB), -EEXIST */
/* SIGTERM to the runtime, then, after grace_ns, the whole sandbox is killed. 0: killed at once. */
int launcher_stop_sandbox(struct launcher *l, const char *id, uint64_t grace_ns);
/* Puts a process of a sandbox into a cgroup of its own. It is told of as a sandbox: on_started() without
 * descriptors, or on_failed() (it may run on then, as part of its sandbox), and on_exit(); and it is stopped by
 * its own id. It ends with its sandbox at the latest. -EEXIST */
int launcher_adopt(struct launcher *l, const struct sandbox_adoption *a);
/* Keeps so many sandboxes of that kind ready for launcher_create(), made in the background; 0: none any more.
 * -EMSGSIZE, -ENOBUFS. Nothing is parked where the agent is not root. */
int launcher_park(struct launcher *l, const struct sandbox_kind *k, unsigned count);
/* Where the platform's own processes listen, as "tcp://10.0.0.2:8081": all of them, NULL at the end; instances do
 * not get there. Those that are none, names and loopback among them, are passed over. -EMSGSIZE: over 4096. */
int launcher_ports(struct launcher *l, const char *const *addresses);
/* How many are parked for that Runtime, of all kinds, as the launcher said half a second ago. */
unsigned launcher_parked(const struct launcher *l, const char *runtime_root);
/* The next three write and read the cgroup that STARTED has named: any thread. -ENOENT, -EOPNOTSUPP.
 * launcher_freeze() is done a little later, by a thread of its own (freezer.h), and the last word holds. A stop
 * thaws; who freezes after it has asked for the stop delays that until its grace is over. */
int launcher_freeze(const struct launcher *l, const char *cgroup, bool frozen);
int launcher_usage(const struct launcher *l, const char *cgroup, struct sandbox_usage *ret);
/* Takes up to so many bytes of memory away from it; *ret_freed: how many. May take a second. */
int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes,
                     uint64_t *ret_freed);
void launcher_metrics(const struct launcher *l, struct buffer *out); /* how long thaws take */
/* "v1", "v2" or "hybrid", and what cannot be enforced here, one line; NULL if all can. */
const char *launcher_cgroup_layout(const struct launcher *l);
const char *launcher_warning(const struct launcher *l);
/* Kills every sandbox, waits for the launcher, frees. Blocking, at most 10 s. NULL is a no-op. */
struct launcher *launcher_free(struct launcher *l);
