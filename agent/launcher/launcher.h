/* launcher.h - the agent's handle on its launcher, the process that makes and owns the sandboxes.
 *
 * The launcher is forked before the agent has a second thread, stays
 * single-threaded and is the parent of every sandbox's init. Requests and
 * answers cross a SOCK_SEQPACKET pair; descriptors come by SCM_RIGHTS. All
 * calls and callbacks are on the loop's thread. If the agent dies, the launcher
 * kills its sandboxes, removes what it made and exits. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "network/network.h"
#include "reactor/loop.h"
#include "sandbox/spec.h"

struct launcher;

struct launcher_config {
    const char *state_dir; /* absolute; every name on the machine carries an id derived from it */
    struct network_config network;
    /* How many are kept ready of a kind that launcher_create() has asked for, of the last 8 of these; 0: only what
     * launcher_park() says is. */
    unsigned park_asked;
    uid_t uid_base; /* first host uid of the instances' ranges; 0: from state_dir, at or above 0x70000000 */
    bool cgroup_v1_only; /* for tests */
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
