/* builders.h - the launcher's end of its builders: a few that wait, attached, and those at work. Launcher only. */
#pragma once
#include "sandbox/builder.h"
#include "launcher/nursery.h"

#define BUILDERS_MAX 8u /* the ready ones and those on the way, that park_pump() wants */

struct server;
struct zygote;

struct builders {
    struct loop *loop;
    struct nursery *nursery;
    struct server *server;  /* the callbacks' */
    struct zygote *zygote;  /* whose forks they are; NULL: the nursery's */
    struct list ready, all; /* `all`: those that are not ready too */
    unsigned ready_count, coming;
    struct loop_timer again; /* when the nursery had no room */
    unsigned wanted;
    bool ending;
    void (*on_change)(struct builders *b); /* one is ready, or could not become so, or has ended unused */
    /* What became of an order: cloned, failed, both or neither, and then its end. */
    void (*on_cloned)(void *order, pid_t pid, int pidfd);
    void (*on_failed)(void *order, const struct err *e);
    void (*on_ended)(void *order, bool killed);
    void (*on_unused)(struct builders *b, const char *cgroup); /* its cgroup is to be removed */
    unsigned silent;     /* that ended since the last one became ready, and did not say why */
    uint64_t not_before; /* after one could not become ready */
    struct err error;    /* why; code 0: the last one could */
};

struct builder;

void builders_init(struct builders *b); /* loop, nursery and callbacks are set */
void builders_done(struct builders *b); /* kills all; no callback comes any more */
/* So many shall be ready or about to be. */
void builders_want(struct builders *b, unsigned count);
/* One that is ready, with its cgroups' name and limits, or NULL. It takes one order. */
struct builder *builders_take(struct builders *b, char cgroup[CGROUP_NAME_MAX],
                              struct cgroup_limits *ret_limits);
/* -errno: it fails, and its on_ended() comes. */
int builder_order(struct builder *p, const struct builder_order *o, const struct sandbox_spec *spec,
                  const int *fds, size_t n, void *order);
/* Ends it, with what it was about: on_ended() comes. */
void builder_kill(struct builder *p);
