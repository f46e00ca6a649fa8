/* session.h - this agent's session with the controller: says Hello, keeps the order, hands messages on.
 *
 * Hello carries the whole actual state, which the owner brings when it has it;
 * after Welcome the tickets go (again). A delta that does not fit ends the
 * connection, and the next Hello asks for what is missing. On the main loop. */
#pragma once
#include "control.pb-c.h"
#include "reactor/loop.h"

struct session;
struct runtimes;

struct session_label {
    const char *name, *value;
};
struct session_ops {
    /* The connection stands: session_hello() is wanted, now or later. */
    void (*on_open)(void *user);
    void (*on_welcome)(void *user, const Rouse__Control__V1__Welcome *m);
    void (*on_away)(void *user); /* the connection is over; also told when there was none */
    /* All messages but Welcome and HelloReject. 0, or -errno with the reason for which the
     * connection ends and a new Hello is said. */
    int (*on_message)(void *user, const Rouse__Control__V1__ControllerMessage *m,
                      const char **ret_why);
    void (*on_report)(void *user);                       /* time for one: each second */
    void (*on_rejected)(void *user, const char *reason); /* the controller does not want this node */
};
struct session_config { /* strings and labels live as long as the session */
    struct loop *loop;
    const char *address, *token; /* the controller's; token may be NULL */
    const char *node, *version;
    const char *gateway_address, *peer_address;
    const struct session_label *labels;
    size_t label_count;
    const struct session_label *taints;
    size_t taint_count;
    uint64_t memory; /* allocatable bytes */
    uint32_t cpu_millis;
    struct runtimes *runtimes;
    const struct session_ops *ops;
    void *user;
};

int session_new(const struct session_config *c, struct session **ret);
struct session *session_free(struct session *s); /* closes the channel; NULL is a no-op */
/* Says Hello, with the instances and epochs of `actual`. -errno: a new connection follows. */
int session_hello(struct session *s, const Rouse__Control__V1__Hello *actual);
/* What came cannot be made true here: ends the connection; a new one asks for everything. */
void session_break(struct session *s, const char *why);
/* States and tickets that are gone go within a millisecond, states before ready and acknowledgements within ten, or
 * with what goes sooner; all in order.
 * -ENOTCONN before Hello was said (and for tickets, before Welcome); NULL is -ENOTCONN. */
int session_send(struct session *s, const Rouse__Control__V1__AgentMessage *m);
/* Welcome came and routes were applied, once: this node can serve. */
bool session_ready(const struct session *s);
