/* spec.h - what a sandbox is asked for with, and what is told of one: between the agent and its launcher. */
#pragma once
#include "cgroup/layout.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum sandbox_network { SANDBOX_NETWORK_EGRESS, SANDBOX_NETWORK_NONE };

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

#define SANDBOX_PIDS 256u
#define SANDBOX_TMP  (64ull << 20)

struct sandbox_started {
    char cgroup[CGROUP_NAME_MAX]; /* its cgroup's name: for launcher_usage() and launcher_freeze() */
    pid_t pid;                    /* the init's, seen from the host */
    int stdout_fd, stderr_fd;     /* pipes, non-blocking; the callee owns them */
    int frames_listen_fd;         /* listening Unix socket, or -1 */
    int api_listen_fd;            /* listening TCP socket in the sandbox's network, or -1 */
    uint64_t create_ns;           /* from the request's arrival at the launcher to exec */
    bool pooled;                  /* its sandbox was parked when it was asked for */
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
