/* core_internal.h - the state of the decision core, shared by the core_*.c files and by nobody
 * else.
 *
 *   core.c            life, the turn and what is due
 *   core_route.c      paths to functions, conflicts
 *   core_function.c   functions, revisions
 *   core_status.c     what is said of a function
 *   core_agent.c      Hello, reports, acks, lost nodes
 *   core_instance.c   instances: how they are made, their states
 *   core_leave.c      ... and how they go
 *   core_crash.c      ... and what it means that they fail
 *   core_tally.c      ... and how many there are
 *   core_text.c       what others sent, fit to be shown
 *   core_slot.c       slots that agents have leased to the activator
 *   core_ticket.c     tickets, grants
 *   core_sample.c     load, the autoscaler's tick
 *   core_history.c    idle times, kept beyond this life
 *   core_gauge.c      what instances use, and report of themselves
 *   core_scale.c      how many
 *   core_shrink.c     who leaves
 *   core_place.c      where, and whose turn it is
 *   core_room.c       who makes way when all is full
 *   core_drain.c      cordon and drain
 *   core_pool.c       node pools
 *   core_kind.c       which of them no node can tell apart
 *   core_sync.c       Desired, Routes, SlotWanted
 *   core_spread.c     which nodes are told of the routes when
 *   core_publish.c    objects for the API
 *   core_note.c       what happened, for people
 *   core_metrics.c    figures; core_pool_metrics.c: of pools */
#pragma once
#include "http/route_table.h"
#include "activator/activator.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/quantity.h"
#include "brain/core.h"
#include "instance_state.h"
#include "nodes/nodes.h"
#include "nodes/pool.h"
#include "wire/gauge.h"

#include <errno.h>
#include <string.h>

enum {
    INSTANCE_ID_MAX = 63,
    INSTANCE_MESSAGE_MAX = 1024,
    CHANGES_MAX = 8192, /* of routes, kept for agents that come back */
    SLOTS_MAX = 100000, /* leased slots that are kept */
    NOTE_TEXT = 640,
};
#define SAMPLE_NS      NS_PER_S /* autoscaler.md: 1 s buckets, 2 s tick */
#define TICK_SAMPLES   2
#define SLOT_KEEP_NS   (5 * NS_PER_MS)   /* one that nobody waits for: its node cannot use it */
#define STATUS_NS      (100 * NS_PER_MS) /* between two status writes of a function */
#define DEAD_NS        (30 * NS_PER_S)
#define BACKOFF_NS     (10 * NS_PER_S)
#define BACKOFF_MAX_NS (300 * NS_PER_S)
#define SETTLED_NS                                                                                 \
    (10 * NS_PER_S) /* an instance that was ready this long did not crash in a loop */
#define SUSPECT_NS                                                                                 \
    NS_PER_S /* instances of a node silent this long do not count for waiting requests */
#define FORGET_NODE_NS (600 * NS_PER_S)
#define UPDATE_PATIENCE_NS                                                                         \
    (10 * NS_PER_S) /* a new revision takes over with what is ready after that */
#define SQUEEZE_NS                                                                                 \
    (5 * NS_PER_S) /* an update that finds no room takes it from the old revision   \
                                   */
#define CROWDED_NS       (30 * NS_PER_S) /* with no idle instance, before one that is at work leaves */
#define REPORT_NS        (2500 * NS_PER_MS) /* a node's load report is good for */
#define LOAD_MAX         1e6                /* requests that a node says to run of one function */
#define RUN_NS           (10 * NS_PER_S)    /* after which what calls took counts for half */
#define START_GUESS_NS   (100 * NS_PER_MS)  /* of a revision that was never seen to start */
#define EXTERNAL_NS      (15 * NS_PER_S)    /* between two questions for an external metric */
#define EXTERNAL_GOOD_NS (60 * NS_PER_S)    /* its answer is good for */

enum refusal {
    REFUSED_NOT_FOUND,
    REFUSED_METHOD,
    REFUSED_QUEUE_FULL,
    REFUSED_NO_CAPACITY,
    REFUSED_DEADLINE,
    REFUSED_CRASH_LOOP,
    REFUSED_INIT_FAILED,
    REFUSED_COUNT
};

/* Why an instance found no node. */
enum unplaced {
    UNPLACED_NO_NODE,  /* none takes new ones */
    UNPLACED_FULL,     /* now */
    UNPLACED_UNSUITED, /* none would do even when it is empty */
    UNPLACED_COUNT
};

/* Why an instance is on its way out. */
enum leaving {
    LEAVING_NOT,
    LEAVING_UNROUTED, /* no endpoint any more; waits for the agents' acks */
    LEAVING_REMOVED,  /* no longer in its node's Desired: drains and stops */
};

struct tally {                             /* of a revision's instances */
    uint32_t counted, ready, suspect, all; /* suspect: of the counted; all: those that drain, too */
    uint32_t moving, settled;              /* on draining nodes; ready elsewhere (no suspects) */
    uint32_t starting;                     /* not yet ready (no suspects) */
    uint32_t running, serving; /* calls; instances that do, and whose node is not silent */
};

struct fn;
struct revision {
    struct list link; /* fn.revisions, newest first */
    struct fn *fn;
    char id[REVISION_TEXT];
    struct function *spec; /* of this revision; foreign: of the function now */
    bool foreign;          /* known from an agent only: runs, but cannot be started */
    struct list instances;
    struct tally tally; /* while `tally_known`, and before tally_until: then a silent node becomes suspect */
    bool tally_known;
    uint64_t tally_until;
    uint32_t wanted;        /* instances, decided */
    uint32_t deficit;       /* to be placed this turn */
    uint32_t unplaced;      /* of them without a node */
    uint32_t excess;        /* that would leave, had they no work */
    uint64_t crowded_since; /* none of them was idle; 0: it is not so */
    bool impossible;        /* ... and no node could ever take one */
    uint64_t unplaced_since;
    struct list roomless_link; /* core.roomless: once `unplaced`, until that is found to be over */
    uint64_t ready_since;      /* the first ready instance of an update; 0: none */
    uint64_t start_ns;         /* from its placement until it is ready, a mean; 0: not known */
    /* crash loop */
    uint32_t start_failures, crashes; /* in a row: before it was ready; soon after */
    uint64_t backoff_ns, retry_at;    /* 0: none */
    bool init_failed;
    struct list backoff_link;
    char reason[32];
    char message[256];
};

struct presence { /* a function on a node */
    struct node *node;
    uint32_t instances;
    uint32_t staying;                    /* core_shrink.c's */
    uint64_t wanted_to;                  /* the peer that was told last */
    uint32_t wanted_sent;                /* the level of SlotWanted there, 0 at first */
    char wanted_revision[REVISION_TEXT]; /* ... and of which revision */
    bool offered;                        /* a slot came since it was sent */
    /* reported */
    double concurrency, requests; /* running; begun a second */
    uint64_t reported_at;
};

struct external { /* what a METRIC_EXTERNAL said last */
    double value;
    uint64_t at; /* 0: nothing yet */
};

struct fn {               /* a function */
    struct map_node node; /* core.functions by spec->key */
    struct function *spec;
    bool gone;                              /* finalised; its last instances are draining */
    bool found;                             /* was there when the controller started */
    uint64_t delete_sequence, delete_until; /* the Routes that unrouted it; 0: not yet sent */
    bool finalized;
    struct list delete_link; /* core.deleting */
    struct list revisions;
    struct revision *active, *latest;
    struct activator_queue queue;
    struct list slots;         /* leased to the activator and not yet granted */
    struct presence *presence; /* in the order of the nodes' place.order */
    size_t presence_count;
    /* scaling */
    struct autoscaler *scaler; /* while it is sampled, else NULL */
    struct autoscaler_decision decision;
    double panic;               /* concurrency over the panic window */
    uint32_t requested;         /* scale_to() alone sets it */
    enum autoscaler_reason why; /* it was set last, and when; 0: never */
    uint64_t scaled_at, scaled_s;
    enum autoscaler_reason limit; /* what held the last decision: MIN, MAX, LIMITED, or COUNT */
    uint32_t noted;               /* of `requested`: by note_scaled() */
    uint32_t initial; /* instances of a new revision before its first request; 0: that is over */
    uint64_t initial_until; /* when it is; 0: they are not there yet */
    uint32_t queue_before;  /* at the last sample */
    /* where all is busy: what calls take, and since when nobody was served at once */
    double run_area, run_begun; /* seconds of calls, and calls, as reported; halved at run_at */
    uint64_t run_at;
    uint64_t waited_from, freed_at;
    struct list crowd_link; /* core.crowded: looked at again at crowd_at */
    uint64_t crowd_at;
    uint64_t last_active;
    uint64_t last_called;           /* of last_active only what were requests; 0: never */
    struct idle_histogram *history; /* scaling.predictive, else NULL */
    bool history_new;               /* since it was given to the store */
    uint64_t history_at;            /* when that was; 0: never */
    struct external *externals;     /* as scaling.metrics; NULL: none of them is external */
    uint64_t external_due;
    struct list active_link; /* core.active: is sampled */
    struct list dirty_link;  /* core.dirty: to be reconciled this turn */
    struct list needy_link;  /* core_scale: instances to be placed */
    struct list wanted_link; /* core.wanted: its SlotWanted may have changed */
    struct list status_link; /* core.status */
    uint64_t status_at;      /* last written */
    bool status_urgent;
    /* routing */
    struct claim *claims; /* one a trigger, or one a host of it; in the triggers' order */
    size_t claim_count;
    uint64_t change; /* last routes sequence that has it in the log */
};

struct path { /* a pattern of one host, or of any; in core.table as long as somebody claims it */
    struct map_node node; /* core.paths by its identity */
    struct list claims;   /* the oldest function first */
    char key[];
};
struct claim {
    struct list link; /* path.claims */
    struct path *path;
    struct fn *fn;
    const struct http_trigger *trigger;
    const char *host;   /* "": any */
    struct fn *lost_to; /* NULL: this function's */
};

struct instance {
    struct map_node node; /* core.instances by id */
    char id[INSTANCE_ID_MAX + 1];
    struct revision *rev;
    struct list rev_link;
    struct node *host;
    struct list host_link;
    enum instance_state state;
    enum leaving leaving;
    bool taken;               /* for another function's sake: it does not come back */
    struct list leaving_link; /* core.leaving */
    uint64_t leaving_sequence, leaving_until;
    struct list leased;     /* slots that the activator has and has not granted */
    struct list added_link; /* node.added: new in its Desired */
    bool reported;          /* its agent has spoken of it */
    bool endpoint;          /* in the routes */
    bool dead;              /* failed; shown until dead_until */
    struct list dead_link;
    uint64_t dead_until;
    uint64_t memory, cpu; /* reserved for it */
    uint32_t slots, in_flight;
    uint64_t idle_since_ms, ready_at_ms, ready_ns, created_ns; /* the last one 0: adopted */
    uint64_t schedule_us, fetch_us, sandbox_us, runtime_us, init_us;
    uint64_t change;
    struct gauges *gauges;   /* what it said of itself; NULL: nothing */
    bool measured;           /* what it uses is known */
    bool cpu_told;           /* ... and its cpu is not of its start */
    uint32_t cpu_used;       /* thousandths */
    struct window *cpu_mean; /* of functions that scale by cpu, else NULL */
    uint64_t memory_used;
    int exit_code, signal;
    char reason[32];
    char message[INSTANCE_MESSAGE_MAX + 1];
};

struct slot {
    struct list link;     /* fn.slots, unless its instance is on its way out */
    struct list own_link; /* instance.leased */
    struct list all_link; /* core.slots, as fn.slots */
    struct instance *instance;
    uint64_t id, until; /* it may be granted until then */
};

struct change {
    uint64_t sequence;
    bool endpoint;
    char *key;
};

struct core {
    struct core_config config;
    uint64_t random;
    uint64_t started, now;
    struct actions *out; /* of this call */
    struct map functions, instances, paths;
    struct route_table table; /* to a struct path; this thread alone reads it */
    struct epoch_domain epochs;
    struct nodes *nodes;
    struct map wishes; /* core_drain.c: what users want of nodes */
    struct pools *pools;
    struct activator *activator;
    struct list active, dirty, status, deleting, leaving, roomless, dead, backoff, slots,
        nodes_dirty, wanted, crowded;
    uint64_t crowd_due;        /* the first of the crowded ones' times; 0: none */
    struct list gone;          /* functions that only drain (their active_link) */
    struct list nodes_changed; /* to be published */
    bool halted;               /* too many nodes are silent: nothing leaves, nothing is replaced */
    bool capacity_changed;     /* what found no room may try again */
    uint64_t next_sample;
    unsigned samples;
    uint64_t epoch_ns;      /* the wall clock when `now` was 0; 0: not known */
    uint64_t histories_due; /* some have changed, and are given to the store then; 0: none */
    bool adopted;           /* the time of adoption is over and was acted on */
    /* routes: what changed, in order; while `routes_changed`, routes_sequence + 1 is being made */
    uint64_t routes_sequence;
    bool routes_changed;
    struct change *changes; /* ring */
    size_t change_first, change_count;
    uint64_t changes_from; /* deltas since this sequence or later can be made */
    uint64_t pass;
    /* ... and who was told of them */
    struct list nodes_fresh; /* of nothing yet */
    uint64_t fresh_due, round_due;
    size_t round_next; /* of the nodes, in a round */
    bool rounding, round_again;
    size_t last_behind; /* with its acknowledgement */
    /* figures */
    size_t slot_count;
    struct histogram wait;
    uint64_t refused[REFUSED_COUNT];
    uint64_t decisions[REASON_COUNT]; /* that changed what is requested */
    uint64_t placed, unplaced[UNPLACED_COUNT];
    uint64_t readings_cut[METRIC_KINDS]; /* of cpu and memory, above what the node has */
    uint64_t pool_steps[POOL_GONE + 1], pool_decisions[POOL_WHYS], pool_failures;
};

/* ---- core.c */
static inline bool core_adopting(const struct core *c)
{
    return c->now - c->started < c->config.adopt_ns;
}
uint64_t core_random(struct core *c);
void core_log(struct core *c, bool warning, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A server's bodies are streamed: no memory here depends on how long they are. */
static inline uint64_t core_body_limit(const struct core *c, const struct function *f)
{
    return f->port ? INT64_MAX : c->config.body_limit;
}

/* ---- core_note.c: what happened, for people; of changes alone. `reason` is static. */
void note_fn(struct core *c, const struct fn *f, bool warning, const char *reason, const char *fmt,
             ...) __attribute__((format(printf, 5, 6)));
void note_node(struct core *c, const struct node *n, bool warning, const char *reason,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void note_pool(struct core *c, const char *pool, bool warning, const char *reason, const char *fmt,
               ...) __attribute__((format(printf, 5, 6)));
void note_scaled(struct core *c, struct fn *f); /* if another number is requested than it told last */

/* ---- core_function.c */
struct fn *fn_find(struct core *c, const char *key);
void fn_dirty(struct core *c, struct fn *f);
void fn_wanted(struct core *c, struct fn *f);  /* its SlotWanted levels may have changed */
void fn_sampled(struct core *c, struct fn *f); /* it is active: sample it */
bool fn_live(const struct fn *f);              /* neither being deleted nor gone */
struct revision *fn_revision(struct fn *f, const char *id);
int fn_revision_foreign(struct fn *f, const char *id, struct revision **ret);
void fn_activate(struct core *c, struct fn *f, struct revision *r);
void fn_tidy(struct core *c,
             struct fn *f); /* drops revisions (and f) that nothing needs; f may be freed */
void fn_deletions(struct core *c);
struct presence *fn_presence(struct fn *f, struct node *n, bool make);
void fn_free(struct core *c, struct fn *f);

/* ---- core_status.c */
void fn_status_dirty(struct core *c, struct fn *f, bool urgent);
void fn_statuses(struct core *c); /* writes those that are due */
uint64_t fn_statuses_due(const struct core *c);
const char *revision_reason(const struct revision *r); /* of its last failure */

/* ---- core_route.c */
int route_claim(struct core *c, struct fn *f); /* its triggers; marks whose routes changed */
void route_unclaim(struct core *c, struct fn *f);
struct resolved_route { /* zero-initialise */
    char allow[ROUTE_METHODS_TEXT];
    char name[ROUTE_PATTERN_MAX + 40]; /* "GET /users/{id}", "ANY ..."; "" of a function by its name */
};
/* 0 and the function; -ENOENT; -EPERM: the method is not allowed, ret->allow says which are. */
int route_resolve(struct core *c, const char *method, const char *host, const char *path,
                  struct fn **ret_fn, struct resolved_route *ret);
void route_done(struct core *c);

/* ---- core_text.c */
/* What others sent, as printable UTF-8, cut to the size. */
void copy_text(char *to, size_t size, const char *from);

/* ---- core_instance.c */
int instance_create(struct core *c, struct revision *r, struct node *n, uint64_t schedule_us);
int instance_adopt(struct core *c, struct revision *r, struct node *n, const InstanceStatus *s);
struct instance *instance_find(struct core *c, const char *id);
void instance_status(struct core *c, struct instance *i, const InstanceStatus *s);
void instance_set_endpoint(struct core *c, struct instance *i, bool on);
void node_instances(struct core *c, struct node *n, int by); /* it has more or fewer */
static inline bool instance_serves(const struct instance *i)
{
    return (i->state == STATE_READY || i->state == STATE_FROZEN) && i->leaving == LEAVING_NOT;
}
static inline bool instance_counts(const struct instance *i) /* running or on its way up */
{
    return !i->dead && i->leaving == LEAVING_NOT && i->state != STATE_DRAINING &&
           !instance_state_final(i->state);
}

/* ---- core_leave.c */
void instance_leave(struct core *c, struct instance *i);  /* unroute, then remove */
bool instance_return(struct core *c, struct instance *i); /* not so fast: false if it is too late */
void instance_leaving_counts(struct instance *i, bool on); /* what its node will have free */
void instance_lost(struct core *c, struct instance *i, const char *why);
void instance_end(struct core *c, struct instance *i);
void instance_keep_dead(struct core *c, struct instance *i);
void instance_free(struct core *c, struct instance *i);
void instances_leaving(struct core *c);
void instances_dead(struct core *c);
void instances_forget(struct core *c, const struct node *n); /* that failed there: n goes */

/* ---- core_tally.c */
bool instance_suspect(const struct core *c, const struct instance *i);
/* Of its instances; walked through only after a change (tally_changed()). */
struct tally revision_tally(const struct core *c, struct revision *r);
bool tally_right(const struct core *c, const struct revision *r); /* what is kept is what a walk finds */
void node_tallies_changed(struct node *n);                        /* its peer, its draining */
/* Whether it is dead, its state, leaving or in_flight; or there is one more or less. */
static inline void tally_changed(struct instance *i)
{
    i->rev->tally_known = false;
}

/* ---- core_crash.c */
void instance_failed(struct core *c, struct instance *i, enum instance_state was);
bool revision_backing_off(const struct core *c, const struct revision *r);
void revision_settle(struct revision *r); /* forgives */

/* ---- core_agent.c */
void agents_tick(struct core *c); /* leases */
uint64_t agents_due(const struct core *c);

void node_lost(struct core *c, struct node *n, const char *why);

/* ---- core_kind.c: `kinds` is a map that is empty at first. */
bool kind_is_new(struct map *kinds, const struct revision *r);
void kinds_done(struct map *kinds);

/* ---- core_pool.c */
void pools_turn(struct core *c);
/* Might a node that a pool could add take one of its instances? */
bool pools_help(struct core *c, const struct revision *r);

/* ---- core_pool_metrics.c */
void pools_metrics(struct core *c, struct buffer *out);

/* ---- core_drain.c */
/* Keeps new instances away from it, or no longer. */
void node_cordon(struct core *c, struct node *n, enum node_holder by, bool on);
/* Cordons it and moves its instances: each leaves when another one elsewhere is ready for it, and
 * stays where there is no room for one. n->instance_count is 0 when it is done. `off` leaves it
 * cordoned if it was cordoned by itself. */
void node_drain(struct core *c, struct node *n, enum node_holder by, bool on);
void node_wishes(struct core *c, struct node *n); /* has come: what users want of it */
void wishes_done(struct core *c);
static inline bool instance_moves(const struct instance *i)
{
    return i->host->draining;
}
/* Those of its instances on draining nodes that are no longer needed leave. */
void revision_move(struct core *c, struct revision *r);

/* ---- core_ticket.c */
void tickets_refuse_all(struct core *c, struct fn *f, enum refusal why, const char *message);
void tickets_due(struct core *c); /* deadlines, those pushed out */
void tickets_of_peer_gone(struct core *c, uint64_t peer);
void ticket_of_agent(struct core *c, struct node *n, const Ticket *t);
void tickets_gone(struct core *c, const struct node *n, const TicketGone *m);
/* The end of the ticket; the slot is the requester's now. */
void ticket_grant(struct core *c, struct ticket *t, const struct instance *i, uint64_t slot);

/* ---- core_slot.c */
void slot_free(struct core *c, struct node *n, const SlotFree *s);
void slot_unused(struct core *c, const char *instance, uint64_t slot);
void slots_match(struct core *c, struct fn *f); /* somebody waits: what is kept is theirs */
void slots_of_instance_gone(struct core *c, struct instance *i);  /* so does its agent, unasked */
void slots_of_instance_back(struct core *c, struct instance *i);  /* it is on its way out */
void slots_of_instance_match(struct core *c, struct instance *i); /* ... and back from it */
void slots_of_fn_gone(struct core *c, struct fn *f);
uint64_t slots_due(const struct core *c); /* 0: none is kept */
void slots_expired(struct core *c);

/* ---- core_sample.c */
void scale_sample(struct core *c);
void scale_respec(struct core *c, struct fn *f); /* its spec is new, or another */
void scale_rest(struct fn *f);                   /* it is not sampled any more */
void scale_called(struct core *c, struct fn *f); /* a request came, or runs */
bool scale_clocked(const struct fn *f);          /* may wake without a request */
/* The one place where what is requested changes, so that each change has a reason and is counted. */
void scale_to(struct core *c, struct fn *f, uint32_t n, enum autoscaler_reason why);
struct autoscaler_input scale_input(const struct core *c, const struct fn *f);

/* ---- core_history.c */
void history_changed(struct core *c, struct fn *f);
void history_drop(struct core *c, struct fn *f);
void histories_tick(struct core *c);

/* ---- core_gauge.c */
void instance_metrics(struct instance *i, size_t n, Rouse__Control__V1__Metric *const *list);
/* Of the last `seconds`. */
void instance_uses(struct core *c, struct instance *i, const Rouse__Control__V1__InstanceLoad *l,
                   double seconds);
void instance_uses_nothing(struct instance *i);                         /* it goes */
void scale_sample_cpu(const struct core *c, struct fn *f, uint64_t at); /* once a second */
/* As scaling.metrics: what its instances use or said, for cpu, memory and METRIC_CUSTOM. False: there is none. */
bool scale_instances(const struct core *c, const struct fn *f,
                     struct hpa_sample samples[SCALING_METRICS_MAX]);

/* ---- core_scale.c */
uint64_t scale_crowd_due(const struct core *c); /* 0: nobody waits where all is busy */
void scale_turn(struct core *c);                /* reconciles what is dirty */

/* ---- core_shrink.c */
/* Lets n of its instances leave, only idle ones unless `busy`; how many did not. */
uint32_t revision_shrink(struct core *c, struct revision *r, uint32_t n, bool busy);

/* ---- core_place.c */
void place_needy(struct core *c, struct list *needy); /* functions with a deficit */
/* Why no node could ever take an instance of it. */
void revision_impossible_text(const struct core *c, const struct revision *r, char out[128]);

/* ---- core_room.c */
uint64_t fn_held(const struct core *c, const struct fn *f); /* memory of its instances */
/* What a turn knows of the room that others could make: looked for once, not by each of all that wait. */
struct rooms {
    bool counted;      /* the nodes' promised_memory is this turn's */
    bool none_idle;    /* nobody has an idle instance to give */
    uint64_t hopeless; /* nobody holds enough to give to one that would hold so much; 0: not known */
};
/* For the instances of r that found no room. */
void rooms_make(struct core *c, struct revision *r, const struct placement_request *q,
                struct rooms *rooms);

/* ---- core_sync.c */
void sync_change_route(struct core *c, struct fn *f);
void sync_change_endpoint(struct core *c, struct instance *i);
void sync_change_key(struct core *c, bool endpoint, const char *key);
uint64_t sync_next_sequence(const struct core *c);  /* of the change that is being made */
bool sync_acked(struct core *c, uint64_t sequence); /* by every agent that is there */
struct routes_part {
    struct routes_part *next;
    ControllerMessage message;
};
struct routes_part *routes_full(struct core *c);                  /* as many messages as it takes */
struct routes_part *routes_delta(struct core *c, uint64_t since); /* NULL: only all would do */

/* ---- core_spread.c */
void sync_routes(struct core *c);
void spread_fresh(struct core *c, struct node *n); /* knows nothing yet */
uint64_t spread_due(const struct core *c);         /* 0: no matter when */

/* ---- core_address.c */
void addresses_tell(struct core *c, const struct node *to); /* of all other nodes */
void addresses_changed(struct core *c, const struct node *n, bool gone);
void sync_desired(struct core *c);
void sync_slots_wanted(struct core *c, struct fn *f);
void node_dirty(struct core *c, struct node *n);
static inline void node_changed(struct core *c, struct node *n)
{
    if (list_empty(&n->changed_link))
        list_push_back(&c->nodes_changed, &n->changed_link);
}

/* ---- core_publish.c */
void publish_instance(struct core *c, const struct instance *i);
void unpublish_instance(struct core *c, const struct instance *i);
void publish_node(struct core *c, const struct node *n);
void unpublish_node(struct core *c, const struct node *n);
void publish_revision(struct core *c, const struct revision *r, const struct tally *t);
void unpublish_revision(struct core *c, const struct revision *r);
