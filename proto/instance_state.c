#include "instance_state.h"

#include <stddef.h>

static const char *const names[STATE_COUNT] = {
    "Unknown", "Pending", "Fetching", "Creating", "Initializing",
    "Ready",   "Frozen",  "Draining", "Stopped",  "Failed",
};

#define TO(s) (1u << (s))
/* An instance that is no longer wanted before it is ready goes to Draining too: one way out for
 * all. */
static const unsigned edges[STATE_COUNT] = {
    [STATE_PENDING] = TO(STATE_FETCHING) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_FETCHING] = TO(STATE_CREATING) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_CREATING] = TO(STATE_INITIALIZING) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_INITIALIZING] = TO(STATE_READY) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_READY] = TO(STATE_FROZEN) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_FROZEN] = TO(STATE_READY) | TO(STATE_DRAINING) | TO(STATE_FAILED),
    [STATE_DRAINING] = TO(STATE_STOPPED) | TO(STATE_FAILED),
};

const char *instance_state_name(enum instance_state s)
{
    return (unsigned)s < STATE_COUNT ? names[s] : names[STATE_UNKNOWN];
}

bool instance_state_edge(enum instance_state from, enum instance_state to)
{
    return (unsigned)from < STATE_COUNT && (unsigned)to < STATE_COUNT && (edges[from] & TO(to));
}
