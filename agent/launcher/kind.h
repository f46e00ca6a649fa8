/* kind.h - the kinds of sandboxes that the launcher knows: those that are kept parked, and those that somebody
 * waits for. Launcher only. */
#pragma once
#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "base/error.h"
#include "launcher/launcher.h"

struct server;

struct kind {
    struct map_node node; /* unless it is one wish's alone */
    struct list link;
    struct server *server;
    struct buffer key; /* its encoding */
    struct sandbox_kind kind;
    const char *const *lists[3]; /* what the decoded `kind` owns */
    int seccomp_fd;
    unsigned wanted; /* parked at all times */
    struct list parked, waiting;
    unsigned parked_count, waiting_count, building;
    unsigned told; /* of parked_count, to the agent */
    uint64_t failed_at, not_before, back_off;
    uint64_t asked_at; /* kept ready since it was asked for; 0: not for that */
};

/* Finds it or makes it. Where none is made ahead a sandbox is built for one wish and is of no use to another. */
int kind_get(struct server *s, const struct sandbox_kind *of, struct kind **ret, struct err *e);
void kind_free_if_unused(struct kind *k);
void kind_count_parked(struct kind *k, int by); /* and tells the agent, a little later */
void kinds_on_news(struct loop_timer *t);       /* park.news */
void kind_drop_surplus(struct kind *k);         /* what is parked and not wanted any more ends */
/* Keeps so many ready as the launcher was configured for: what was asked for once will be asked for again. */
void kind_learn(struct kind *k, uint64_t now);
