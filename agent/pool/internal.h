/* internal.h - the pool's parts as they see each other. All on the agent's loop.
 *
 * pool.c       desired state in, what is asked from outside
 * revision.c   what is known of a revision, and its instances
 * instance.c   the states of one instance, and how it ends
 * instance_start.c  its way up, from the wish to ready
 * launched.c   what the launcher says, and of whom
 * template.h   spec.start: fork: instances that are forked of one that was initialised
 * hooks.c      what is called around its life: initializer, preFreeze, preStop
 * freeze.c     Ready <-> Frozen: what is idle uses no CPU
 * reclaim.c    what is frozen gives memory back; a thread, one for all pools; memory.c
 * work.c       what its runtime says, and what became of its invocations
 * slots.c      free, leased to the activator, taken
 * status.c     InstanceStatus, Hello, load
 * outside.c    launcher and code cache: called, or asked across a bridge
 * gauges.c     the metrics that functions report of themselves
 * environment.c  what the function finds in its environment
 * parking.c    whether an interpreter that has started already can be it
 * kind.c       what of a sandbox follows from its Runtime */
#pragma once
#include "base/map.h"
#include "instance_state.h"
#include "invoke/invocation.h"
#include "invoke/log_pipe.h"
#include "pool/logs.h"
#include "pool/pool.h"
#include "pool/reclaim.h"
#include "pool/slot_hints.h"
#include "report/report.h"
#include "runtime/runtimes.h"
#include "launcher/launcher.h"

enum {
    INSTANCE_MESSAGE_MAX = 1024,
    TAIL_MAX = 700, /* bytes of last log lines in a status */
    INSTANCES_MAX = 10000,
    GAUGES_TOLD_MAX = 10000, /* of all instances, in one message: under 1 MiB of its 4 */
    REVISIONS_MAX = 20000,
    TOMBSTONES_MAX = 1000,
    LEASE_MS = 100,
    API_PORT = 9001,
};
#define STOP_GRACE_NS   (2 * NS_PER_S)
#define PRE_HOOK_MAX_NS (5 * NS_PER_S)

struct environment;
struct forked;
struct template;

struct revision {
    struct map_node node; /* by function key, NUL, revision */
    struct pool *pool;
    Rouse__Control__V1__RevisionSpec *spec; /* NULL: only slots of it were asked for so far */
    const char *function_key, *revision;    /* within `key` */
    const char *name, *namespace;           /* copies of the key's two parts */
    struct list instances;                  /* all */
    struct list free; /* those with a free slot; the one used last comes first */
    unsigned count;   /* in `instances` */
    unsigned live;    /* of them: wanted and not ended */
    unsigned in_flight;
    uint64_t run_ns; /* how long an invocation takes; a moving average, 0: none ended yet */
    uint32_t wanted; /* how many slots the activator still wants */
    unsigned hint;   /* its place in the pool's hints */
    /* spec.start: fork */
    struct template *template;  /* that forks, or is asked whether it can; NULL: none */
    struct instance *candidate; /* which is to become it; NULL: none */
    struct list waiting;        /* instances that are to be forked */
    struct loop_timer fork_timer;
    unsigned templates, fork_failures; /* those that end, too; in a row */
    bool fork_refused;                 /* its instances start as others do */
    char *key;
};

struct instance {
    struct map_node node;          /* by id */
    struct list of_revision, free; /* `free`: in revision.free while a slot is free */
    struct pool *pool;
    struct revision *revision;
    const struct runtime *runtime;
    char *id;
    struct list waiting;   /* in revision.waiting while it is to be forked */
    struct forked *forked; /* the process that it is, if it was forked and runs */
    int fork_socket;       /* of one that may become a template: where its children connect; -1 */
    enum instance_state state;
    char reason[32]; /* CamelCase */
    char message[INSTANCE_MESSAGE_MAX];
    char cgroup[CGROUP_NAME_MAX]; /* its sandbox's; "" before that started */
    struct sandbox_exit exit;

    uint64_t phase_ns[PHASE_COUNT];
    uint64_t since_ns;                   /* start of the current phase */
    uint64_t ready_at_ms, idle_since_ms; /* epoch */
    /* what it uses: read each second, and once more when it is frozen */
    uint64_t cpu_seen_ns, usage_at_ns, memory_seen; /* memory 0: not known */
    uint64_t memory_told;                           /* since Hello; 0: nothing */
    uint32_t cpu_millis;                            /* between the last two readings */
    bool usage_final;                               /* what was seen stays so: it is frozen */

    bool code_held; /* or wished for */
    bool sandbox;   /* the launcher has it: on_exit() or on_failed() will come */
    bool stop_sent, exited;
    bool closing; /* its runtime takes nothing new */
    bool end_told;
    bool parked; /* its interpreter was, or will be, started before its environment is known */
    bool initializing;      /* its initializer was called: ready when that has ended */
    bool stopping;          /* its preStop was called */
    bool freezing;          /* its preFreeze was called */
    struct loop_watch init; /* pidfd of the sandbox's first process */
    struct runtime_link *link;
    unsigned slots, in_flight, leased;
    struct invocation *first; /* the one that came first of all, while it runs */
    bool served;
    struct list invocations, leases;
    struct function_log *log;
    struct log_pipe out, err;
    struct log_budget log_budget; /* of both, and of LOG frames */
    uint64_t log_dropped;         /* LOG frames over it */
    struct buffer tail;           /* its last lines, for a crash's message */
    struct loop_timer timer;      /* initialisation, drain, or the wait for an exit or a hang-up */
    struct loop_timer overdue;    /* grace of what does not answer a CANCEL */
    struct loop_timer reap;
    uint64_t idle_ns;            /* when its last invocation ended; monotonic */
    struct loop_timer idle;      /* then it may be frozen, if it is still idle */
    struct reclaim_entry memory; /* while it is frozen */
};
/* It takes invocations, if a slot is free. */
static inline bool instance_is_up(const struct instance *i)
{
    return i->state == STATE_READY || i->state == STATE_FROZEN;
}

struct lease {
    struct map_node node; /* by id */
    struct list link;
    uint64_t id;
    struct instance *instance;
    struct loop_timer timer;
};

/* How an instance ended, for a controller that asks for it again before it has heard. */
struct tombstone {
    struct list link;
    char *id, *function_key, *revision, *message;
    char reason[32];
    enum instance_state state;
    int code, signal;
    bool told;
};

struct pool {
    struct pool_config config;
    struct pool_bridge bridge;
    char *state_dir, *node;
    struct loop *loop;
    struct invocations *invocations;
    struct logs *logs;
    struct map revisions, instances, leases;
    uint64_t last_slot;
    Rouse__Control__V1__Epoch epoch;
    bool has_epoch, cordoned, ending;
    struct list tombstones;
    unsigned tombstone_count;
    struct loop_timer end; /* pool_free()'s patience */
    struct list templates; /* those that stand; the longest unused first */
    /* By the launcher's names of them. Two: an instance's id, and so a template's, may look like a child's. */
    struct map template_boxes, forks;
    unsigned template_count;
    struct loop_timer template_check;
    uint64_t gauges_untold; /* gauges.c: a metric each time that a message has it not */
};

/* ---- revision.c */
struct revision *revision_find(struct pool *p, const char *function_key, const char *revision);
struct revision *revision_get(struct pool *p, const char *function_key,
                              const char *revision); /* or makes it; NULL */
int revision_learn(struct pool *p, const Rouse__Control__V1__RevisionSpec *spec);
void revision_drop_unused(struct pool *p);
struct revision *revision_free(struct revision *r);

/* ---- instance_start.c */
int instance_create(struct pool *p, const Rouse__Control__V1__DesiredInstance *d);
void instance_start(struct instance *i); /* Fetching: in a sandbox of its own */
/* Creating: that is its sandbox, whose descriptors become its own. */
void instance_started(struct instance *i, const struct sandbox_started *s);
/* It is a process that was forked: its outputs and, as frames_listen_fd, its connection, which become its own. */
void instance_forked(struct instance *i, const struct sandbox_started *s);
void instance_ready(struct instance *i, unsigned slots);
/* Ends the current start phase and begins the next: its length in ns. */
uint64_t instance_phase_end(struct instance *i);

/* ---- instance.c */
void instance_set_state(struct instance *i, enum instance_state to);
/* Ready <-> Frozen. The controller is told by status_send(), which can wait for what is urgent. */
void instance_turn(struct instance *i, enum instance_state to);
void instance_drain(struct instance *i, const char *reason);
void instance_stop(struct instance *i, uint64_t grace_ns);
/* Failed with that reason, at once; what runs there is lost, the sandbox is killed. */
void instance_fail(struct instance *i, const char *reason, const char *message);
/* Draining, but killed at once: its runtime did not end an invocation in time. */
void instance_time_out(struct instance *i, const char *message);
/* Its sandbox, or its process, has ended; or has never come to be. */
void instance_gone(struct instance *i, const struct sandbox_exit *e);
void instance_never_was(struct instance *i, const struct err *e);
/* One timer for what the state waits for: the next call replaces it. */
void instance_set_timer(struct instance *i, uint64_t in_ns, void (*fn)(struct loop_timer *t));
void instance_check_end(struct instance *i);
void instance_quiet(struct instance *i); /* its last invocation ended */
struct instance *instance_find(struct pool *p, const char *id);
struct instance *instance_free(struct instance *i);

/* ---- hooks.c */
/* The runtime has loaded the code and takes that many at once: ready, or first its initializer. */
void hooks_loaded(struct instance *i, unsigned slots);
/* Nothing runs there any more and it drains: true if its preStop was called and stops it when it ends. */
bool hooks_pre_stop(struct instance *i);
/* True: its preFreeze was called, and freeze_hooked() follows when it has ended, if nothing else has begun. */
bool hooks_pre_freeze(struct instance *i);
void hooks_answered(struct instance *i, enum frame_hook_kind hook, const struct function_error *e);

/* ---- freeze.c */
/* Nothing runs there now: it is frozen when that has lasted. */
void freeze_when_idle(struct instance *i);
void freeze_hooked(struct instance *i);
/* Before anything is asked of its processes. True: it was frozen, and the controller must hear. */
bool freeze_wake(struct instance *i);
void freeze_undo(struct instance *i); /* of one that leaves Frozen */

/* ---- template.h: all else of it */
void template_init(struct revision *r);
/* True: that instance, which is to be started, is to be forked. */
bool template_takes(struct instance *i);
void template_keep_socket(struct instance *i, int listen_fd);
/* It is loaded and initialised. True: it is asked to fork, and ready follows. */
bool template_tries(struct instance *i);
void template_refused(struct instance *i, const struct function_error *e);
void template_forget(struct instance *i); /* it is wanted no more */
void templates_done(struct pool *p);
/* What the launcher says: whether it is of a template, or of a template's child. */
bool template_told(struct pool *p, const char *id);
void template_exited(struct pool *p, const char *id);
bool forked_started(struct pool *p, const char *id, const struct sandbox_started *s);
bool forked_failed(struct pool *p, const char *id, const struct err *e);
struct instance *forked_exited(struct pool *p, const char *id, bool *ret_ours);
const char *forked_id(const struct forked *f);
void forked_drop(struct forked *f); /* no instance needs it */

/* ---- work.c */
int work_open(struct instance *i, const struct sandbox_started *s, bool connected);
/* Its runtime is another's now: copies of its outputs and of its init's pidfd (-1: none), and its link. */
struct runtime_link *work_part(struct instance *i, int *ret_out, int *ret_err, int *ret_init);
int work_invoke(struct instance *i, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user);
void work_lose_all(struct instance *i, const char *reason, const char *message);
void work_drain_logs(struct instance *i);
void work_log(struct instance *i, const char *line); /* the platform's own word, of no request */
void work_log_error(struct instance *i, const char *request_id, const struct function_error *e);
void work_close(struct instance *i);

/* ---- slots.c */
bool slot_any_free(const struct instance *i);
void slot_take(struct instance *i);
void slot_release(struct instance *i);
void slot_ran(struct instance *i, uint64_t run_ns); /* an invocation took so long */
void slot_update(struct instance *i);               /* after its state or slots changed */
void slot_unlist(struct instance *i);
void slots_offer(struct revision *r); /* free slots go to the activator as far as it wants them */
void slot_revoke_leases(struct instance *i);
void slots_away(struct pool *p); /* nobody has leases or wants slots */
void slot_give_back(struct pool *p, uint64_t id, bool others); /* others: may want it */
int slot_claim(struct pool *p, uint64_t id, const struct revision *r,
               struct instance **ret); /* -ESTALE */

/* ---- status.c */
void status_send(struct instance *i);
void status_bury(struct instance *i); /* keeps how it ended */
struct tombstone *status_tombstone(struct pool *p, const char *id);
void status_tell(struct pool *p, struct tombstone *t);
struct tombstone *tombstone_free(struct pool *p, struct tombstone *t);
void status_fill_load(void *user, Rouse__Control__V1__Report *m);

/* ---- gauges.c */
/* The instance's metrics as a message has them; gauges_untell() frees. None where there is no memory, or more of them than
 * the message has `*left` for, GAUGES_TOLD_MAX at first: what functions say must not make it too large to be sent. What is
 * not told is counted. */
size_t gauges_tell(struct instance *i, size_t *left, Rouse__Control__V1__Metric ***ret);
void gauges_untell(size_t n, Rouse__Control__V1__Metric **list);

/* ---- outside.c: on the far side of the bridge, if there is one */
int outside_attach(struct pool *p);
int outside_create(struct pool *p, const struct sandbox_spec *s);
int outside_adopt(struct pool *p, const struct sandbox_adoption *a);
void outside_stop(struct pool *p, const char *id, uint64_t grace_ns);
int outside_code_get(struct pool *p, const char *digest,
                     void (*on_ready)(void *user, const char *dir, const struct err *e), void *of);
void outside_code_release(struct pool *p, const char *digest);
void outside_code_forget(struct pool *p, void *of);

/* ---- parking.c */
bool parking_suits(const struct runtime *r, const struct environment *e);
void parking_kind(const struct runtime *r,
                  struct sandbox_kind *k); /* for such ones: borrowed from `r` */

/* ---- kind.c */
/* Borrowed from `r`. */
void instance_kind(const struct runtime *r, bool network_none, bool has_port,
                   struct sandbox_kind *ret);

/* ---- environment.c */
int instance_environment(const struct instance *i, struct environment *ret); /* environment_done() */
