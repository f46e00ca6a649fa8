/* handle.h - the agent's handle on its launcher, as its files see it: launcher.c is its start and end, handle_ask.c what
 * goes, handle_hear.c what comes. */
#pragma once
#include "base/map.h"
#include "cgroup/freezer.h"
#include "launcher/launcher.h"
#include "launcher/server.h"

struct launcher {
    int sock, pidfd;
    pid_t pid;
    struct names names;
    struct cgroups cgroups;
    struct freezer *freezer;
    char *warning;
    struct loop *loop;
    struct loop_watch watch;
    struct launcher_ops ops;
    void *user;
    bool lost;
    struct map known;   /* ids between create and failed or exit */
    struct list parked; /* struct parked */
    struct list outbox; /* struct request */
    size_t outbox_bytes;
    uint8_t *received; /* MESSAGE_MAX */
};

struct known {
    struct map_node node;
    char id[64];
};

struct parked { /* what it says of one kind */
    struct list link;
    struct buffer key; /* the kind's encoding */
    char *runtime_root;
    unsigned count;
};

struct request {
    struct list link;
    size_t size;
    uint8_t data[];
};

/* ---- handle_ask.c */
void handle_flush(struct launcher *l);
bool handle_id_valid(const char *id);

/* ---- handle_hear.c */
void handle_on_socket(struct loop_watch *w, uint32_t events);
void handle_forget(struct launcher *l, struct known *k);
void handle_parked_free(struct parked *p);
