/* registry.h - the objects: what was applied, and what the brain says of it.
 *
 * Belongs to the brain's thread. Functions and node pools are stored (store/);
 * revisions, nodes and instances are published by the core and live in memory
 * only. Every change gets the next resourceVersion and goes to the watchers.
 * The registry tells the core of what is stored through the observer, and the
 * core answers with status. Threads other than the brain's go through
 * access.h. */
#pragma once
#include "brain/function.h"
#include "nodes/pool_spec.h"

struct registry;
struct registry_stats;
struct loop;
struct store;
struct err;

enum object_kind {
    KIND_FUNCTION,
    KIND_REVISION,
    KIND_NODE,
    KIND_INSTANCE,
    KIND_NODE_POOL,
    KIND_COUNT
};

/* Loads what is stored; before the threads run. The store outlives the registry. */
int registry_new(struct store *s, struct registry **ret, struct err *e);
/* The brain's loop, before anything else is asked of the registry. */
void registry_attach(struct registry *r, struct loop *brain);
/* "http://HOST:PORT" of a gateway, the begin of every status.url; NULL: urls are paths. Before the
 * threads run. */
void registry_set_gateway(struct registry *r, const char *url);
struct registry *registry_free(struct registry *r);                        /* NULL is a no-op */
void registry_stats(const struct registry *r, struct registry_stats *ret); /* access.h has the figures */

struct node_wanted { /* what users want of a node: the writable part of its spec */
    bool unschedulable, drain;
};
enum { NODE_SPEC_TEXT = 64 };
void node_spec_text(const struct node_wanted *w, char out[NODE_SPEC_TEXT]); /* a Node's spec */

struct registry_observer {
    /* After the commit is on disk. old NULL: created (or loaded at start). now NULL: gone for good.
     * now->deleting: marked, to be unrouted everywhere and then given to registry_finalize(). */
    void (*on_function)(void *user, struct function *old, struct function *now);
    void *user;
    /* The same of node pools; may be NULL. */
    void (*on_pool)(void *user, struct pool_spec *old, struct pool_spec *now);
    /* After the commit, and at the start for each that is stored; may be NULL. */
    void (*on_node)(void *user, const char *name, const struct node_wanted *w);
    /* A node is to be forgotten, and is unpublished if that is so. 0; -EBUSY: its agent is connected; -ENOENT.
     * `dry_run`: only asked. May be NULL: no node goes. */
    int (*on_node_delete)(void *user, const char *name, bool dry_run);
    /* At the start, after the functions: what registry_set_history() said last; may be NULL. */
    void (*on_history)(void *user, const char *key, const char *text);
};
void registry_observe(struct registry *r, const struct registry_observer *o); /* replays what is there */

/* Replaces the status; the same status again is a no-op. Unknown keys are ignored. */
void registry_set_status(struct registry *r, const char *key, const struct function_status *s);
/* The same of a kind whose status is the core's own JSON. */
void registry_set_status_json(struct registry *r, enum object_kind kind, const char *key,
                              const char *status);
/* What hung on the marked object is gone (live agents have unrouted the function, the pool has no
 * node): removes it from the store, then tells the observer (old, NULL). */
void registry_finalize(struct registry *r, enum object_kind kind, const char *key);

/* A read-only object. `ns` is NULL for nodes. `spec_json` and `status_json` are JSON objects;
 * `labels_json` an object or NULL; `owner` the function whose ownerReference it carries, or NULL.
 * Same again: no-op. */
void registry_publish(struct registry *r, enum object_kind kind, const char *ns, const char *name,
                      const char *labels_json, const char *spec_json, const char *status_json,
                      const struct function *owner);
/* Something happened to that object; of one that is not there nothing is noted. `reason` is static. */
void registry_note(struct registry *r, enum object_kind kind, const char *key, bool warning,
                   const char *reason, const char *message);
/* Keeps that text for the next life, or (NULL) nothing; no object and no event comes of it. Answers nothing. */
void registry_set_history(struct registry *r, const char *key, const char *text);
void registry_unpublish(struct registry *r, enum object_kind kind, const char *ns, const char *name);
