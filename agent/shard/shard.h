/* shard.h - an agent on several loops: a shard is to its agent what an agent is to the controller.
 *
 * Every loop has a shard: a gateway, a peer server, routes, a pool with its
 * instances, slots, links and logs, and counters, all of them the modules that a
 * single loop runs, and all of them the loop's own. No request takes a lock or
 * writes a cache line that another loop's requests need; the kernel spreads the
 * clients over the loops (SO_REUSEPORT), placement.c the instances.
 *
 * Shard 0 lives on the main loop, which also owns what there is one of: the
 * session with the controller, the launcher, the code cache, /metrics, signals.
 * What crosses between it and the other loops goes by letter (letter.h), with
 * copies, in order; where the receiver is on the caller's own loop it is called.
 * With one loop nothing is split, merged or asked for: the same calls as ever.
 *
 *   letter      work for another loop
 *   make, life  shards made and listening; started, drained, ended
 *   boxes, code the pools' bridges to the launcher and to the code cache
 *   up          messages to the controller; acks when all have applied
 *   hello       one Hello, gathered from all
 *   down        messages from the controller to the shards that they are for
 *   placement   which shard an instance goes to
 *   ports       where the platform's other processes listen, for the launcher
 *   wanted      how many slots the activator still wants, counted once for all shards
 *   gather      the same question to all shards, for reports and metrics
 *   merge_*     reports, metrics and logs of all made one
 *
 * - Desired is split by instance; routes are applied by every shard to its own
 *   copy, the delta being acknowledged when the last one has.
 * - Ids of slots and tickets have the shard above LOOP_SHIFT, so that grants and
 *   refusals find their way with no table. The limits of tickets are divided.
 * - SlotWanted goes to all. A slot that is offered when enough were is given
 *   back at once.
 * - A request whose shard has no slot for it tries the siblings that hint at one,
 *   by a peer hop over a Unix socket, before other nodes and before a ticket
 *   (router/siblings.h). A sibling passes nothing on, so that nothing circles.
 * - The launcher was forked before the threads, which never fork.
 *
 * On the main loop, unless said otherwise. */
#pragma once
#include "base/error.h"
#include "router/gateway.h"
#include "router/session.h"

struct shards;
struct code_cache;
struct launcher;
struct metrics_server;
struct reclaim;

struct shards_config { /* what is pointed to lives until shards_free() */
    unsigned count;    /* 1 to LOOPS_MAX */
    struct loop *loop; /* the main loop */
    struct launcher *launcher;
    struct runtimes *runtimes;
    struct code_cache *code;
    const char *state_dir, *node;
    const char *gateway_address, *peer_address;
    const char *controller, *api; /* the addresses that it dials */
    bool allow_gateways;          /* instances may call the nodes' gateways */
    uint64_t queue_deadline_ns;
    uint64_t freeze_after_ns; /* 0: never */
    const char *memory_cgroup; /* what limits all instances together, as memory_look() has it; NULL: none */
    struct reclaim *reclaim; /* NULL: none */
    unsigned templates;      /* kept at most, in all */
    struct http_timeouts clients;
    void (*on_rejected)(void *user, const char *reason);
    void *user;
};
/* Makes all shards and listens; *e names the loop and what it could not. */
int shards_new(const struct shards_config *c, struct shards **ret, struct err *e);
void shards_gateway_address(const struct shards *s, char out[128]);
void shards_peer_address(const struct shards *s, char out[128]);
/* The other loops' threads. */
int shards_start(struct shards *s, struct err *e);

/* The session's ops; its user is the shards. */
extern const struct session_ops shards_session_ops;
void shards_set_session(struct shards *s, struct session *session);
/* A metrics server's collect(), with the shards as user. */
void shards_collect_metrics(void *user);
void shards_set_metrics(struct shards *s, struct metrics_server *m);

/* All stop taking new requests and finish what runs until the same deadline. */
void shards_drain(struct shards *s, uint64_t deadline_ns, void (*on_drained)(void *user), void *user);
/* Stops every instance (10 s at most), takes all parts down, joins the threads. Runs the main loop
 * meanwhile: launcher, code cache and session are still needed. Twice is fine, NULL too. */
void shards_end(struct shards *s);
/* Last, when the main loop's mailbox is empty. */
struct shards *shards_free(struct shards *s);
