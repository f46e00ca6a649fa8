/* pool.h - how many nodes each NodePool should have, and which of them go.
 *
 * The brain's thread, pure: a view of the nodes and of what found no room in,
 * wishes out. After Kubernetes' Cluster Autoscaler; what it does is in
 * controller/nodes/README.md. A member is a node that a pool has asked for or
 * was told of by its provider; it becomes a node of the platform when its
 * agent says Hello under the member's name. */
#pragma once
#include "nodes/pool_spec.h"

#include "base/map.h"

enum pool_member_state {
    MEMBER_CREATING, /* asked of the provider, not answered */
    MEMBER_COMING,   /* made; its agent has not been heard of */
    MEMBER_JOINED,
    MEMBER_DRAINING,
    MEMBER_DELETING,
    MEMBER_STATE_COUNT
};
const char *pool_member_state_name(enum pool_member_state s);

enum {
    POOL_NODE_NAME = 63,
    POOLS_EMPTY_AT_ONCE = 10, /* empty nodes that go at a time */
    POOLS_UNREADY_PERCENT = 45,
    POOLS_UNREADY_COUNT = 3, /* more than this and that: everything stops */
};
#define POOL_TICK_NS (1000ull * 1000 * 1000)

/* What is to run: instances of one revision. */
struct pool_need {
    uint64_t memory, cpu;
    uint32_t count;
    const void *who; /* the caller's, for suits_*() */
};
struct pool_node { /* a node as it is */
    const char *name;
    bool ready, open; /* its agent is connected; new instances may come */
    bool gone;        /* it left: it is not missed */
    uint64_t allocatable_memory, allocatable_cpu, reserved_memory, reserved_cpu;
    size_t instances; /* with those that are ending */
};
struct pool_input {
    struct pool_node *nodes; /* `open` of those that are chosen to go is cleared */
    size_t node_count;
    const struct pool_need *pending; /* found no room */
    size_t pending_count;
    /* Called for nodes that might be emptied: its instances, good until the next call. */
    const struct pool_need *(*needs_of)(void *user, size_t node, size_t *ret_count);
    /* One instance of each function that has none: what must be able to start from zero. */
    const struct pool_need *(*starts)(void *user, size_t *ret_count);
    /* Runtime, labels, taints, architecture; not the size. */
    bool (*suits_node)(void *user, const void *who, size_t node);
    bool (*suits_template)(void *user, const void *who, const struct pool_spec *pool);
    uint64_t (*random)(void *user); /* for names */
    void *user;
};

enum pool_verb {
    POOL_CREATE, /* of the provider: the next three */
    POOL_DELETE,
    POOL_LIST,
    POOL_DRAIN, /* cordon it and move what it has */
    POOL_OPEN,  /* no longer */
    POOL_GONE,  /* the marked pool has no node left, or, with a reason, no provider */
};
enum pool_why { /* few: a label of a figure */
                POOL_WHY_NONE,
                POOL_WHY_PENDING,
                POOL_WHY_FULL,
                POOL_WHY_MIN,
                POOL_WHY_EMPTY,
                POOL_WHY_UNUSED,
                POOL_WHY_NEEDED,
                POOL_WHY_STUCK,
                POOL_WHY_LOST,
                POOL_WHY_ABSENT,
                POOL_WHY_AGAIN,
                POOL_WHY_DELETED,
                POOL_WHY_DELETED_STUCK,
                POOL_WHY_NO_PROVIDER,
                POOL_WHY_GIVEN_UP,
                POOL_WHYS
};
const char *pool_why_name(enum pool_why w); /* "Pending" */
const char *pool_why_text(enum pool_why w); /* for a person; NONE: "" */
struct pool_wish {
    enum pool_verb verb;
    struct pool_spec *pool;        /* good until the pools change */
    char node[POOL_NODE_NAME + 1]; /* LIST, GONE: "" */
    enum pool_why why;
};
struct pool_wishes { /* zero-initialise; free(items) */
    struct pool_wish *items;
    size_t count, capacity;
};

struct pool_status {
    uint32_t nodes, ready, desired;
    bool ok, limited, backing_off, halted;
    char reason[32], message[256]; /* of Ready */
    char limited_reason[32], limited_message[128];
};

struct pools;
int pools_new(struct pools **ret);
struct pools *pools_free(struct pools *p);
bool pools_any(const struct pools *p);

/* As registry_observer.on_pool. */
int pools_set(struct pools *p, struct pool_spec *old, struct pool_spec *now, uint64_t at);
/* A provider's answer: `error` and `message` as there; `nodes` of a LIST. */
struct pool_answer {
    enum pool_verb verb; /* CREATE, DELETE, LIST */
    const char *pool, *node;
    int error;
    const char *message;
    const char (*nodes)[POOL_NODE_NAME + 1];
    size_t node_count;
};
void pools_answer(struct pools *p, const struct pool_answer *a, uint64_t now);
/* Something changed that decides: the next pools_due() is now. */
void pools_poke(struct pools *p);
uint64_t pools_due(const struct pools *p); /* UINT64_MAX: nothing to do */
void pools_decide(struct pools *p, struct pool_input *in, uint64_t now, struct pool_wishes *out);
/* Might a node of some pool, new, take one of these? */
bool pools_could(const struct pools *p, const struct pool_need *need, const struct pool_input *in);

/* Each pool and how it stands, after pools_decide(). */
void pools_each(struct pools *p,
                void (*on)(void *user, const struct pool_spec *spec, const struct pool_status *s),
                void *user);
/* "" or the pool whose member the node is. */
const char *pools_of_node(const struct pools *p, const char *node);
