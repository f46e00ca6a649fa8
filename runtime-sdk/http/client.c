/* client.c - the client's life, and its idle connections' end. Loop's thread. */
#include "http/client_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    if (!c->o.max_links)
        c->o.max_links = 10000;
    if (!c->o.backoff_ns)
        c->o.backoff_ns = 20 * NS_PER_MS;
    list_init(&c->calls);
    list_init(&c->failing);
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
    pools_forget_failing(c, 0);
    loop_timer_cancel(c->loop, &c->idle_timer);
    map_done(&c->pools);
    free(c);
    return NULL;
}

const struct http_client_stats *http_client_stats(const struct http_client *c)
{
    return &c->stats;
}
