/* siblings.h - the other loops of this agent, as an entry or a peer server sees them.
 *
 * Every loop of an agent has a pool of its own. What one has no slot for, another
 * may: it is asked as another node is, by HTTP with Rouse-* headers, on a Unix
 * socket in the state directory, before other nodes and before a ticket. The
 * hints say whom it is worth to ask. Whoever is asked so asks nobody else.
 * Constant while the loops run, and read by all of them. */
#pragma once
#include "pool/slot_hints.h"
#include <stdint.h>

enum { LOOPS_MAX = 64, LOOP_SHIFT = 48 /* ids of slots and tickets have their loop above it */ };

struct siblings {
    unsigned count, self;
    const char *secret; /* of this agent's life; what they show each other as Rouse-Peer */
    const char *const *addresses; /* "unix:///...", by loop */
    struct slot_hints *const *hints;
};

static inline unsigned loop_of_id(uint64_t id)
{
    return (unsigned)(id >> LOOP_SHIFT);
}
/* The sibling that gave out this slot; -1: none did. NULL has no siblings. */
int siblings_owner(const struct siblings *s, uint64_t slot);
/* A sibling that seems to have a free slot of that revision, looked for from `from` on; -1: none. */
int siblings_free(const struct siblings *s, const char *function_key, const char *revision,
                  unsigned from);
