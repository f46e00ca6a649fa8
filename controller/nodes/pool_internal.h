/* pool_internal.h - what the pool*.c files share. */
#pragma once
#include "base/list.h"
#include "nodes/pool.h"

struct pool;
struct member {
    struct map_node node; /* pools.members by name */
    struct list link;     /* pool.members */
    struct pool *pool;
    char name[POOL_NODE_NAME + 1];
    enum pool_member_state state;
    uint64_t since;               /* in this state */
    uint64_t asked;               /* when its creation was asked for, or when a list told of it */
    uint64_t low_since;           /* under the threshold; 0: it is not */
    uint64_t away_since;          /* was there and is not ready; 0: it is */
    uint64_t retry_at;            /* DELETING: after a refusal; 0: the question is under way */
    bool ready;                   /* as of the last decision */
    const struct pool_node *view; /* during a decision; NULL: its agent is not known */
    size_t index;                 /* ... in the input */
};
struct pool {
    struct list link;
    struct pool_spec *spec;
    struct list members;
    bool listed, listing;   /* the provider has told of its nodes; is being asked */
    uint64_t provider_lost; /* since when there is no provider to ask; 0: there is one */
    uint64_t failing_since; /* since when nothing that it was asked worked; 0: something did */
    bool given_up;          /* for good: it only waits to be erased */
    uint64_t list_asked, list_due;
    uint64_t backoff_ns, backoff_until, failed_at; /* 0: no failure that counts */
    uint64_t high_since;
    uint64_t seen_memory, seen_cpu; /* what the last one that joined has; 0: none has */
    char failure[256];              /* the provider's last word, "" after a success */
    enum pool_verb failed_verb;     /* at what */
    bool limited;                   /* at max, though more would be of use */
    bool backing_off;               /* as of the last decision */
};
struct pools {
    struct list all;
    struct map members;
    uint64_t due;
    uint64_t no_removal_until; /* after an addition or a failed removal */
    bool halted;               /* too many nodes are unready */
};

/* ---- pool.c */
struct member *member_find(const struct pools *p, const char *name);
void member_set(struct member *m, enum pool_member_state to, uint64_t now);
void member_free(struct pools *p, struct member *m);
/* Members but those that are being deleted; `staying`: nor drained. */
uint32_t pool_alive(const struct pool *q);
uint32_t pool_staying(const struct pool *q);
void pool_template(const struct pool *q, uint64_t *ret_memory, uint64_t *ret_cpu);
void pool_failed(struct pool *q, uint64_t now, const char *why);
void wish(struct pool_wishes *out, enum pool_verb verb, struct pool *q, const char *node,
          enum pool_why why);
/* Of its nodes' names: begins as they do, and no other pool's is the better one. */
bool pool_names(const struct pools *p, const struct pool *q, const char *node);
void member_delete(struct member *m, uint64_t now, struct pool_wishes *out, enum pool_why why);

/* ---- pool_up.c: what is pending gets nodes, pools that are full get another; whether something still is pending. */
bool pools_up(struct pools *p, const struct pool_input *in, uint64_t now, struct pool_wishes *out);
/* ---- pool_down.c: nodes that are not needed go. */
void pools_down(struct pools *p, struct pool_input *in, uint64_t now, bool pending,
                struct pool_wishes *out);

static inline double node_share(const struct pool_node *v)
{
    double m = v->allocatable_memory ? (double)v->reserved_memory / (double)v->allocatable_memory : 1;
    double c = v->allocatable_cpu ? (double)v->reserved_cpu / (double)v->allocatable_cpu : 1;

    return m > c ? m : c;
}
