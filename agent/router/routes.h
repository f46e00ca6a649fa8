/* routes.h - what this router knows: functions, their HTTP paths and the endpoints that serve them.
 *
 * Made of the controller's Routes messages, whole or as a delta on the epoch
 * that was applied last. Pure: no socket, no clock, no log. It belongs to the
 * agent's loop. What a look-up returns is good until the next routes_apply(). */
#pragma once
#include "control.pb-c.h"
#include "http/message.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROUTES_REFUSED_NS = 50000000 }; /* an endpoint that refused is left alone that long */

struct routes;

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
enum route_match { ROUTE_FOUND, ROUTE_WRONG_METHOD, ROUTE_UNKNOWN };

/* `self` is this node's name: its own endpoints are never picked. */
int routes_new(const char *self, struct routes **ret);
struct routes *routes_free(struct routes *r); /* NULL is a no-op */

/* 0, or -ESTALE: a delta on another epoch, nothing was changed. -ENOMEM: what is held now is
 * incomplete and has no epoch, so that the next Hello asks for everything. */
int routes_apply(struct routes *r, const Rouse__Control__V1__Routes *m);
/* False: nothing whole was applied yet. */
bool routes_epoch(const struct routes *r, uint64_t *ret_incarnation, uint64_t *ret_sequence);

const struct route *routes_get(const struct routes *r, const char *function_key); /* NULL if unknown */
/* By exact path, as sent; *ret is set with ROUTE_FOUND only. */
enum route_match routes_match(const struct routes *r, struct str method, struct str path,
                              const struct route **ret);

/* An endpoint of that revision on another node than `self` and `not_node` (NULL: any) that has not refused
 * within ROUTES_REFUSED_NS, picked by `random`; NULL if there is none. */
const struct endpoint *routes_pick(const struct routes *r, const char *function_key,
                                   const char *revision, const char *not_node, uint64_t now_ns,
                                   uint64_t random);
/* That node refused: none of its endpoints of this revision is picked for a while. */
void routes_refused(struct routes *r, const char *function_key, const char *revision,
                    const char *node, uint64_t now_ns);

struct routes_counts {
    size_t functions, paths, endpoints;
};
struct routes_counts routes_counts(const struct routes *r);
