/* metrics_server.h - the agent's own HTTP face for operators: GET /metrics, /healthz, /readyz.
 *
 * On the agent's loop. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

struct metrics_server;

struct metrics_server_config {
    struct loop *loop;
    const char *token; /* asked of clients that are not on loopback; NULL: of nobody */
    void (*fill)(void *user, struct buffer *out); /* appends Prometheus text */
    bool (*ready)(void *user);
    void *user;
};

int metrics_server_new(const struct metrics_server_config *c, struct metrics_server **ret);
struct metrics_server *metrics_server_free(struct metrics_server *s);
int metrics_server_listen(struct metrics_server *s, const char *address);
void metrics_server_address(const struct metrics_server *s, char out[128]);
