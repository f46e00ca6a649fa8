/* endpoints.h - the ready instances of every revision, on all nodes; a part of a version of the routes.
 *
 * Changes belong to the owner, in an epoch edit; looking is any loop's. Used by
 * routes.c alone. */
#pragma once
#include "base/radix.h"
#include "router/routes.h"

struct endpoints { /* zero-initialised is empty */
    struct radix_node *by_instance;
    struct radix_node *sets; /* by "namespace/name@revision" */
    size_t count;
};

/* Adds or replaces; -ENOMEM: the edit is given up. */
int endpoints_put(struct epoch_edit *edit, struct endpoints *e,
                  const Rouse__Control__V1__Endpoint *m);
int endpoints_remove(struct epoch_edit *edit, struct endpoints *e, const char *instance);
void endpoints_retire(struct epoch_edit *edit, struct endpoints *e);
void endpoints_abandon(struct epoch_edit *edit, struct endpoints *e);
void endpoints_free(struct endpoints *e); /* nobody looks any more */

const struct endpoint *endpoints_pick(const struct endpoints *e, const char *self,
                                      const char *function_key, const char *revision,
                                      const char *not_node, uint64_t now_ns, uint64_t random);
void endpoints_refused(const struct endpoints *e, const char *function_key, const char *revision,
                       const char *node, uint64_t until_ns);
