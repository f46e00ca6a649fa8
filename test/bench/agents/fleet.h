/* fleet.h - the agents' ends of many control channels, on one thread of libwebsockets and one loop.
 *
 * The links, packets and events are those of runtime-sdk/control; a control_client would be a thread and a context
 * for each agent. Agents are counted from 0. All calls and callbacks are on the loop's thread. */
#pragma once
#include "control/channel.h"

struct fleet;
struct fleet_ops {
    void (*on_open)(void *user, unsigned agent); /* say Hello now */
    void (*on_message)(void *user, unsigned agent, const ControllerMessage *m);
    void (*on_closed)(void *user, unsigned agent, const char *reason); /* it is not dialled again */
};

/* Dials "tcp://host:port" `agents` times, a few at once. `ops` outlives it. */
int fleet_new(const char *address, unsigned agents, struct loop *loop, const struct fleet_ops *ops,
              void *user, struct fleet **ret);
/* Goes with the next fleet_flush(). -ENOTCONN. */
int fleet_queue(struct fleet *f, unsigned agent, const AgentMessage *m);
void fleet_flush(struct fleet *f);
struct fleet *fleet_free(struct fleet *f);
