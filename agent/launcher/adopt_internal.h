/* adopt_internal.h - an adopted process, shared by adopt.c and adopt_end.c. */
#pragma once
#include "launcher/adopt.h"

enum adopt_state {
    ADOPT_ATTACHING, /* a helper writes its pid into the cgroups */
    ADOPT_RUNNING,
    ADOPT_STOPPING, /* SIGTERM sent, grace running */
    ADOPT_KILLED,
    ADOPT_ENDED, /* its cgroup goes */
    ADOPT_STATES
};

struct adopted {
    struct map_node node;
    struct server *server;
    char id[64], of[64], cgroup[CGROUP_NAME_MAX];
    enum adopt_state state;
    uint64_t arrived, until;
    pid_t pid, helper;
    struct loop_watch process, attach; /* pidfds: its own, the helper's */
    struct loop_timer timer;
    struct err error; /* why it never ran */
    bool started;
    int status; /* -1: not known */
    struct cgroup_total total;
};

/* ---- adopt.c */
void adopted_set_state(struct adopted *a, enum adopt_state to);
void adopted_free(struct adopted *a);

/* ---- adopt_end.c */
void adopted_on_process(struct loop_watch *w, uint32_t events); /* it has ended */
void adopted_kill(struct adopted *a);
void adopted_remove(struct adopted *a); /* what is left of it, and then a */
