/* relay.c - see the header. On the loop's thread.
 *
 * The idle timer is set once and looks back: moving it at every byte would cost more than the byte. */
#include "reactor/relay.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define IDLE_NS (300 * NS_PER_S)

struct side {
    struct relay *relay;
    struct conn *conn; /* NULL: gone */
    uint64_t bytes;    /* read from it */
    bool ended;        /* its end was passed on to the other */
};

struct relay {
    struct loop *loop;
    struct side sides[2];
    struct relay_options o;
    struct loop_timer idle;
    uint64_t moved; /* what had moved when the timer looked last */
    struct loop_deferred over;
    int error;
};

static struct side *other(struct side *s)
{
    struct relay *r = s->relay;

    return s == &r->sides[0] ? &r->sides[1] : &r->sides[0];
}

/* Lets go of both connections and tells at the end of the turn. */
static void end(struct relay *r, int error)
{
    for (int i = 0; i < 2; i++) {
        struct conn *c = r->sides[i].conn;

        if (!c)
            continue;
        r->sides[i].conn = NULL;
        conn_set_user(c, NULL, NULL);
        if (error < 0)
            conn_abort(c, error);
        else
            conn_close(c);
    }
    loop_timer_cancel(r->loop, &r->idle);
    r->error = error;
    loop_defer(r->loop, &r->over);
}

static void tell_over(struct loop_deferred *d)
{
    struct relay *r = container_of(d, struct relay, over);
    struct relay_options o = r->o;
    uint64_t bytes[2] = {r->sides[0].bytes, r->sides[1].bytes};
    int error = r->error;

    free(r);
    if (o.on_over)
        o.on_over(o.user, error, bytes);
}

/* ---- the two ways */

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct side *s = conn_user(c), *to = other(s);

    s->bytes += n;
    if (conn_write(to->conn, in, n) == 0 && conn_congested(to->conn))
        conn_pause(c);
    return n; /* a write that failed is told by the other's on_closed() */
}

static void on_drained(struct conn *c)
{
    struct side *s = conn_user(c);

    conn_resume(other(s)->conn);
}

static void on_eof(struct conn *c)
{
    struct side *s = conn_user(c);

    s->ended = true;
    if (other(s)->ended)
        end(s->relay, 0);
    else
        conn_shutdown(other(s)->conn);
}

static void on_closed(struct conn *c, int error)
{
    struct side *s = conn_user(c);

    s->conn = NULL;
    end(s->relay, error ? error : -ECONNRESET);
}

static const struct conn_ops side_ops = {
    .on_data = on_data, .on_drained = on_drained, .on_eof = on_eof, .on_closed = on_closed};

/* ---- time, start, end */

static uint64_t moved(const struct relay *r)
{
    return r->sides[0].bytes + r->sides[1].bytes + conn_sent(r->sides[0].conn) +
           conn_sent(r->sides[1].conn);
}

static void on_idle(struct loop_timer *t)
{
    struct relay *r = container_of(t, struct relay, idle);
    uint64_t now = moved(r);

    if (now == r->moved) {
        end(r, -ETIMEDOUT);
        return;
    }
    r->moved = now;
    loop_timer_set(r->loop, t, loop_now(r->loop) + r->o.idle_ns);
}

static void take(struct relay *r, int i, const struct relay_side *from)
{
    r->sides[i] = (struct side){.relay = r, .conn = from->conn};
    conn_set_user(from->conn, &side_ops, &r->sides[i]);
}

int relay_start(const struct relay_side *a, const struct relay_side *b,
                const struct relay_options *o, struct relay **ret)
{
    const struct relay_side *from[2] = {a, b};
    struct relay *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->loop = conn_loop(a->conn);
    r->o = *o;
    if (!r->o.idle_ns)
        r->o.idle_ns = IDLE_NS;
    r->idle.fn = on_idle;
    r->over.fn = tell_over;
    list_init(&r->over.link);
    for (int i = 0; i < 2; i++)
        take(r, i, from[i]);
    for (int i = 0; i < 2; i++) {
        /* A write that fails here is told by on_closed(), at the end of the turn. */
        if (from[i]->n)
            on_data(from[i]->conn, from[i]->rest, from[i]->n);
        if (!conn_congested(from[!i]->conn))
            conn_resume(from[i]->conn);
    }
    r->moved = moved(r);
    loop_timer_set(r->loop, &r->idle, loop_now(r->loop) + r->o.idle_ns);
    *ret = r;
    return 0;
}

uint64_t relay_bytes(const struct relay *r)
{
    return r->sides[0].bytes + r->sides[1].bytes;
}

struct relay *relay_free(struct relay *r)
{
    if (!r)
        return NULL;
    end(r, -ECANCELED);
    list_del(&r->over.link);
    free(r);
    return NULL;
}
