/* core.h - the decision core: (event, now) in, actions out.
 *
 * Pure: no clock, no socket, no log, no thread; randomness is the incarnation
 * it is given. The brain's thread feeds it, and the unit tests
 * drive it with events. Events change the state at once; core_turn() then
 * decides everything that has become due, once for any number of events, so
 * a crowd of tickets in one turn is one decision. All times are monotonic ns
 * and never go back. */
#pragma once
#include "autoscaler/autoscaler.h"
#include "base/buffer.h"
#include "brain/actions.h"

struct core;

struct core_config {
    uint64_t incarnation;       /* random, of this controller's life; also the seed of names */
    uint64_t queue_deadline_ns; /* 30 s: the longest that a request may wait */
    uint32_t queue_per_function, queue_total;
    uint64_t held_per_function, held_total;
    uint64_t body_limit;
    uint64_t adopt_ns;   /* 2 s after the start nothing shrinks */
    uint64_t lease_ns;   /* 10 s: how long a silent node keeps its instances */
    uint64_t unroute_ns; /* 3 s: how long acknowledgements of an unroute are waited for */
    struct autoscaler_config autoscaler;
    const char *peer_secret, *activator_address; /* told to agents */
};
extern const struct core_config core_defaults;

int core_new(const struct core_config *c, uint64_t now, struct core **ret);
struct core *core_free(struct core *c);

/* ---- events */
/* As registry_observer.on_function. */
void core_function(struct core *c, uint64_t now, struct function *old, struct function *f,
                   struct actions *out);
/* By the node's name; remembered for one that is not there. */
void core_node(struct core *c, uint64_t now, const char *name, const struct node_wanted *w,
               struct actions *out);
/* Forgets a node whose agent is not connected, and what it had. -ENOENT: there is none; -EBUSY: it is connected.
 * `dry_run`: only says which. */
int core_node_delete(struct core *c, uint64_t now, const char *name, bool dry_run,
                     struct actions *out);
/* As registry_observer.on_pool. */
void core_pool(struct core *c, uint64_t now, struct pool_spec *old, struct pool_spec *spec,
               struct actions *out);
/* The answer to an ACTION_PROVIDER. */
void core_provider(struct core *c, uint64_t now, const struct provider_answer *a,
                   struct actions *out);
void core_agent_message(struct core *c, uint64_t now, uint64_t peer, const AgentMessage *m,
                        struct actions *out);
void core_agent_closed(struct core *c, uint64_t now, uint64_t peer, const char *reason,
                       struct actions *out);
/* A ticket of the controller's own front; answered by an ACTION_ANSWER with its id. */
struct core_ticket {
    uint64_t id;              /* never used twice */
    const char *function_key; /* or NULL or "": method, host and path say which */
    const char *method, *host, *path;
    uint64_t waited_ns;
    uint32_t held, attempt;
};
void core_ticket(struct core *c, uint64_t now, const struct core_ticket *t, struct actions *out);
void core_ticket_gone(struct core *c, uint64_t now, uint64_t id);
/* The slot of an answer that came too late for its ticket. */
void core_slot_unused(struct core *c, uint64_t now, const char *instance, uint64_t slot,
                      struct actions *out);

/* The wall clock, for schedules: at least once a minute, since it may be set. */
void core_wall(struct core *c, uint64_t now, uint64_t epoch_ns);
/* The answer to an ACTION_QUERY. One that fails has none: the last one is good for a minute. */
struct core_external {
    const char *key, *text; /* the action's */
    uint32_t metric;
    double value;    /* not negative */
    const char *why; /* there is no answer; NULL: there is */
};
void core_external(struct core *c, uint64_t now, const struct core_external *e, struct actions *out);

/* What an ACTION_HISTORY of an earlier life said last of that function: after core_function(), before the first turn. */
void core_history(struct core *c, uint64_t now, const char *key, const char *text,
                  struct actions *out);
/* The controller ends: an ACTION_HISTORY for each that has changed since its last. */
void core_histories(struct core *c, uint64_t now, struct actions *out);

/* ---- decisions */
void core_turn(struct core *c, uint64_t now, struct actions *out);
uint64_t core_due(const struct core *c); /* when core_turn() must run even without an event */

/* ---- looking in */
void core_metrics(struct core *c, uint64_t now, struct buffer *out);
bool core_has_function(struct core *c, const char *key);
/* The channels of the nodes that are there: calls on_peer for each. */
void core_peers(struct core *c, void (*on_peer)(void *user, uint64_t peer), void *user);

struct core_counts { /* of a function, for tests */
    uint32_t instances, ready, leaving, waiting, requested;
};
bool core_count(struct core *c, const char *key, struct core_counts *ret);
/* -EINVAL with what is wrong in *ret_what if the state contradicts itself. */
int core_check(struct core *c, const char **ret_what);
