/* zygote_host.h - the launcher's side of its zygotes, as its parts see each other: zygotes.c knows them all,
 * zygote_host.c is the life of one, zygote_exec.c its process until it is the interpreter. */
#pragma once
#include "launcher/server.h"
#include "launcher/zygotes.h"

struct zygote {
    struct list link; /* in server.zygotes */
    struct server *server;
    struct loop *loop;
    struct builders builders;
    char *runtime_root;
    char **argv, **env;
    char cgroup[CGROUP_NAME_MAX]; /* "": none */
    pid_t pid;                    /* 0: none */
    bool serves;
    bool tried;                               /* it has served, or ended without */
    struct loop_watch process, orders, words; /* pidfd, socket, its stdout and stderr */
    struct loop_timer timer;                  /* to start it, or the time it has for that */
    uint64_t pause, serves_since;
    uint32_t serial;
    struct buffer said;
};

/* ---- zygote_host.c */
void zygote_init(struct zygote *z); /* starts it on the next turn; the kind's parts are set */
void zygote_end(struct zygote *z);  /* at once */

/* ---- zygote_exec.c */
/* The files of its own cgroups that it writes itself into. */
struct zygote_place {
    int procs[CGROUP_TREES_MAX + 1];
    size_t n;
};
/* In a fork of the launcher: what is wrong goes to `output`. */
_Noreturn void zygote_exec(const struct zygote *z, const struct zygote_place *place, int output,
                           int orders);
