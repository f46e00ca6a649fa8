/* peer_call.c - the header lines by which one node asks another to run a request. Pure. */
#include "router/peer.h"

#include <errno.h>
#include <inttypes.h>

int peer_call_headers(const struct peer_call *c, struct buffer *to)
{
    int r = buffer_printf(to,
                          "Rouse-Peer: %s\r\n"
                          "Rouse-Request-Id: %s\r\n"
                          "Rouse-Function: %s\r\n"
                          "Rouse-Revision: %s\r\n"
                          "Rouse-Slot: %" PRIu64 "\r\n"
                          "Rouse-Deadline: %" PRIu64 "\r\n"
                          "Rouse-Timeout: %" PRIu32 "\r\n"
                          "Rouse-Body-Limit: %" PRIu64 "\r\n"
                          "Rouse-Shape: %s\r\n"
                          "Rouse-Path: %.*s\r\n"
                          "Rouse-Trusted: %d\r\n"
                          "Rouse-Client: %s\r\n",
                          c->secret, c->request_id, c->function_key, c->revision, c->slot,
                          c->deadline_ms, c->timeout_ms, c->body_limit,
                          c->shape == INVOKE_RAW ? "raw" : "http", (int)c->raw_path.n,
                          c->raw_path.at, c->trusted, c->client_ip);

    if (r == 0 && c->route.n)
        r = buffer_printf(to, "Rouse-Route: %.*s %.*s\r\n", (int)c->route_method.n,
                          c->route_method.at, (int)c->route.n, c->route.at);
    return r < 0 ? r : buffer_append(to, "", 1);
}
