/* metrics_server.h - the agent's own HTTP face for operators: GET /metrics, /healthz, /readyz.
 *
 * On the main loop; what /metrics shows may have to be fetched from other loops. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

struct metrics_server;

struct metrics_server_config {
    struct loop *loop;
    const char *token; /* asked of clients that are not on loopback; NULL: of nobody */
    /* Somebody asks: metrics_server_answer() follows, within the call or later. Not asked again
     * before that. */
    void (*collect)(void *user);
    bool (*ready)(void *user);
    void *user;
};

int metrics_server_new(const struct metrics_server_config *c, struct metrics_server **ret);
struct metrics_server *metrics_server_free(struct metrics_server *s);
int metrics_server_listen(struct metrics_server *s, const char *address);
/* To all who asked meanwhile. */
void metrics_server_answer(struct metrics_server *s, const struct buffer *text);
void metrics_server_address(const struct metrics_server *s, char out[128]);
