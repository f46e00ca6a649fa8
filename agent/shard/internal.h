/* internal.h - the shards' parts as they see each other; shard.h has the whole. */
#pragma once
#include "base/buffer.h"
#include "control.pb-c.h"
#include "pool/pool.h"
#include "pool/slot_hints.h"
#include "router/siblings.h"
#include "shard/gather.h"
#include "shard/letter.h"
#include "shard/placement.h"
#include "shard/ports.h"
#include "shard/shard.h"
#include "shard/wanted.h"

#include <pthread.h>

struct gateway;
struct log_writer;
struct peer_server;
struct report;
struct routes;

typedef Rouse__Control__V1__AgentMessage AgentMessage;
typedef Rouse__Control__V1__ControllerMessage ControllerMessage;
typedef Rouse__Control__V1__Epoch Epoch;

struct shard { /* of its own loop, but for what says otherwise */
    struct shards *all;
    unsigned index;
    struct loop *loop;
    struct letterbox box;
    struct report *report;
    struct routes *routes;
    struct pool *pool;
    struct gateway *gateway;
    struct peer_server *peer, *inner; /* inner: for the siblings; NULL: there are none */
    struct siblings siblings;         /* constant */
    struct slot_hints *hints;
    struct { /* what it knows of the session */
        uint64_t connection;
        bool hello, welcome;
    } up;
    struct list code_wishes;
    unsigned draining; /* servers that still finish requests */
    bool ended;        /* its parts are gone */
    bool last;         /* so may the loop */
    /* the main loop's */
    pthread_t thread;
    bool running;
    char inner_address[128];
};

/* The last epochs that a shard has told to have applied. */
struct acks {
    Epoch desired, routes;
    bool has_desired, has_routes;
};
struct hello_part {
    uint8_t *bytes;
    size_t size;
};
struct up {
    enum up_state { UP_AWAY, UP_GATHERING, UP_OPEN } state;
    uint64_t connection; /* counts them: what was said to an earlier one is not said to this one */
    unsigned missing;
    struct hello_part hello[LOOPS_MAX];
    struct acks acks[LOOPS_MAX];
    struct acks told;
    struct list backlog; /* what came from shards whose part of Hello is here, until that is said */
};

struct shards {
    struct shards_config config;
    struct letterbox box; /* the main loop's */
    struct shard *shards;
    const char *inner_addresses[LOOPS_MAX];
    struct slot_hints *hints[LOOPS_MAX];
    char secret[33];
    struct log_writer *log_writer;
    struct session *session;
    struct metrics_server *metrics;
    struct up up;
    struct placement placement;
    struct ports ports;
    struct wanted wanted;
    Epoch desired; /* the last one that was dealt out */
    bool has_desired;
    struct gather reports, texts;
    struct list log_gathers;
    unsigned log_gather_count;
    struct map boxes; /* whose sandbox it is, by id */
    struct list code_requests;
    unsigned draining, unfinished; /* shards */
    bool waiting;                  /* shards_end() runs the loop for them */
    void (*on_drained)(void *user);
    void *drained_user;
};

static inline bool is_main(const struct shard *s)
{
    return s->index == 0;
}
static inline bool same_epoch(const Epoch *a, const Epoch *b)
{
    return a->incarnation == b->incarnation && a->sequence == b->sequence;
}
static inline struct shard *shard_at(struct shards *all, unsigned index)
{
    return &all->shards[index];
}

/* ---- up.c */
int up_send(void *user, const AgentMessage *m); /* the shard's loop, whose user it is */
void up_send_backlog(struct shards *all);
void up_away(struct shards *all);
/* What a shard was told cannot be made true there. */
void up_broken(struct shard *s, const char *why); /* the shard's loop; `why` is static */
void up_done(struct shards *all);

/* ---- hello.c */
void hello_begin(void *user);
void hello_forget(struct shards *all); /* the parts that are here */

/* ---- down.c */
int down_message(void *user, const ControllerMessage *m, const char **ret_why);
void down_welcome(void *user, const Rouse__Control__V1__Welcome *m);
void down_away(void *user);
/* A slot that one of the loops leased, and whose grant met nobody at this one. The shard's loop, whose user it is. */
void down_slot_unused(void *user, uint64_t slot);

/* ---- boxes.c: sandboxes and the launcher */
extern const struct launcher_ops boxes_launcher_ops;        /* user: the shards */
int boxes_create(void *user, const struct sandbox_spec *s); /* the shard's loop */
int boxes_adopt(void *user, const struct sandbox_adoption *a);
int boxes_stop(void *user, const char *id, uint64_t grace_ns);
void boxes_done(struct shards *all);

/* ---- code.c: packages and the cache; the shard's loop */
int code_get(void *user, const char *digest,
             void (*on_ready)(void *user, const char *dir, const struct err *e), void *of);
void code_release(void *user, const char *digest);
void code_forget(void *user, void *of);
void code_shard_done(struct shard *s); /* after its pool */
void code_done(struct shards *all);    /* before the cache */

/* ---- figures.c: reports and metrics of all */
void figures_init(struct shards *all);
void figures_report(void *user);
void figures_done(struct shards *all);

/* ---- merge_logs.c */
void logs_ask(struct shards *all, const Rouse__Control__V1__LogRequest *r);
/* A shard's chunk: true if it is kept for the merge, false if it may go on. */
bool logs_take(struct shards *all, unsigned from, const Rouse__Control__V1__LogChunk *c);
void logs_done(struct shards *all); /* the controller that asked is gone */
