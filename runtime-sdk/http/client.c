/* client.c - the client's pools: which links there are, which are idle, for how long. Loop's
 * thread. */
#include "http/client_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_TRUSTED_NS NS_PER_MS

static void expire(struct loop_timer *t)
{
    struct http_client *c = container_of(t, struct http_client, idle_timer);
    uint64_t now = loop_now(c->loop);

    while (!list_empty(&c->idle)) {
        struct link *k = list_entry(c->idle.next, struct link, in_client);

        if (k->idle_since + c->o.idle_ns > now) {
            loop_timer_set(c->loop, t, k->idle_since + c->o.idle_ns);
            return;
        }
        link_drop(k);
    }
}

int http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **ret)
{
    struct http_client *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->loop = l;
    if (o)
        c->o = *o;
    if (!c->o.max_idle)
        c->o.max_idle = 64;
    if (!c->o.idle_ns)
        c->o.idle_ns = 30 * NS_PER_S;
    if (!c->o.connect_timeout_ns)
        c->o.connect_timeout_ns = 2 * NS_PER_S;
    list_init(&c->calls);
    list_init(&c->idle);
    list_init(&c->free_calls);
    c->idle_timer.fn = expire;
    *ret = c;
    return 0;
}

struct http_client *http_client_free(struct http_client *c)
{
    if (!c)
        return NULL;
    while (!list_empty(&c->calls))
        http_call_cancel(list_entry(c->calls.next, struct http_call, link));
    while (!list_empty(&c->idle))
        link_drop(list_entry(c->idle.next, struct link, in_client));
    while (!list_empty(&c->free_calls)) {
        struct http_call *call = list_entry(list_pop_front(&c->free_calls), struct http_call, link);

        buffer_done(&call->request);
        free(call);
    }
    loop_timer_cancel(c->loop, &c->idle_timer);
    map_done(&c->pools);
    free(c);
    return NULL;
}

/* ---- pools */

static struct pool *pool_get(struct http_client *c, const char *address)
{
    size_t n = strlen(address);
    struct map_node *node = map_get(&c->pools, address, n);
    struct pool *p;

    if (node)
        return map_entry(node, struct pool, node);
    p = malloc(sizeof(*p) + n + 1);
    if (!p)
        return NULL;
    memcpy(p->address, address, n + 1);
    p->idle_count = p->links = 0;
    list_init(&p->idle);
    if (map_put(&c->pools, &p->node, p->address, n) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

static void pool_release(struct http_client *c, struct pool *p)
{
    if (p->links)
        return;
    map_del(&c->pools, &p->node);
    free(p);
}

static void unidle(struct link *k)
{
    list_del(&k->in_pool);
    list_del(&k->in_client);
    k->pool->idle_count--;
}

/* The peer's end of the stream may have arrived after this turn's events were collected. A link that
 * was in use a moment ago is not asked: the system call would show in every warm request. */
static bool is_stale(const struct link *k)
{
    char octet;

    return loop_now(k->client->loop) - k->idle_since > IDLE_TRUSTED_NS &&
           !(recv(conn_fd(k->conn), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

int link_get(struct http_client *c, const char *address, bool fresh, uint64_t deadline_ns,
             struct link **ret)
{
    struct conn_options o = {.open_socket = c->o.open_socket, .socket_user = c->o.socket_user};
    struct pool *p = pool_get(c, address);
    uint64_t until = loop_now(c->loop) + c->o.connect_timeout_ns;
    struct link *k;
    int r;

    if (!p)
        return -ENOMEM;
    while (!fresh && !list_empty(&p->idle)) {
        k = list_entry(p->idle.next, struct link, in_pool);
        if (is_stale(k)) {
            p->links++; /* the pool must outlive its last link here */
            link_drop(k);
            p->links--;
            continue;
        }
        unidle(k);
        *ret = k;
        return 0;
    }
    k = calloc(1, sizeof(*k));
    r = k ? conn_dial(c->loop, address, deadline_ns && deadline_ns < until ? deadline_ns : until,
                      &link_ops, &o, k, &k->conn)
          : -ENOMEM;
    if (r < 0) {
        free(k);
        pool_release(c, p);
        return r;
    }
    k->client = c;
    k->pool = p;
    list_init(&k->in_pool);
    list_init(&k->in_client);
    p->links++;
    *ret = k;
    return 0;
}

void link_put(struct link *k)
{
    struct http_client *c = k->client;
    struct pool *p = k->pool;

    if (p->idle_count >= c->o.max_idle)
        link_drop(list_entry(p->idle.prev, struct link, in_pool));
    k->call = NULL;
    k->used = true;
    conn_resume(k->conn); /* its last call may have ended while paused */
    k->idle_since = loop_now(c->loop);
    list_push_front(&p->idle, &k->in_pool);
    list_push_back(&c->idle, &k->in_client);
    p->idle_count++;
    if (!loop_timer_armed(&c->idle_timer))
        loop_timer_set(c->loop, &c->idle_timer, k->idle_since + c->o.idle_ns);
}

void link_forget(struct link *k)
{
    if (k->feed)
        k->feed->over = true;
    if (!list_empty(&k->in_pool))
        unidle(k);
    k->pool->links--;
    pool_release(k->client, k->pool);
    free(k);
}

struct conn *link_release(struct link *k)
{
    struct conn *c = k->conn;

    conn_set_user(c, NULL, NULL);
    conn_resume(c);
    link_forget(k);
    return c;
}

void link_drop(struct link *k)
{
    conn_set_user(k->conn, NULL, NULL);
    conn_abort(k->conn, 0);
    link_forget(k);
}
