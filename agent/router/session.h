/* session.h - this agent's session with the controller: says Hello, keeps the order, deals messages out.
 *
 * Hello carries the whole actual state; after Welcome the tickets go (again).
 * Desired and slots are the pool's, routes the route table's, grants the
 * gateway's. A delta that does not fit ends the connection, and the next Hello
 * asks for what is missing. On the agent's loop. */
#pragma once
#include "control.pb-c.h"
#include "reactor/loop.h"

struct session;
struct gateway;
struct peer_server;
struct pool;
struct report;
struct routes;
struct runtimes;

struct session_label {
    const char *name, *value;
};
struct session_config { /* strings and labels live as long as the session */
    struct loop *loop;
    const char *address, *token; /* the controller's; token may be NULL */
    const char *node, *version;
    const char *gateway_address, *peer_address;
    const struct session_label *labels;
    size_t label_count;
    uint64_t memory; /* allocatable bytes */
    uint32_t cpu_millis;
    struct runtimes *runtimes;
    struct pool *pool;
    struct routes *routes;
    struct gateway *gateway;
    struct peer_server *peer;
    struct report *report;
    void (*on_rejected)(void *user, const char *reason); /* the controller does not want this node */
    void *user;
};

int session_new(const struct session_config *c, struct session **ret);
struct session *session_free(struct session *s); /* closes the channel; NULL is a no-op */
/* -ENOTCONN before Hello was said (and for tickets, before Welcome); NULL is -ENOTCONN. */
int session_send(struct session *s, const Rouse__Control__V1__AgentMessage *m);
/* Welcome came and routes were applied, once: this node can serve. */
bool session_ready(const struct session *s);
