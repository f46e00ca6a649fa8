/* request.h - one client's request at this entry, and the gateway's inside that it needs.
 *
 * Shared by gateway.c, which owns requests, and request.c, which moves them.
 * On the agent's loop. A request is freed by the pool's on_done() if the pool
 * has its exchange, else by the server's; the proxy gives the exchange back. */
#pragma once
#include "http/trace.h"
#include "http/client.h"
#include "http/server.h"
#include "pool/pool.h"
#include "router/gateway.h"
#include "router/near.h"
#include "invoke/request_id.h"
#include "router/routes.h"
#include "router/siblings.h"
#include "invoke/target.h"
#include "router/tickets.h"

enum request_state {
    REQUEST_NEW,
    REQUEST_NEAR,     /* a slot of this node is about to become free */
    REQUEST_WAITING,  /* a ticket is open */
    REQUEST_LOCAL,    /* the pool has the exchange */
    REQUEST_REMOTE,   /* the proxy has it */
    REQUEST_ANSWERED, /* the answer goes out; the server's on_done() follows */
    REQUEST_GONE,     /* the client left before an answer */
    REQUEST_TUNNEL,   /* upgraded: the exchange is over, the proxy has the stream */
    REQUEST_STATES
};
const char *request_state_name(enum request_state s);
bool request_state_edge(enum request_state from, enum request_state to);

struct gateway_stats {
    uint64_t requests, local, sibling, remote, remote_refused, remote_lost, gone, refused_grants;
    uint64_t sibling_refused;
    uint64_t near_served, near_over, tickets_here;
    uint64_t answers[6]; /* by this entry itself, by class of status */
};
struct gateway {
    struct gateway_config config;
    struct http_server *server;
    struct http_client *client;
    struct tickets *tickets;
    struct near *near;
    struct request_ids ids;
    char *node, *peer_secret; /* secret: "" until the first Welcome */
    bool away, draining;
    struct loop_timer sweep, drain_timer;
    struct list requests, free_requests;
    unsigned free_count;
    struct gateway_stats stats;
    uint64_t traces; /* random_next()'s */
};

/* Its lease ends: here at once, another node's by way of the controller. */
void gateway_slot_unused(struct gateway *g, const Rouse__Control__V1__Grant *m);

enum { REQUEST_REMOTE_TRIES = 2, REQUEST_SIBLING_TRIES = 2, REQUESTS_KEPT = 256 };

struct request {
    struct gateway *gateway;
    struct http_exchange *x;
    struct list link;
    enum request_state state;
    char id[REQUEST_ID_SIZE];
    uint64_t since_ns;
    struct target target; /* function_key is filled in when it becomes known */
    struct near_wait near;
    struct ticket ticket;
    struct http_proxy *proxy; /* while it is remote, or a tunnel */
    char *texts;              /* the ticket's method, host and path, one allocation */
    bool known;               /* the function exists: a route or a grant said so */
    bool waited;              /* for a slot of this node: not twice */
    bool granted;             /* the present try uses a leased slot */
    bool uploading;           /* ... and began before the body was here */
    struct str route; /* pattern of the trigger that matched, or empty; a view into the routes or ... */
    char *kept_route; /* ... this copy, before anything waits */
    bool route_any;
    bool at_sibling; /* the present hop is to another loop of this agent */
    unsigned remote_tries, sibling_tries;
    int remote_status;
    /* Not cleared when a request is used again but for its first byte. */
    char revision[64], remote_node[64];
    char client[128];
    char trace[HTTP_TRACE_SIZE];
};
void requests_done(struct gateway *g); /* cuts the tunnels that are left, frees the kept ones */

/* Takes a fresh exchange and brings it on its way. */
void request_start(struct gateway *g, struct http_exchange *x);
/* A waiting one, while the controller is away: true if it left the queue. */
bool request_serve_waiting(struct request *r);
/* One that waits, near or with a ticket, and a slot of this node: false if it did not take it. */
bool request_serve_here(struct request *r, const char *revision);
void request_near_over(struct request *r); /* there was none in time */
/* A closed ticket's request that this entry refuses. */
void request_refuse_waiting(struct request *r);
extern const struct ticket_ops request_ticket_ops;
