/* peer.h - the owner's door: requests that other entries pass on to this node's instances.
 *
 * HTTP/1.1 keep-alive on the peer address. A call shows the platform's peer
 * secret (Rouse-Peer) and says in Rouse-* headers what it wants; without the
 * secret it gets 403 and nothing else. What cannot run here at once is refused
 * before any body byte: 503 with "Rouse-Refused: busy|stale|unknown|draining".
 * In an agent with several loops each has a peer server on the shared address; a
 * call that came to one without the slot is passed on to the sibling that has
 * it, and there runs or is refused. On its own loop. */
#pragma once
#include "base/buffer.h"
#include "pool/pool.h"
#include "reactor/loop.h"
#include "router/routes.h"
#include "router/siblings.h"

/* ---- the caller's side: the headers of one call */
struct peer_call {
    const char *secret, *request_id, *function_key, *revision;
    uint64_t slot;        /* 0: any free one */
    uint64_t deadline_ms; /* epoch; 0: none */
    uint32_t timeout_ms;
    uint64_t body_limit;
    enum invoke_shape shape;
    struct str raw_path;
    struct str route_method, route; /* "GET" or "ANY", the pattern; the latter empty: no trigger's */
    bool trusted;
    const char *client_ip;
};
/* Appends the lines, NUL-terminated. -ENOMEM. */
int peer_call_headers(const struct peer_call *c, struct buffer *to);

/* ---- the owner's side */
struct http_client_stats;
struct peer_server;
struct peer_server_config {
    struct loop *loop;
    struct pool *pool;
    const struct routes *routes;     /* limits of a function, where the caller does not name them */
    const struct siblings *siblings; /* whom to pass calls on to; NULL: nobody */
    bool reuseport;                  /* the address is shared with other loops' peer servers */
};
struct peer_server_stats {
    uint64_t calls, forbidden, malformed, refused, passed_on;
    unsigned connections;
};

int peer_server_new(const struct peer_server_config *c, struct peer_server **ret);
struct peer_server *peer_server_free(struct peer_server *s); /* cuts what is left; before the pool is freed */
int peer_server_listen(struct peer_server *s, const char *address);
void peer_server_address(const struct peer_server *s, char out[128]);
void peer_server_secret(struct peer_server *s,
                        const char *secret); /* before the first one every call is refused */
/* Refuses new calls; what runs may finish until the deadline. */
void peer_server_drain(struct peer_server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
                       void *user);
struct peer_server_stats peer_server_stats(const struct peer_server *s);
void peer_server_metrics(const struct peer_server *s, struct buffer *out);
/* Of calls to siblings; NULL: it has none. */
const struct http_client_stats *peer_server_client_stats(const struct peer_server *s);
