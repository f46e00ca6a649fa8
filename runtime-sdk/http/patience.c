/* patience.c - how long a server waits for its clients, and for what. Loop's thread.
 *
 * All connections that are waited for in the same way have the same limit, so that the order in which
 * they began to wait is the order in which they are late: a list a kind, one timer a list, and nothing to
 * sort. A body that comes and an answer that is taken are looked at once a limit: HTTP_PROGRESS bytes must
 * have moved since, or a peer could hold a connection for ever with a byte a minute. */
#include "http/server_internal.h"
#include "base/cleanup.h"

#include <errno.h>

static void late(struct http_connection *hc);

static void on_timer(struct loop_timer *t)
{
    struct http_patience *p = container_of(t, struct http_patience, timer);

    while (!list_empty(&p->connections)) {
        struct http_connection *hc = list_entry(p->connections.next, struct http_connection, link);

        if (loop_now(p->loop) < hc->deadline) {
            loop_timer_set(p->loop, t, hc->deadline);
            return;
        }
        late(hc);
    }
}

void http_patience_init(struct http_patience *p, struct loop *l, uint64_t limit_ns)
{
    p->loop = l;
    p->limit_ns = limit_ns;
    p->timer.fn = on_timer;
    list_init(&p->connections);
}

void http_connection_await(struct http_connection *hc, enum http_wait w)
{
    struct http_server *s = hc->server;
    struct http_patience *p = &s->waits[w];

    if (w == WAIT_BODY)
        hc->goal = hc->exchange->received + HTTP_PROGRESS;
    else if (w == WAIT_TAKEN)
        hc->goal = conn_sent(hc->conn) +
                   (conn_pending(hc->conn) < HTTP_PROGRESS ? conn_pending(hc->conn) : HTTP_PROGRESS);
    hc->wait = w;
    hc->deadline = loop_now(s->loop) + p->limit_ns;
    list_del(&hc->link);
    list_push_back(&p->connections, &hc->link);
    if (!loop_timer_armed(&p->timer))
        loop_timer_set(s->loop, &p->timer, hc->deadline);
}

/* What the connection is waited for now. */
static enum http_wait wait_of(const struct http_connection *hc)
{
    if (conn_pending(hc->conn))
        return WAIT_TAKEN;
    if (hc->exchange)
        return http_body_is_due(hc->exchange) ? WAIT_BODY : WAIT_OWNER;
    return hc->in_head ? WAIT_HEAD : WAIT_REQUEST;
}

/* A limit has passed. Leaves the list's head behind it: waits anew, or is gone. */
static void late(struct http_connection *hc)
{
    enum http_wait w = wait_of(hc);

    if (w == WAIT_REQUEST && hc->wait == WAIT_HEAD)
        hc->wait = w; /* the first head has the time of a head, though not a byte of it came */
    if (hc->closing || w == WAIT_OWNER || w != hc->wait ||
        (w == WAIT_TAKEN && conn_sent(hc->conn) >= hc->goal) ||
        (w == WAIT_BODY && hc->exchange->received >= hc->goal)) {
        http_connection_await(hc, hc->closing ? WAIT_OWNER : w); /* closing: the stream's own bound */
        return;
    }
    if (w == WAIT_REQUEST) {
        http_connection_close(hc, false);
        http_connection_await(hc, WAIT_OWNER);
        return;
    }
    hc->server->stats.timeouts++;
    if (w == WAIT_TAKEN) {
        http_connection_cut(hc, -ETIMEDOUT);
        return;
    }
    http_connection_await(hc, WAIT_OWNER);
    if (w == WAIT_HEAD)
        http_connection_refuse(hc, 408, "", "the head took too long");
    else
        http_exchange_refuse(hc->exchange, 408, "the body stopped arriving", -ETIMEDOUT);
}
