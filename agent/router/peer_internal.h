/* peer_internal.h - the peer server's two parts as they see each other. On its loop.
 *
 * peer.c       the server: secret, headers, the pool
 * peer_pass.c  calls for a slot that a sibling has */
#pragma once
#include "http/client.h"
#include "http/server.h"
#include "http/trace.h"
#include "router/peer.h"
#include "invoke/target.h"

enum { PEER_TEXT_MAX = 128 };

struct peer_server {
    struct peer_server_config config;
    struct http_server *server;
    struct http_client *client; /* to the siblings; NULL: there are none */
    struct list passed;         /* calls that a sibling has */
    char *secret;               /* NULL before the first */
    bool draining;
    struct peer_server_stats stats;
    uint64_t traces; /* random_next()'s */
};

/* What a call's headers say, copied: the pool may keep it until the answer. */
struct peer_request {
    struct http_exchange *x;
    struct invoke_params params;
    struct peer_server *server;
    struct list link; /* in server->passed */
    struct http_proxy *proxy;
    char function_key[FUNCTION_KEY_MAX], revision[PEER_TEXT_MAX];
    char request_id[PEER_TEXT_MAX], client_ip[PEER_TEXT_MAX];
    char trace[HTTP_TRACE_SIZE];
};

const char *peer_refusal(int error); /* the header line */
/* True: a sibling is asked, and `r` freed when it has answered. False: nothing was done. */
bool peer_pass_on(struct peer_server *s, struct http_exchange *x, struct peer_request *r);
void peer_pass_done(struct peer_server *s); /* cuts tunnels, which outlive their exchange */
