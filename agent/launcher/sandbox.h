/* sandbox.h - one sandbox in the launcher, a *box*: from the order to build it to its end.
 *
 * sandbox_build.c gathers its parts and orders it, assign.c makes it an
 * instance's, sandbox.c is its life, sandbox_end.c its end. Who gets it is park.c's
 * to say. */
#pragma once
#include "launcher/builders.h"
#include "launcher/server.h"
#include <unistd.h>

enum sandbox_state {
    SANDBOX_BUILDING, /* ordered; it mounts and binds */
    SANDBOX_PARKED,   /* nobody's, or about to be somebody's */
    SANDBOX_STARTING, /* taken: its runtime is being spawned */
    SANDBOX_RUNNING,
    SANDBOX_STOPPING, /* SIGTERM sent, grace running */
    SANDBOX_KILLED,
    SANDBOX_STATES
};

struct sandbox {
    struct list link;     /* in server.boxes */
    struct list parked;   /* in kind.parked */
    struct map_node node; /* in server.sandboxes, once taken */
    struct server *server;
    struct kind *kind; /* NULL: taken */
    struct builder *builder;
    char id[64], cgroup[CGROUP_NAME_MAX]; /* id: "" until taken */
    enum sandbox_state state;
    uint64_t arrived;
    bool pooled;   /* it was parked when it was asked for */
    bool has_argv; /* of its kind: its runtime runs when it is parked */
    /* What it has so far; the instance may ask for something else. */
    struct cgroup_limits limits;
    char hostname[64];
    uint64_t tmp_size;
    bool has_code;
    uint32_t slot;
    pid_t pid;                 /* 0: not cloned yet, or reaped */
    int stdout_fd, stderr_fd;  /* read ends, until STARTED hands them over */
    int frames_fd, api_fd;     /* the same */
    int hosts_fd, hostname_fd; /* for writing, until it is taken */
    bool linked;
    struct network_link net;
    struct loop_watch channel, process;
    struct loop_timer timer;
    struct err error; /* why it never ran */
    bool started, exited;
    bool lost;  /* it, or its builder, was killed by somebody else */
    void *wish; /* the request, of one that was parked: it may be given to another; NULL: not */
    size_t wish_size;
    int status;                /* the runtime's, once exited; else the init's */
    struct cgroup_total total; /* once all is over */
};

/* ---- sandbox_build.c */
/* Orders one from a builder that is ready. `first` is who will probably get it, or NULL. What goes wrong is told
 * by park_box_gone(). */
void sandbox_build(struct server *s, struct kind *k, const struct sandbox_spec *first);

/* ---- assign.c */
/* Gives a parked one what `spec` asks for and it has not. After an error it is of no use to anybody. */
int sandbox_assign(struct sandbox *b, const struct sandbox_spec *spec, struct err *e);

/* ---- sandbox.c */
int sandbox_new(struct server *s, struct kind *k, struct sandbox **ret); /* -ENOMEM, -ENOSPC */
int sandbox_watch(struct sandbox *b,
                  struct err *e); /* its channel, and the time it has for the set-up */
/* The request that it is taken for: should it be lost before it runs, another one is. -ENOMEM */
int sandbox_remember(struct sandbox *b, const void *bytes, size_t size);
void sandbox_take(struct sandbox *b, const struct sandbox_spec *spec, uint64_t arrived, bool pooled);
bool sandbox_alive(const struct sandbox *b);
void sandbox_discard(struct sandbox *b, const struct err *e); /* not taken, and never to be */
void sandbox_turn(struct sandbox *b, enum sandbox_state to);
/* The callbacks of an order, which is the sandbox. */
void sandbox_on_cloned(void *order, pid_t pid, int pidfd);
void sandbox_on_failed(void *order, const struct err *e);
void sandbox_on_builder_ended(void *order, bool killed);

/* ---- sandbox_end.c */
/* Unless it has failed before: the first reason is the one that is told. It is killed. */
__attribute__((format(printf, 3, 4))) void sandbox_fail(struct sandbox *b, int code,
                                                        const char *fmt, ...);
void sandbox_kill(struct sandbox *b);     /* one that is not being killed */
void sandbox_kill_now(struct sandbox *b); /* what there is of one that is */
void sandbox_end_if_over(struct sandbox *b);
