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
    struct list waiting;
    bool collecting;
};
struct waiting {
    struct list link;
    struct http_exchange *x;
};

static void say(struct http_exchange *x, int status, const char *text)
{
    http_respond(x, status, text_type, text, strlen(text));
}

/* Its client left. */
static void on_gone(struct http_exchange *x, int error)
{
    struct waiting *w = http_user(x);

    (void)error;
    list_del(&w->link);
}

static void on_done(struct http_exchange *x)
{
    struct waiting *w = http_user(x);

    list_del(&w->link);
    free(w);
}

static const struct http_exchange_ops waiting_ops = {.on_gone = on_gone, .on_done = on_done};

static void send_metrics(struct metrics_server *s, struct http_exchange *x)
{
    struct waiting *w = calloc(1, sizeof(*w));

    if (!w) {
        http_respond(x, 503, NULL, NULL, 0);
        return;
    }
    w->x = x;
    list_push_back(&s->waiting, &w->link);
    http_set_owner(x, &waiting_ops, w);
    if (s->collecting)
        return;
    s->collecting = true;
    s->config.collect(s->config.user);
}

void metrics_server_answer(struct metrics_server *s, const struct buffer *text)
{
    struct list *l;

    s->collecting = false;
    while ((l = list_pop_front(&s->waiting)))
        http_respond(list_entry(l, struct waiting, link)->x, 200, metrics_type,
                     buffer_size(text) ? buffer_bytes(text) : NULL, buffer_size(text));
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
    list_init(&s->waiting);
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
