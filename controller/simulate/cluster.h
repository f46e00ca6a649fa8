/* cluster.h - the decision core on virtual time, with nodes that are made of values.
 *
 * The core, with its activator, autoscaler and scheduler, is the one that the controller runs. What is imitated is
 * the rest: a node starts what its Desired names, after a time that is drawn, offers slots as SlotWanted says, and
 * reports each second; one entry, which has the routes as any node but no room for instances, gives a call to a free
 * slot of a routed instance or hands in a ticket; a NodePool's provider makes a node in a time that is drawn, and takes
 * it away at once. Messages take no time. */
#pragma once
#include "simulate/outcome.h"
#include "simulate/trace.h"
#include <stdbool.h>

enum { CLUSTER_NODES_MAX = 10000 };

struct cluster_config {
    uint64_t seed;
    uint32_t nodes; /* that are always there, up to CLUSTER_NODES_MAX; 0: a NodePool's */
    uint32_t node_min, node_max;
    uint64_t node_create; /* ns from its creation to its Hello, the median; deviation 0.4 of its logarithm */
    uint64_t node_memory; /* bytes */
    uint32_t node_cpu;    /* thousandths, overcommit included */
    uint32_t functions;   /* of the trace */
    uint32_t concurrency; /* of all of them */
    uint64_t idle_timeout;
    bool predictive;
    uint64_t start; /* ns: sandbox and runtime, the median; deviation 0.4 of its logarithm */
    uint64_t init;  /* ns: the same of the function's own initialisation; deviation 1.0; 0: none */
    uint64_t turn;  /* ns between two decisions, at least: what comes meanwhile is one turn's */
    uint64_t end;   /* ns of the trace */
};

/* How long an instance takes to start: the same draw for all policies. */
struct draw;
uint64_t cluster_start_time(struct draw *d, uint64_t start, uint64_t init);

/* Runs the trace to its end. -ENOMEM */
int cluster_run(const struct cluster_config *c, struct trace *t, struct outcome *ret);
