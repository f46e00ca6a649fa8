#include "invoke/http_link.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "invoke/invocation_internal.h"
#include "invoke/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_MIN_NS  (NS_PER_MS / 4)
#define PROBE_MAX_NS  (20 * NS_PER_MS)
#define PROBE_SHARE   16 /* a start is noticed at most this part of it late */
#define PROBE_WAIT_NS NS_PER_S
/* Servers close idle connections after 2 s (gunicorn), 5 s (Node, uvicorn) or later: by then ours are
 * gone, so that no request meets the end of its connection. */
#define IDLE_NS (1 * NS_PER_S)
#define CUT_NS  (3 * NS_PER_S) /* above the grace of a stop, below the launcher's patience */

static int open_socket(void *user, int family, int type)
{
    const struct http_link *h = user;

    int fd;

    if (h->deaf)
        return -ENOTCONN;
    if (h->namespace_fd >= 0)
        return namespace_socket(h->namespace_fd, family, type);
    fd = socket(family, type, 0);
    return fd < 0 ? -errno : fd;
}

static int dial(struct http_link *h, const char *address, const struct conn_ops *ops, void *user,
                struct conn **ret)
{
    const struct conn_options o = {.open_socket = open_socket, .socket_user = h};

    return conn_dial(h->link->loop, address, loop_now(h->link->loop) + PROBE_WAIT_NS, ops, &o, user,
                     ret);
}

/* ---------------------------------------------------------------- until it accepts */

static void try(struct http_link *h);

/* A program that takes long to start is asked less often. */
static void try_later(struct http_link *h)
{
    uint64_t now = loop_now(h->link->loop), in = (now - h->began_ns) / PROBE_SHARE;

    in = in < PROBE_MIN_NS ? PROBE_MIN_NS : in > PROBE_MAX_NS ? PROBE_MAX_NS : in;
    loop_timer_set(h->link->loop, &h->next, now + in);
}

static void on_next(struct loop_timer *t)
{
    struct http_link *h = container_of(t, struct http_link, next);

    h->trying = 0;
    try(h);
}

static void tried(struct http_link *h)
{
    h->probe = NULL;
    if (http_link_deaf(h))
        return;
    if (++h->trying < ARRAY_LEN(h->addresses))
        try(h);
    else
        try_later(h);
}

static void on_refused(struct conn *c, int error)
{
    (void)error;
    tried(conn_user(c));
}

static void on_accepted(struct conn *c)
{
    struct http_link *h = conn_user(c);
    const struct runtime_link_config *config = &h->link->config;

    h->probe = NULL;
    h->address = h->addresses[h->trying];
    conn_set_user(c, NULL, NULL);
    conn_close(c);
    link_decide(h->link, LINK_HTTP);
    config->ops->on_credit(config->user, config->concurrency);
}

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}

static void try(struct http_link *h)
{
    static const struct conn_ops ops = {
        .on_data = on_data, .on_connected = on_accepted, .on_closed = on_refused};

    if (dial(h, h->addresses[h->trying], &ops, h, &h->probe) < 0)
        tried(h);
}

int http_link_dial(struct http_link *h, const struct conn_ops *ops, void *user, struct conn **ret)
{
    return dial(h, h->address, ops, user, ret);
}

/* ---------------------------------------------------------------- life */

/* Connections that the client does not read keep the network, and with it the sandbox's remains. */
static void on_cut(struct loop_timer *t)
{
    struct http_link *h = container_of(t, struct http_link, cut);

    while (!list_empty(&h->running))
        invocation_lost(list_entry(h->running.next, struct invocation, of_server), "InstanceLost",
                        "the instance ended with the request");
}

int http_link_new(struct runtime_link *l, int fd, struct http_link **ret)
{
    struct http_link *h = calloc(1, sizeof(*h));
    struct http_client_options o = {
        .max_idle = l->config.concurrency,
        .idle_ns = IDLE_NS,
        /* A full backlog answers late: the function's time-out comes before this. */
        .connect_timeout_ns = l->config.timeout_ms * NS_PER_MS + NS_PER_S,
        .open_socket = open_socket,
        .socket_user = h,
    };
    int r = -ENOMEM;

    if (h) {
        h->link = l;
        h->namespace_fd = -1;
        list_init(&h->running);
        r = fd >= 0 ? namespace_of_socket(fd, &h->namespace_fd) : 0;
    }
    if (fd >= 0)
        close(fd);
    if (r == 0)
        r = http_client_new(l->loop, &o, &h->client);
    if (r < 0) {
        http_link_free(h);
        return r;
    }
    snprintf(h->addresses[0], sizeof(h->addresses[0]), "tcp://127.0.0.1:%u", l->config.port);
    snprintf(h->addresses[1], sizeof(h->addresses[1]), "tcp://[::1]:%u", l->config.port);
    h->began_ns = loop_now(l->loop);
    h->next.fn = on_next;
    h->cut.fn = on_cut;
    loop_timer_set(l->loop, &h->next, h->began_ns);
    *ret = h;
    return 0;
}

static void stop_trying(struct http_link *h)
{
    loop_timer_cancel(h->link->loop, &h->next);
    if (h->probe) {
        conn_set_user(h->probe, NULL, NULL);
        conn_abort(h->probe, 0);
        h->probe = NULL;
    }
}

void http_link_deafen(struct http_link *h)
{
    if (http_link_deaf(h))
        return;
    h->deaf = true;
    stop_trying(h);
    if (h->namespace_fd >= 0)
        close(h->namespace_fd);
    h->namespace_fd = -1;
    loop_timer_set(h->link->loop, &h->cut, loop_now(h->link->loop) + CUT_NS);
}

struct http_link *http_link_free(struct http_link *h)
{
    if (!h)
        return NULL;
    if (h->client) {
        http_link_deafen(h);
        loop_timer_cancel(h->link->loop, &h->cut);
        http_client_free(h->client);
    }
    if (h->namespace_fd >= 0)
        close(h->namespace_fd);
    free(h);
    return NULL;
}
