/* nodes.h - the nodes as the controller knows them: who they are, whether they are there, what is
 * reserved on them.
 *
 * The brain's thread, pure. A node is Ready while its agent's channel is
 * open and has said Hello, NotReady when the channel closed, Lost when the
 * lease of its instances is over. Its instances and what was sent to it are
 * the core's affair; the fields for them lie here because they end with it. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "control.pb-c.h"
#include "scheduler/scheduler.h"
#include <stdbool.h>

enum node_state { NODE_NOT_READY, NODE_READY, NODE_LOST, NODE_STATE_COUNT };
const char *node_state_name(enum node_state s); /* "NotReady", "Ready", "Lost" */

enum {
    NODE_NAME_MAX = 63,
    NODE_TEXT_MAX = 128, /* addresses, architecture, version */
    NODE_RUNTIMES_MAX = 64,
    NODE_LABELS_MAX = TRAITS_MAX,
    NODE_TAINTS_MAX = TRAITS_MAX,
};

/* Who keeps a node from getting more. Each takes back his own alone. */
enum node_holder { NODE_HELD_BY_USER = 1, NODE_HELD_BY_POOL = 2 };

struct node {
    char name[NODE_NAME_MAX + 1];
    struct map_node by_name, by_peer;
    uint64_t peer; /* the channel; 0: none */
    uint64_t incarnation;
    char version[NODE_TEXT_MAX + 1];
    char gateway_address[NODE_TEXT_MAX + 1], peer_address[NODE_TEXT_MAX + 1];
    struct node_traits traits;
    uint64_t allocatable_memory, allocatable_cpu; /* bytes, thousandths */
    uint64_t reserved_memory, reserved_cpu;
    uint64_t leaving_memory, leaving_cpu; /* the part of it that is about to be given back */
    unsigned cordoned, draining;          /* by whom: bits of enum node_holder */
    bool leaving;                         /* its agent said that it ends */
    bool machine_gone;                    /* its pool has removed it: nobody waits for it */
    enum node_state state;
    uint64_t since_ns; /* in this state */
    /* the core's */
    struct nodes *of;
    struct placement_node place;  /* what the scheduler knows of it */
    struct list instances, added; /* all; those that its Desired has not yet named */
    size_t instance_count;
    struct list changed_link;           /* is to be published */
    uint64_t promised_memory;           /* about to be free, and for whom it will be; this turn */
    bool suspected;                     /* silent for so long that others take over what waits */
    struct list dirty_link;             /* has a Desired to be sent */
    uint64_t desired_sequence;          /* sent */
    bool desired_full;                  /* the next one replaces everything */
    struct list fresh_link;             /* waits for all routes */
    bool routes_due;                    /* has not been sent the routes since its Hello */
    bool routes_kept;                   /* serves by those of another controller's life */
    uint64_t routes_sent, routes_acked; /* sequences; 0: none of this incarnation */
    char **removed;                     /* instance ids for the next delta */
    size_t removed_count;
};

struct nodes;
int nodes_new(struct nodes **ret);
struct nodes *nodes_free(struct nodes *n);

/* A Hello's node, Ready, made if new. A node of that name with another channel is taken over: its
 * old channel comes back in *ret_replaced (else 0) for the caller to close. -EINVAL with *ret_why
 * (static), which the agent is told. */
int nodes_hello(struct nodes *n, uint64_t peer, const Rouse__Control__V1__Hello *h, uint64_t now,
                struct node **ret, uint64_t *ret_replaced, const char **ret_why);
struct node *nodes_of_peer(struct nodes *n, uint64_t peer); /* NULL: has not said Hello */
struct node *nodes_find(struct nodes *n, const char *name);
void nodes_closed(struct nodes *n, struct node *node, uint64_t now); /* Ready -> NotReady */
void nodes_lost(struct node *node, uint64_t now);                    /* NotReady -> Lost */
void nodes_forget(struct nodes *n, struct node *node);               /* Lost and empty: freed */
size_t nodes_count(const struct nodes *n);
struct node *nodes_at(const struct nodes *n, size_t i); /* in the order they came */

/* May new instances come here? */
static inline bool node_open(const struct node *n)
{
    return n->state == NODE_READY && !n->leaving && !n->cordoned && !n->draining;
}
/* Where instances go: knows every node that was said Hello to. */
struct placement_index *nodes_index(struct nodes *n);
size_t nodes_in_state(const struct nodes *n, enum node_state s);
static inline struct node *node_of_place(const struct placement_node *p)
{
    return (struct node *)((char *)(uintptr_t)p - offsetof(struct node, place));
}
/* After a change of cordoned, draining or leaving; everything else here calls it itself. */
void node_moved(struct node *node);

bool node_has_runtime(const struct node *node, const char *runtime);
void node_reserve(struct node *node, uint64_t memory, uint64_t cpu);
void node_release(struct node *node, uint64_t memory, uint64_t cpu);
int node_removed(struct node *node, const char *instance); /* one more id for the next delta */
void node_removed_clear(struct node *node);
