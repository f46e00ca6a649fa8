/* metrics_server.c - see the header. On the agent's loop. */
#include "router/metrics_server.h"
#include "http/secret.h"
#include "http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_CONNECTIONS_MAX = 64 };
static const char text_type[] = "Content-Type: text/plain; charset=utf-8\r\n";
static const char metrics_type[] = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";

struct metrics_server {
    struct metrics_server_config config;
    struct http_server *server;
};

static void say(struct http_exchange *x, int status, const char *text)
{
    http_respond(x, status, text_type, text, strlen(text));
}

static void send_metrics(struct metrics_server *s, struct http_exchange *x)
{
    cleanup_buffer struct buffer out = {0};

    s->config.fill(s->config.user, &out);
    http_respond(x, 200, metrics_type, buffer_size(&out) ? buffer_bytes(&out) : NULL,
                 buffer_size(&out));
}

/* Names and rates of all functions are not for everybody, nor for the functions themselves. */
static bool may_read(const struct metrics_server *s, const struct http_exchange *x)
{
    return !s->config.token || http_client_on_loopback(x) ||
           http_shows_token(http_head(x), s->config.token);
}

static void on_request(struct http_exchange *x, void *user)
{
    const struct http_head *h = http_head(x);
    struct metrics_server *s = user;

    if (!str_eq(h->method, "GET") && !str_eq(h->method, "HEAD"))
        http_respond(x, 405, "Allow: GET, HEAD\r\n", NULL, 0);
    else if (str_eq(h->path, "/metrics") && !may_read(s, x))
        http_respond(x, 401, "WWW-Authenticate: Bearer\r\n", NULL, 0);
    else if (str_eq(h->path, "/metrics"))
        send_metrics(s, x);
    else if (str_eq(h->path, "/healthz"))
        say(x, 200, "ok\n");
    else if (str_eq(h->path, "/readyz") && s->config.ready(s->config.user))
        say(x, 200, "ready\n");
    else if (str_eq(h->path, "/readyz"))
        say(x, 503, "waiting for the controller's Welcome and routes\n");
    else
        say(x, 404, "/metrics, /healthz and /readyz are here\n");
}

int metrics_server_new(const struct metrics_server_config *c, struct metrics_server **ret)
{
    struct metrics_server *s = calloc(1, sizeof(*s));
    struct http_server_options o = {
        .on_request = on_request, .user = s, .max_connections = METRICS_CONNECTIONS_MAX};
    int r;

    if (!s)
        return -ENOMEM;
    s->config = *c;
    r = http_server_new(c->loop, &o, &s->server);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *s)
{
    if (!s)
        return NULL;
    http_server_free(s->server);
    free(s);
    return NULL;
}

int metrics_server_listen(struct metrics_server *s, const char *address)
{
    struct listener_options o = {0};

    return http_server_listen(s->server, address, &o);
}

void metrics_server_address(const struct metrics_server *s, char out[128])
{
    http_server_address(s->server, out);
}
