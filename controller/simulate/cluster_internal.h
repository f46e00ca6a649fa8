/* cluster_internal.h - what the cluster*.c files share. */
#pragma once
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "brain/core.h"
#include "simulate/cluster.h"
#include "simulate/draw.h"
#include "simulate/events.h"

/* Virtual time begins here: the core takes 0 for "never". */
#define CLUSTER_BEGIN (1000 * NS_PER_S)

enum cluster_event {
    CLUSTER_READY,   /* of an instance: it has started */
    CLUSTER_DONE,    /* ... a call has ended */
    CLUSTER_OFFER,   /* ... it may have slots that are wanted */
    CLUSTER_LEASE,   /* extra: a slot's id; its lease is over */
    CLUSTER_STOPPED, /* ... it has drained */
    CLUSTER_REPORT,  /* of a node */
    CLUSTER_ACK,     /* all nodes have the routes that were sent */
    CLUSTER_NODE,    /* of a node: it has come */
    CLUSTER_ANSWER   /* ... extra: an enum provider_verb, answered */
};

struct sim_node {
    char name[64];
    uint64_t peer;    /* the index and one */
    struct list told; /* instances with something to report */
    uint64_t routes;  /* sequence */
    bool reports;     /* one is on its way */
    bool there, gone; /* its agent has said Hello; its machine is no more */
    uint64_t asked;   /* for it */
    uint32_t instances;
};
struct sim_function {
    char key[24];
    uint32_t memory;
    struct list free; /* routed instances with a free slot; the one that was used last is the first */
    struct list all, levels;
};
struct sim_level { /* SlotWanted of a function at a node */
    struct list link;
    struct sim_node *node;
    uint32_t wanted;
};
struct sim_instance {
    struct map_node by_id;
    char id[64];
    struct sim_function *function;
    struct sim_node *node;
    struct list free_link, all_link, told_link;
    struct sim_level *level;
    uint32_t slots, in_flight, offered;
    bool ready, routed, removed, stopping;
    uint64_t created, ready_at, idle_since;
    uint64_t busy, busy_at; /* ns with work, counted to busy_at */
    uint64_t area;          /* calls x ns since the last report */
    uint32_t begun;         /* since then */
    unsigned quiet;         /* reports without anything */
};
struct sim_call {
    struct map_node by_ticket;
    uint64_t ticket;
    uint32_t function, attempt;
    uint64_t at, duration;
    bool cold;
};
struct sim_slot {
    struct map_node by_id;
    uint64_t id;
    struct sim_instance *instance;
};

struct cluster {
    struct cluster_config config;
    struct core *core;
    struct draw draw;
    struct events events;
    uint64_t now, next_turn, next_slot, next_ticket, incarnation;
    bool touched; /* the core has something to decide */
    bool ack_due;
    struct sim_node **nodes; /* all there ever were; the first is the entry */
    size_t node_count, node_capacity, nodes_now;
    struct sim_function *functions;
    struct map instances, calls, slots;
    struct outcome *out;
};

/* ---- cluster.c */
/* One message of a node's agent. */
void cluster_tell(struct cluster *c, const struct sim_node *n, const AgentMessage *m);
void cluster_carry_out(struct cluster *c, struct actions *a);

/* ---- cluster_pool.c */
struct sim_node *node_make(struct cluster *c, const char *name);
/* The first nodes: those that stay, or the pool's. Before any function: what is applied then is one message for all. */
void nodes_begin(struct cluster *c);
void provider_asked(struct cluster *c, const struct provider_request *q);
void provider_answers(struct cluster *c, struct sim_node *n, enum provider_verb verb);
void node_comes(struct cluster *c, struct sim_node *n);
void nodes_end(struct cluster *c); /* of the time: those that are there have been until then */

/* ---- cluster_node.c */
void node_hello(struct cluster *c, struct sim_node *n);
void node_message(struct cluster *c, struct sim_node *n, const ControllerMessage *m);
void node_report(struct cluster *c, struct sim_node *n);
void nodes_acknowledge(struct cluster *c);
void instance_ready(struct cluster *c, struct sim_instance *i);
void instance_stopped(struct cluster *c, struct sim_instance *i);
void instance_done(struct cluster *c, struct sim_instance *i);
void instance_offer(struct cluster *c, struct sim_instance *i);
void instance_begin(struct cluster *c, struct sim_instance *i, uint64_t duration);
void lease_over(struct cluster *c, uint64_t slot);
void instance_count(struct cluster *c, struct sim_instance *i); /* brings its counts up to now */

/* ---- cluster_call.c */
void call_arrives(struct cluster *c, const struct trace_call *t);
void call_answered(struct cluster *c, uint64_t ticket, const struct grant *g);
