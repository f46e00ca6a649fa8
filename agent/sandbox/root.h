/* root.h - the sandbox's file system: a Runtime's directory as /, and what is mounted over it.
 *
 * In the sandbox's first process, but for root_mount_code(). Every path inside is
 * resolved after pivot_root(2), so no link in a Runtime leads out. */
#pragma once
#include "base/error.h"
#include "sandbox/tree.h"
#include <stdbool.h>
#include <stdint.h>

#define ROOT_TASK_DIR    "/var/task"
#define ROOT_SOCKET_DIR  "/run/rouse"
#define ROOT_SOCKET_PATH ROOT_SOCKET_DIR "/runtime.sock"
/* What /etc/hosts and /etc/hostname show, below /run. */
#define ROOT_HOSTS    "rouse/hosts"
#define ROOT_HOSTNAME "rouse/hostname"

struct root_plan {
    const char *runtime_root; /* for messages */
    int root_tree, code_tree; /* tree_open()'s; code_tree -1: none yet */
    bool detached;            /* both are, and what else is mounted can be */
    uint64_t tmp_size;
    const char *hostname;
    const char *resolv_conf; /* text; "" for none */
    bool bare; /* only / and a whole /proc and /dev, for a zygote: what it makes shall build roots in it */
};
/* The texts of both files. */
void root_names(const char *hostname, char hosts[256], char name[80]);
/* Mounts everything and leaves only /run writable, for the sockets. */
int root_enter(const struct root_plan *p, struct err *e);
/* In the sandbox's mount namespace: a detached tree_open()'s at ROOT_TASK_DIR. */
int root_mount_code(int tree, const char *runtime_root, struct err *e);
int root_seal(struct err *e); /* makes /run and /dev read-only */
