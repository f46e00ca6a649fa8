/* server.h - the launcher process: takes requests, owns the sandboxes, cleans up.
 *
 * One thread, one loop, no call that a sandbox could make long. It lives until
 * its agent closes the socket or dies; then it kills every sandbox, removes
 * all that carries the platform's names, and exits. */
#pragma once
#include "base/map.h"
#include "cgroup/cgroup.h"
#include "network/idpool.h"
#include "launcher/launcher.h"
#include "sandbox/message.h"
#include "network/names.h"
#include "network/network.h"
#include "launcher/builders.h"
#include "launcher/park.h"
#include "launcher/rootless.h"

#define SERVER_SANDBOXES_MAX 4096u

/* The launcher's own namespaces and root. */
struct home {
    int mounts, names, root;
};

struct server {
    int sock;
    struct loop *loop;
    struct loop_watch watch;
    struct list outbox; /* answers that the socket had no room for */
    struct names names;
    struct cgroups cgroups;
    struct network network;
    struct home home;
    int seccomp_fd; /* the usual list */
    struct nursery nursery;
    struct builders builders;
    struct list zygotes;
    struct park park;
    struct list boxes, removals;
    struct idpool slots; /* uid ranges */
    uint32_t serial;     /* of the adopted ones' cgroups */
    uid_t uid_base;
    struct rootless rootless;
    bool privileged; /* root: ranges of ids, cgroups, links */
    bool ahead; /* sandboxes can be made before it is known for whom: it takes root, and detached mounts */
    bool closing;
    struct map sandboxes, adopted;
    struct loop_timer exit_timer;
};

/* Runs in the forked process and exits with it. Takes `cgroups` over. */
_Noreturn void server_run(int sock, const struct launcher_config *config, const struct names *names,
                          const struct cgroups *cgroups, pid_t agent);

/* The agent is gone or broken: nothing that is said matters any more, and all that runs ends. */
void server_end(struct server *s);

/* ---- server_start.c */
void server_become(int sock); /* the process: signals, limits, descriptors but that one */
/* What cannot be enforced or had goes to `warning`. */
int server_prepare(struct server *s, const struct launcher_config *config, pid_t agent,
                   char *warning, size_t size, struct err *e);

/* ---- outbox.c */
void server_flush(struct server *s); /* there is room again */
/* Sends or queues; the descriptors are the server's from here on. */
void server_send(struct server *s, const struct message *m, const int *fds, size_t n);

void server_send_failed(struct server *s, const char *id, const struct err *e);

/* Of its own forks, or of a zygote's. */
void server_init_builders(struct server *s, struct builders *b, struct zygote *zygote);

/* ---- assign.c */
int assign_open_home(struct home *h, struct err *e);

/* ---- sandbox.c: one sandbox's life as the launcher sees it */
struct sandbox;
void sandbox_stop(struct sandbox *b, uint64_t grace_ns);
struct sandbox *sandbox_find(struct server *s, const char *id);
void sandbox_stop_all(struct server *s); /* at once */
/* sandbox.c calls it when one is gone for good. */
void server_sandbox_gone(struct server *s);
