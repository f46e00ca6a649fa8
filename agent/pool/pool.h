/* pool.h - the instances on this node: desired state in, slots out.
 *
 * The pool is the one owner of its instances' slots. It makes real what the
 * controller's Desired says (fetch, create, initialise, drain, stop), tells
 * every change of state at once, and runs invocations. All on its loop; an agent
 * with several loops has a pool on each. */
#pragma once
#include "control.pb-c.h"
#include "http/server.h"
#include "invoke/invoke.h"
#include "reactor/loop.h"

struct pool;
struct launcher;
struct launcher_ops;
struct log_writer;
struct reclaim;
struct slot_hints;
struct sandbox_adoption;
struct sandbox_spec;
struct err;
struct runtimes;
struct code_cache;
struct report;

/* The way to the launcher and the code cache where they are another loop's. As launcher_create(), launcher_adopt(),
 * launcher_stop_sandbox() and code_cache_*(), but that what goes wrong may be told later, by
 * on_failed() or on_ready(). What the launcher says comes through pool_launcher_ops. */
struct pool_bridge {
    int (*create)(void *user, const struct sandbox_spec *s);
    int (*adopt)(void *user, const struct sandbox_adoption *a);
    int (*stop)(void *user, const char *id, uint64_t grace_ns);
    int (*code_get)(void *user, const char *digest,
                    void (*on_ready)(void *user, const char *dir, const struct err *e), void *of);
    void (*code_release)(void *user, const char *digest);
    void (*code_forget)(void *user, void *of);
    void *user;
};
extern const struct launcher_ops pool_launcher_ops; /* their user is the pool */

struct pool_config {
    struct loop *loop;
    struct launcher *launcher;        /* attached by the pool if there is no bridge */
    const struct pool_bridge *bridge; /* copied; NULL: launcher and code are this loop's */
    struct log_writer *log_writer;    /* shared; NULL: one of its own */
    const char *memory_cgroup;        /* as memory_look() has it; NULL: none */
    struct reclaim *reclaim;          /* shared; NULL: frozen instances keep their memory */
    struct slot_hints *hints;         /* written by this pool alone; NULL: nobody reads them */
    uint64_t slot_base;               /* slot ids count from here */
    struct runtimes *runtimes;
    struct code_cache *code;
    struct report *report;
    const char *state_dir;
    const char *node;
    uint64_t drain_limit_ns;  /* 0: the function's timeout + 5 s */
    uint64_t init_timeout_ns; /* from the sandbox's start to ready; 0: 10 s */
    uint64_t freeze_after_ns; /* an instance that is idle for so long is frozen; 0: never */
    unsigned templates; /* spec.start: fork: so many are kept at most while their functions sleep; 0: none ever */
    /* The revision that traffic of a function goes to; NULL: it is not known. May be NULL: then templates are
     * kept until they are too many. */
    const char *(*active_revision)(void *user, const char *function_key);
    /* Sends to the controller; -ENOTCONN is fine. */
    int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m);
    /* A slot of that revision is free; the activator still wants `wanted` of them. True: it was taken,
     * by pool_invoke() with `in_turn`. May be NULL. */
    bool (*on_slot_free)(void *user, const char *function_key, const char *revision, unsigned wanted);
    void *user;
};
/* Asks for so many sandboxes of every Runtime to be kept ready, as instances of it take them. The launcher's
 * loop, at the start. */
void pool_park(struct launcher *l, const struct runtimes *runtimes, unsigned count);
int pool_new(const struct pool_config *c, struct pool **ret);
struct pool *pool_free(struct pool *p); /* stops every instance, blocking, at most 10 s */

/* ---- from the controller */
/* 0, or -ESTALE: a delta on an epoch that is not ours; the caller reconnects. Sends the Ack when it
 * took effect. */
int pool_desired(struct pool *p, const Rouse__Control__V1__Desired *d);
void pool_slot_wanted(struct pool *p, const Rouse__Control__V1__SlotWanted *w);
void pool_log_request(struct pool *p, const Rouse__Control__V1__LogRequest *r);
void pool_cordon(struct pool *p, bool cordoned);
/* The activator did not want that lease of ours after all: it ends at once. */
void pool_slot_back(struct pool *p, uint64_t slot);
/* Who was granted that lease of ours did not take it; others may be waiting for it. */
void pool_slot_unused(struct pool *p, uint64_t slot);
/* The controller's connection is lost, and with it what it knew of leases and wanted of slots: all are ours again. */
void pool_away(struct pool *p);
/* The end of that instance, which send() took, did not reach the controller after all. */
void pool_untold(struct pool *p, const char *instance);
/* Fills hello->instances and hello->desired; pool_hello_done() frees what it allocated. */
void pool_hello(struct pool *p, Rouse__Control__V1__Hello *hello);
void pool_hello_done(struct pool *p, Rouse__Control__V1__Hello *hello);

/* For Prometheus: the metrics that functions report, summed over a function's instances here. */
void pool_function_metrics(const struct pool *p, struct buffer *out);
size_t pool_instances(const struct pool *p); /* ended ones too, until they are reaped */

/* ---- from the router */
/* Takes a slot and the exchange; the answer is written by the pool, then on_done() runs once (x is
 * not to be touched any more). Refusals cost nothing and leave x whole: -EAGAIN no free slot,
 * -ESTALE the lease is over, -ENOENT no instance of that revision here. */
int pool_invoke(struct pool *p, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user);
/* A free slot of that revision that the activator does not want exists here now. */
bool pool_has_slot(const struct pool *p, const char *function_key, const char *revision);
/* How many requests that find all slots of that revision here busy may expect one of them within
 * `within_ns`, by how long its invocations took lately; and how many the activator wants of them. */
unsigned pool_soon_free(const struct pool *p, const char *function_key, const char *revision,
                        uint64_t within_ns, unsigned *ret_wanted);
