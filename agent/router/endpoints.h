/* endpoints.h - the ready instances of every revision, on all nodes; a part of the route table.
 *
 * Pure, on the agent's loop, used by routes.c alone. */
#pragma once
#include "base/map.h"
#include "router/routes.h"

struct endpoints {
    char *self;
    struct map by_instance;
    struct map sets; /* by "namespace/name@revision" */
};

int endpoints_init(struct endpoints *e, const char *self);
void endpoints_done(struct endpoints *e);
void endpoints_clear(struct endpoints *e);
int endpoints_put(struct endpoints *e,
                  const Rouse__Control__V1__Endpoint *m); /* adds or replaces; -ENOMEM */
void endpoints_remove(struct endpoints *e, const char *instance);
const struct endpoint *endpoints_pick(const struct endpoints *e, const char *function_key,
                                      const char *revision, const char *not_node, uint64_t now_ns,
                                      uint64_t random);
void endpoints_refused(struct endpoints *e, const char *function_key, const char *revision,
                       const char *node, uint64_t until_ns);
