/* server.c - an HTTP server: its listeners, its connections as a set, draining. Loop's thread. */
#include "http/server_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct http_exchange_ops http_no_ops;

static void tell_drained(struct loop_deferred *d)
{
    struct http_server *s = container_of(d, struct http_server, drained);

    loop_timer_cancel(s->loop, &s->drain_timer);
    if (s->on_drained)
        s->on_drained(s->drained_user);
}

static void cut_all(struct http_server *s)
{
    for (int w = 0; w < HTTP_WAITS; w++) {
        list_for_each(link, &s->waits[w].connections)
            http_connection_cut(list_entry(link, struct http_connection, link), -ECANCELED);
    }
}

static void drain_deadline(struct loop_timer *t)
{
    struct http_server *s = container_of(t, struct http_server, drain_timer);

    cut_all(s);
}

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret)
{
    struct http_server *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->loop = l;
    s->o = *o;
    if (!s->o.hold_limit)
        s->o.hold_limit = 64 * 1024;
    if (!s->o.header_timeout_ns)
        s->o.header_timeout_ns = 10 * NS_PER_S;
    if (!s->o.idle_timeout_ns)
        s->o.idle_timeout_ns = 75 * NS_PER_S;
    if (!s->o.write_timeout_ns)
        s->o.write_timeout_ns = 60 * NS_PER_S;
    if (!s->o.body_timeout_ns)
        s->o.body_timeout_ns = 30 * NS_PER_S;
    if (!s->o.max_connections)
        s->o.max_connections = 10000;
    http_patience_init(&s->waits[WAIT_REQUEST], l, s->o.idle_timeout_ns);
    http_patience_init(&s->waits[WAIT_HEAD], l, s->o.header_timeout_ns);
    http_patience_init(&s->waits[WAIT_BODY], l, s->o.body_timeout_ns);
    http_patience_init(&s->waits[WAIT_OWNER], l, s->o.write_timeout_ns);
    http_patience_init(&s->waits[WAIT_TAKEN], l, s->o.write_timeout_ns);
    list_init(&s->exchanges);
    list_init(&s->free_exchanges);
    list_init(&s->drained.link);
    s->drain_timer.fn = drain_deadline;
    s->drained.fn = tell_drained;
    *ret = s;
    return 0;
}

static void on_accept(void *user, int fd)
{
    if (http_connection_open(user, fd) < 0)
        close(fd);
}

int http_server_listen(struct http_server *s, const char *address, const struct listener_options *o)
{
    struct listener_options all = o ? *o : (struct listener_options){0};
    int r;

    if (s->listener_count == HTTP_LISTENERS_MAX)
        return -EMFILE;
    if (!all.max_connections)
        all.max_connections = s->o.max_connections;
    r = listener_open(s->loop, address, &all, on_accept, s, &s->listeners[s->listener_count]);
    if (r == 0)
        s->listener_count++;
    return r;
}

int http_server_listen_fd(struct http_server *s, int fd)
{
    int r;

    if (s->listener_count == HTTP_LISTENERS_MAX)
        return -EMFILE;
    r = listener_open_fd(s->loop, fd, on_accept, s, &s->listeners[s->listener_count]);
    if (r == 0)
        s->listener_count++;
    return r;
}

int http_server_open(struct http_server *s, int fd)
{
    if (s->draining)
        return -ESHUTDOWN;
    if (s->stats.connections >= s->o.max_connections)
        return -EMFILE;
    return http_connection_open(s, fd);
}

void http_server_address(const struct http_server *s, char out[128])
{
    out[0] = '\0';
    if (s->listener_count)
        listener_text(s->listeners[0], out);
}

const struct http_server_stats *http_server_stats(const struct http_server *s)
{
    return &s->stats;
}

static void pause_listeners(struct http_server *s)
{
    bool full = s->stats.connections >= s->o.max_connections;

    if (full == s->listeners_paused)
        return;
    s->listeners_paused = full;
    for (unsigned i = 0; i < s->listener_count; i++)
        listener_pause(s->listeners[i], full);
}

void http_server_add(struct http_server *s)
{
    s->stats.accepted++;
    s->stats.connections++;
    pause_listeners(s);
}

void http_server_remove(struct http_server *s, struct http_connection *hc)
{
    list_del(&hc->link);
    s->stats.connections--;
    pause_listeners(s);
    if (s->draining && !s->stats.connections)
        loop_defer(s->loop, &s->drained);
}

static void close_listeners(struct http_server *s)
{
    for (unsigned i = 0; i < s->listener_count; i++)
        listener_close(s->listeners[i]);
    s->listener_count = 0;
}

static void close_idle(struct http_server *s, enum http_wait w)
{
    list_for_each(link, &s->waits[w].connections)
    {
        struct http_connection *hc = list_entry(link, struct http_connection, link);

        if (!hc->exchange && !hc->in_head)
            http_connection_close(hc, false);
    }
}

void http_server_drain(struct http_server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
                       void *user)
{
    s->draining = true;
    s->on_drained = on_drained;
    s->drained_user = user;
    close_listeners(s);
    /* A head that has begun is a request: it is still answered. */
    close_idle(s, WAIT_REQUEST);
    close_idle(s, WAIT_HEAD);
    close_idle(s, WAIT_TAKEN);
    loop_timer_set(s->loop, &s->drain_timer, deadline_ns);
    if (!s->stats.connections)
        loop_defer(s->loop, &s->drained);
}

struct http_server *http_server_free(struct http_server *s)
{
    if (!s)
        return NULL;
    close_listeners(s);
    cut_all(s);
    while (!list_empty(&s->exchanges)) { /* told here: nothing may outlive the server */
        struct http_exchange *x = list_entry(s->exchanges.next, struct http_exchange, link);

        list_del(&x->done.link);
        http_exchange_done(&x->done);
    }
    while (!list_empty(&s->free_exchanges))
        free(list_entry(list_pop_front(&s->free_exchanges), struct http_exchange, link));
    for (int w = 0; w < HTTP_WAITS; w++)
        loop_timer_cancel(s->loop, &s->waits[w].timer);
    loop_timer_cancel(s->loop, &s->drain_timer);
    list_del(&s->drained.link);
    free(s);
    return NULL;
}

/* ---- exchanges */

struct http_exchange *http_exchange_new(struct http_connection *hc)
{
    struct http_server *s = hc->server;
    struct list *link = list_pop_front(&s->free_exchanges);
    struct http_exchange *x;

    if (link) {
        x = list_entry(link, struct http_exchange, link);
        s->free_count--;
    } else {
        x = malloc(sizeof(*x));
        if (!x)
            return NULL;
    }
    memset(x, 0, offsetof(struct http_exchange, head));
    x->hc = hc;
    x->server = s;
    x->ops = &http_no_ops;
    x->trailers = (struct buffer){0};
    x->head_bytes = x->head_inline;
    x->refusal_headers[0] = '\0';
    x->done.fn = http_exchange_done;
    x->deliver.fn = http_body_deliver;
    list_init(&x->done.link);
    list_init(&x->deliver.link);
    list_push_back(&s->exchanges, &x->link);
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;

    list_del(&x->link);
    list_del(&x->done.link);
    list_del(&x->deliver.link);
    buffer_done(&x->held);
    buffer_done(&x->trailers);
    if (x->head_bytes != x->head_inline)
        free(x->head_bytes);
    if (s->free_count == HTTP_EXCHANGES_KEPT) {
        free(x);
        return;
    }
    list_push_front(&s->free_exchanges, &x->link);
    s->free_count++;
}

const char *http_server_date(struct http_server *s)
{
    uint64_t now = loop_now(s->loop), wall;
    time_t second;
    struct tm tm;

    if (now >= s->date_until) {
        wall = clock_ns(CLOCK_REALTIME);
        second = (time_t)(wall / NS_PER_S);
        s->date_until = now + NS_PER_S - wall % NS_PER_S;
        gmtime_r(&second, &tm);
        strftime(s->date, sizeof(s->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    return s->date;
}
