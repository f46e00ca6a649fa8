/* gateway.h - the entry: takes clients' requests and sees each to its answer.
 *
 * A request goes to a free slot of a local instance, else to another node that
 * has the active revision, else it waits: for a moment where a slot here is about
 * to free (near.h), then as a ticket until a slot here frees or the activator
 * grants one or refuses. The bytes stay in its connection meanwhile. While the
 * controller is away, waiting requests take what becomes free here or at a peer
 * that is known. An agent with several loops has a gateway on each; what one has
 * no slot for, its siblings are asked first. On its own loop. */
#pragma once
#include "base/buffer.h"
#include "control.pb-c.h"
#include "http/timeouts.h"
#include "reactor/loop.h"

struct gateway;
struct pool;
struct report;
struct routes;
struct siblings;
struct tickets;

struct gateway_config {
    struct loop *loop;
    struct pool *pool;
    struct report *report;
    struct routes *routes;
    const char *node;
    uint64_t queue_deadline_ns; /* 0: 30 s; how long a request may wait for a slot */
    struct http_timeouts clients;
    unsigned tickets_limit; /* 0: as tickets.h */
    uint64_t held_limit;
    uint64_t ticket_base;            /* as tickets.h's id_base */
    const struct siblings *siblings; /* NULL: this agent has one loop */
    bool reuseport;                  /* the address is shared with other loops' gateways */
    int (*send)(void *user,
                const Rouse__Control__V1__AgentMessage *m); /* to the controller; -ENOTCONN is fine */
    /* A slot of this node, of any of its loops, that was granted and is not used. */
    void (*slot_unused)(void *user, uint64_t slot);
    void *user;
};

int gateway_new(const struct gateway_config *c, struct gateway **ret);
struct gateway *gateway_free(struct gateway *g); /* cuts what is left; before the pool is freed */
int gateway_listen(struct gateway *g, const char *address);
void gateway_address(const struct gateway *g, char out[128]);

/* ---- from the session */
void gateway_welcome(struct gateway *g,
                     const char *peer_secret); /* the controller is there: tickets go (again) */
void gateway_away(struct gateway *g);
void gateway_grant(struct gateway *g, const Rouse__Control__V1__Grant *m);
void gateway_refuse(struct gateway *g, const Rouse__Control__V1__Refuse *m);
/* ---- from the pool */
/* `wanted`: the activator's wish. True: a waiting request has taken it. */
bool gateway_slot_free(struct gateway *g, const char *function_key, const char *revision,
                       unsigned wanted);

/* No new clients; what runs may finish, what still waits shortly before the deadline is told to go elsewhere. */
void gateway_drain(struct gateway *g, uint64_t deadline_ns, void (*on_drained)(void *user),
                   void *user);
void gateway_metrics(const struct gateway *g, struct buffer *out);
const struct http_client_stats *gateway_client_stats(const struct gateway *g); /* of calls to peers */
