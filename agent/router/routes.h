/* routes.h - what this router knows: functions, their hosts and paths, the endpoints that serve them.
 *
 * Made of the controller's Routes messages, whole or as a delta on the epoch
 * that was applied last. Each makes a new version that shares with the one
 * before what it does not change; a version is immutable, so a look-up takes no
 * lock and writes nothing that another loop reads or writes. (A refusal is noted
 * in the endpoint, which all versions share.) Pure: no socket, no clock, no log.
 *
 * routes_apply() belongs to the loop that made it, whose view is routes_now(),
 * good until the next routes_apply(). Every other loop has a reader and looks
 * between routes_enter() and routes_leave(), at best once a turn; what a version
 * left behind is freed when no reader is inside it any more. */
#pragma once
#include "control.pb-c.h"
#include "http/route_table.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROUTES_REFUSED_NS = 50000000 }; /* an endpoint that refused is left alone that long */

struct routes;      /* the owner's */
struct routes_view; /* one version */

struct route {
    const char *function_key; /* "namespace/name" */
    const char *revision;     /* the active one */
    uint32_t timeout_ms, concurrency;
    uint64_t body_limit;
};
struct endpoint {
    const char *instance, *node, *peer_address;
    uint32_t slots;
};
struct routes_match {
    const struct route *route;
    struct str pattern; /* of the trigger that matched */
    bool any_method;
};

/* `self` is this node's name: its own endpoints are never picked. */
int routes_new(const char *self, struct routes **ret);
struct routes *routes_free(struct routes *r); /* NULL is a no-op; no reader is left */

/* 0, or -ESTALE: a delta on another epoch; or -ENOMEM. Nothing was changed then. */
int routes_apply(struct routes *r, const Rouse__Control__V1__Routes *m);
/* False: nothing was applied yet. */
bool routes_epoch(const struct routes *r, uint64_t *ret_incarnation, uint64_t *ret_sequence);

/* ---- a view: the owner's, or another loop's */
const struct routes_view *routes_now(const struct routes *r);

struct routes_reader {
    struct epoch_reader epoch;
    const struct routes *routes;
};
/* On the owner's loop, before and after the reader's loop runs. */
void routes_reader_init(struct routes *r, struct routes_reader *reader);
void routes_reader_done(struct routes_reader *reader);
/* On the reader's. */
const struct routes_view *routes_enter(struct routes_reader *reader);
void routes_leave(struct routes_reader *reader);

/* NULL if unknown. */
const struct route *routes_get(const struct routes_view *v, const char *function_key);
/* Host, method and path as sent; *ret is set with ROUTE_FOUND only. */
enum route_found routes_match(const struct routes_view *v, struct str host, struct str method,
                              struct str path, struct routes_match *ret);
/* A route as it is written to others: "GET /users/{id}", or "ANY ...". *ret_pattern is empty if it is none. */
void routes_name_parse(struct str name, struct str *ret_pattern, bool *ret_any);

/* An endpoint of that revision on another node than `self` and `not_node` (NULL: any) that has not refused
 * within ROUTES_REFUSED_NS, picked by `random`; NULL if there is none. */
const struct endpoint *routes_pick(const struct routes_view *v, const char *function_key,
                                   const char *revision, const char *not_node, uint64_t now_ns,
                                   uint64_t random);
/* That node refused: none of its endpoints of this revision is picked for a while. */
void routes_refused(const struct routes_view *v, const char *function_key, const char *revision,
                    const char *node, uint64_t now_ns);

struct routes_counts {
    size_t functions, paths, endpoints;
    size_t refused; /* triggers that are no pattern, or of two functions at once: left to the activator */
    size_t waiting; /* parts of older versions that a reader may still look at */
};
struct routes_counts routes_counts(const struct routes *r);
