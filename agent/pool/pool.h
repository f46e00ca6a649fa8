/* pool.h - the instances on this node: desired state in, slots out.
 *
 * The pool is the one owner of its instances' slots. It makes real what the
 * controller's Desired says (fetch, create, initialise, drain, stop), tells
 * every change of state at once, and runs invocations. All on the agent's loop. */
#pragma once
#include "control.pb-c.h"
#include "http/server.h"
#include "invoke/invoke.h"
#include "reactor/loop.h"

struct pool;
struct launcher;
struct runtimes;
struct code_cache;
struct report;

struct pool_config {
    struct loop *loop;
    struct launcher *launcher; /* attached by the pool */
    struct runtimes *runtimes;
    struct code_cache *code;
    struct report *report;
    const char *state_dir;
    const char *node;
    uint64_t drain_limit_ns;  /* 0: the function's timeout + 5 s */
    uint64_t init_timeout_ns; /* from the sandbox's start to ready; 0: 10 s */
    /* Sends to the controller; -ENOTCONN is fine. */
    int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m);
    /* A slot of that function became free and is not wanted by the activator. May be NULL. */
    void (*on_slot_free)(void *user, const char *function_key, const char *revision);
    void *user;
};
int pool_new(const struct pool_config *c, struct pool **ret);
struct pool *pool_free(struct pool *p); /* stops every instance, blocking, at most 10 s */

/* ---- from the controller */
/* 0, or -ESTALE: a delta on an epoch that is not ours; the caller reconnects. Sends the Ack when it
 * took effect. */
int pool_desired(struct pool *p, const Rouse__Control__V1__Desired *d);
void pool_slot_wanted(struct pool *p, const Rouse__Control__V1__SlotWanted *w);
void pool_log_request(struct pool *p, const Rouse__Control__V1__LogRequest *r);
void pool_cordon(struct pool *p, bool cordoned);
/* Fills hello->instances and hello->desired; pool_hello_done() frees what it allocated. */
void pool_hello(struct pool *p, Rouse__Control__V1__Hello *hello);
void pool_hello_done(struct pool *p, Rouse__Control__V1__Hello *hello);

/* ---- from the router */
/* Takes a slot and the exchange; the answer is written by the pool, then on_done() runs once (x is
 * not to be touched any more). Refusals cost nothing and leave x whole: -EAGAIN no free slot,
 * -ESTALE the lease is over, -ENOENT no instance of that revision here. */
int pool_invoke(struct pool *p, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user);
/* A free slot of that revision that the activator does not want exists here now. */
bool pool_has_slot(const struct pool *p, const char *function_key, const char *revision);
