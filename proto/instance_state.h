/* instance_state.h - the states of an instance, their names and the edges between them.
 *
 * The contract of agent and controller: the agent moves an instance along
 * these edges only, and the controller refuses to believe others. The numbers
 * are those of InstanceState in control.proto. */
#pragma once
#include <stdbool.h>

enum instance_state {
    STATE_UNKNOWN,
    STATE_PENDING,
    STATE_FETCHING,
    STATE_CREATING,
    STATE_INITIALIZING,
    STATE_READY,
    STATE_FROZEN,
    STATE_DRAINING,
    STATE_STOPPED,
    STATE_FAILED,
    STATE_COUNT
};

const char *instance_state_name(enum instance_state s); /* "Ready"; "Unknown" otherwise */
bool instance_state_edge(enum instance_state from, enum instance_state to); /* false for from == to */
static inline bool instance_state_final(enum instance_state s)
{
    return s == STATE_STOPPED || s == STATE_FAILED;
}
