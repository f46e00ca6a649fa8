/* pool.c - the connections to one address: how many, which are idle, whether it answers at all. Loop's
 * thread.
 *
 * An address that does not accept is left alone for a while, which doubles up to BACKOFF_MAX_NS: calls fail
 * at once and can go elsewhere. When the while is over one call tries, and the others still fail until it
 * has got through. Kept connections are used whatever the health says. */
#include "base/clock.h"
#include "http/client_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_TRUSTED_NS NS_PER_MS
#define BACKOFF_MAX_NS  (500 * NS_PER_MS)
enum { FAILING_MAX = 256 }; /* addresses that are remembered without a connection */

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
    p->idle_count = p->links = p->failures = 0;
    p->retry_ns = 0;
    list_init(&p->idle);
    list_init(&p->in_failing);
    if (map_put(&c->pools, &p->node, p->address, n) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

static void pool_release(struct http_client *c, struct pool *p)
{
    if (p->links || p->failures)
        return;
    map_del(&c->pools, &p->node);
    free(p);
}

/* ---- health */

static void heal(struct http_client *c, struct pool *p)
{
    if (!p->failures)
        return;
    p->failures = 0;
    list_del(&p->in_failing);
    c->stats.failing--;
}

void pools_forget_failing(struct http_client *c, unsigned keep)
{
    while (c->stats.failing > keep) {
        struct pool *p = list_entry(c->failing.next, struct pool, in_failing);

        heal(c, p);
        pool_release(c, p);
    }
}

void link_connected(struct link *k)
{
    k->connected = true;
    heal(k->client, k->pool);
}

static void failed(struct http_client *c, struct pool *p)
{
    uint64_t wait = c->o.backoff_ns;

    for (unsigned i = 0; i < p->failures && wait < BACKOFF_MAX_NS; i++)
        wait *= 2;
    p->retry_ns = loop_now(c->loop) + (wait < BACKOFF_MAX_NS ? wait : BACKOFF_MAX_NS);
    c->stats.connect_failures++;
    c->stats.failing += !p->failures;
    p->failures++;
    list_del(&p->in_failing);
    list_push_back(&c->failing, &p->in_failing);
}

/* May a connection be made now? */
static int admit(struct http_client *c, struct pool *p)
{
    if (p->links - p->idle_count >= c->o.max_links) {
        c->stats.over_limit++;
        return -EAGAIN;
    }
    if (!p->failures)
        return 0;
    if (loop_now(c->loop) < p->retry_ns) {
        c->stats.backed_off++;
        return -EHOSTDOWN;
    }
    p->retry_ns = loop_now(c->loop) + BACKOFF_MAX_NS; /* this one finds out for all */
    return 0;
}

/* ---- links */

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
            c->stats.stale++;
            continue;
        }
        unidle(k);
        c->stats.reused++;
        *ret = k;
        return 0;
    }
    r = admit(c, p);
    if (r < 0) {
        pool_release(c, p);
        return r;
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
    c->stats.links++;
    c->stats.dials++;
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
    k->client->stats.links--;
    pool_release(k->client, k->pool);
    free(k);
}

void link_failed(struct link *k)
{
    if (!k->connected) {
        failed(k->client, k->pool);
        pools_forget_failing(k->client, FAILING_MAX);
    }
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
