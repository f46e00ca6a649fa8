/* serve_loop.c - one loop of a server: its listeners, whom new connections go to, its end.
 *
 * Who accepts. An address is watched by one loop, address i by loop i modulo the
 * loops; it hands a descriptor to the chosen loop by mail. So a new connection
 * wakes one loop besides the one that accepts, and none if that one is chosen,
 * where evio wakes all of them to let one accept(2) succeed. The alternatives:
 * one socket watched by all loops with EPOLLEXCLUSIVE wakes one, but always the
 * one that waited last, so the busiest gets the most, and no balance rule can be
 * kept; a SO_REUSEPORT socket for each loop wakes exactly one and needs no mail,
 * but the kernel's hash is then the balance, a loop that stalls keeps what was
 * hashed to it, and any program of the user may bind the same port without an
 * error. Whoever asks for reuseport has agreed to all that, and gets it.
 *
 * The end. Stopping comes by mail, so it takes effect between callbacks: the
 * listeners close, a turn later (what the kernel had for us has been read by
 * then) what is done closes, and what is left by the deadline is cut off. */
#include "reactor/serve_internal.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/random.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define DRAIN_NS       NS_PER_MS
#define SWEEP_LEAST_NS (5 * NS_PER_MS)
enum { TICK_FIRST_MS = 1000 };

/* ---- new connections */

static uint64_t next_random(struct serve_loop *sl)
{
    uint64_t x = sl->random; /* xorshift64: spreads, guards nothing */

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return sl->random = x;
}

static struct serve_loop *choose(struct serve_loop *sl)
{
    struct rouse_server *s = sl->server;
    unsigned n = s->loop_count, best, least;

    switch (s->events.balance) {
    case ROUSE_ROUND_ROBIN:
        return &s->loops[atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed) % n];
    case ROUSE_LEAST_CONNECTIONS:
        best = sl->index; /* among equals the one that needs no mail */
        least = atomic_load_explicit(&sl->open, memory_order_relaxed);
        for (unsigned i = 0; i < n; i++) {
            unsigned open = atomic_load_explicit(&s->loops[i].open, memory_order_relaxed);

            if (open < least) {
                least = open;
                best = i;
            }
        }
        return &s->loops[best];
    case ROUSE_RANDOM:
        break;
    }
    return &s->loops[next_random(sl) % n];
}

/* One open connection fewer; the loops that wait for that go on accepting. */
static void room_again(struct rouse_server *s)
{
    if (atomic_fetch_sub(&s->open, 1) != s->events.max_connections)
        return;
    for (unsigned i = 0; i < s->loop_count; i++) {
        if (!atomic_exchange(&s->loops[i].resume_posted, true))
            serve_post(s, &s->loops[i], &s->loops[i].resume);
    }
}

void serve_left(struct serve_loop *sl)
{
    atomic_fetch_sub_explicit(&sl->open, 1, memory_order_relaxed);
    room_again(sl->server);
}

static void on_accept(void *user, int fd)
{
    struct listening *at = user;
    struct serve_loop *sl = at->loop, *to;
    struct rouse_server *s = sl->server;
    unsigned max = s->events.max_connections, open = atomic_fetch_add(&s->open, 1) + 1;
    struct rouse_conn *c;

    count_up(&sl->counts.accepted, 1);
    if (open >= max)
        listener_pause(at->stream, true);
    to = s->addresses[at->index].reuseport ? sl : choose(sl);
    /* Past the maximum only when several loops accept at the same moment. */
    if (open > max || serve_conn_new(to, at->index, fd, &c) < 0) {
        count_up(&sl->counts.refused, 1);
        close(fd);
        room_again(s);
        return;
    }
    atomic_fetch_add_explicit(&to->open, 1, memory_order_relaxed);
    if (to == sl)
        serve_conn_start(c);
    else
        serve_conn_hand_over(c);
}

static void on_resume(struct mail *m)
{
    struct serve_loop *sl = container_of(m, struct serve_loop, resume);
    struct rouse_server *s = sl->server;

    atomic_store(&sl->resume_posted, false); /* before the look: a later leave posts again */
    for (size_t i = 0; i < s->address_count; i++) {
        if (sl->listening[i].stream && atomic_load(&s->open) < s->events.max_connections)
            listener_pause(sl->listening[i].stream, false);
    }
}

/* ---- timers */

static void on_tick(struct loop_timer *t)
{
    struct serve_loop *sl = container_of(t, struct serve_loop, tick);
    struct rouse_server *s = sl->server;
    enum rouse_action action = s->events.tick(s, &sl->tick_ms);

    if (!sl->tick_ms)
        sl->tick_ms = 1; /* a tick never makes the loop spin */
    loop_timer_set(sl->loop, t, loop_now(sl->loop) + sl->tick_ms * NS_PER_MS);
    if (action == ROUSE_SHUTDOWN)
        rouse_shutdown(s);
}

/* One timer for all time-outs of the loop: a connection pays nothing for having one. */
static void on_sweep(struct loop_timer *t)
{
    struct serve_loop *sl = container_of(t, struct serve_loop, sweep);
    const struct rouse_events *e = &sl->server->events;
    bool again = e->idle_timeout_ms || e->message_timeout_ms;
    uint64_t now = loop_now(sl->loop);

    list_for_each(link, &sl->conns)
    {
        again |= serve_conn_sweep(list_entry(link, struct rouse_conn, link), now);
    }
    if (again)
        loop_timer_set(sl->loop, t, now + sl->sweep_ns);
}

void serve_loop_sweep(struct serve_loop *sl)
{
    if (!loop_timer_armed(&sl->sweep))
        loop_timer_set(sl->loop, &sl->sweep, loop_now(sl->loop) + sl->sweep_ns);
}

static void on_drain(struct loop_timer *t)
{
    struct serve_loop *sl = container_of(t, struct serve_loop, drain);

    sl->draining = true;
    list_for_each(link, &sl->conns)
    {
        serve_conn_settle(list_entry(link, struct rouse_conn, link));
    }
}

static void on_deadline(struct loop_timer *t)
{
    struct serve_loop *sl = container_of(t, struct serve_loop, deadline);

    list_for_each(link, &sl->conns)
    {
        serve_conn_cut(list_entry(link, struct rouse_conn, link));
    }
    /* What closes without a reset now still has to be taken by its peer, but not for long. */
    loop_timer_set(sl->loop, t, loop_now(sl->loop) + 100 * NS_PER_MS);
}

/* ---- beginning and end */

static void stop_accepting(struct serve_loop *sl)
{
    for (size_t i = 0; i < sl->server->address_count; i++) {
        sl->listening[i].stream = listener_close(sl->listening[i].stream);
        sl->listening[i].datagram = datagram_close(sl->listening[i].datagram);
    }
    loop_timer_cancel(sl->loop, &sl->tick);
    sl->stopped = true;
}

static void on_stop(struct mail *m)
{
    struct serve_loop *sl = container_of(m, struct serve_loop, stop);
    uint64_t now = loop_now(sl->loop);

    stop_accepting(sl);
    loop_timer_set(sl->loop, &sl->drain, now + DRAIN_NS);
    loop_timer_set(sl->loop, &sl->deadline, now + sl->server->events.shutdown_timeout_ms * NS_PER_MS);
    serve_token_gone(sl->server);
}

static void on_sent(void *user, unsigned sent, unsigned dropped)
{
    struct listening *at = user;

    count_up(&at->loop->counts.datagrams_out, sent);
    count_up(&at->loop->counts.datagrams_dropped, dropped);
}

static int listen_at(struct serve_loop *sl, struct serve_address *a, struct listening *at)
{
    static const struct datagram_ops packet_ops = {.on_packet = serve_packet, .on_sent = on_sent};
    struct listener_options stream = {
        .reuseport = a->reuseport,
        .v6only = a->v6only,
        .unix_mode = sl->server->events.unix_mode,
        .max_connections = UINT_MAX, /* on_accept() counts those of all loops */
    };
    struct datagram_options datagram = {.reuseport = a->reuseport, .v6only = a->v6only};
    char text[128];
    int r;

    if (a->datagram) {
        r = datagram_open(sl->loop, (struct sockaddr *)&a->sa, a->size, &datagram, &packet_ops, at,
                          &at->datagram);
        return r < 0 ? r : serve_address_bound(a, datagram_fd(at->datagram));
    }
    address_text(&a->sa, a->size, text);
    r = listener_open(sl->loop, text, &stream, on_accept, at, &at->stream);
    if (r < 0)
        return r;
    listener_text(at->stream, a->text);
    return address_parse(a->text, &a->sa, &a->size); /* the port it got: the other loops share it */
}

static int listen_everywhere(struct serve_loop *sl)
{
    struct rouse_server *s = sl->server;

    for (unsigned i = 0; i < s->address_count; i++) {
        struct serve_address *a = &s->addresses[i];
        struct listening *at = &sl->listening[i];
        int r;

        at->loop = sl;
        at->index = i;
        at->packet = (struct rouse_conn){.loop = sl, .address = i, .datagram = a->datagram};
        if (!a->reuseport && i % s->loop_count != sl->index)
            continue;
        r = listen_at(sl, a, at);
        if (r == -EAFNOSUPPORT && a->any_family) {
            serve_address_any4(a);
            r = listen_at(sl, a, at);
        }
        if (r < 0) {
            serve_fail(s, -r, a->text, NULL);
            return r;
        }
    }
    return 0;
}

int serve_loop_open(struct serve_loop *sl)
{
    static const enum loop_backend backends[] = {
        [ROUSE_BACKEND_AUTO] = LOOP_AUTO,
        [ROUSE_BACKEND_EPOLL] = LOOP_EPOLL,
        [ROUSE_BACKEND_IO_URING] = LOOP_IO_URING,
    };
    struct rouse_server *s = sl->server;
    struct loop_options options = {.backend = backends[s->events.backend]};
    int r;

    list_init(&sl->conns);
    sl->tick.fn = on_tick;
    sl->sweep.fn = on_sweep;
    sl->drain.fn = on_drain;
    sl->deadline.fn = on_deadline;
    sl->stop.fn = on_stop;
    sl->resume.fn = on_resume;
    sl->random = random_u64() | 1;
    sl->listening = calloc(s->address_count ? s->address_count : 1, sizeof(*sl->listening));
    r = sl->listening ? loop_open(&options, &sl->loop) : -ENOMEM;
    if (r < 0) {
        serve_fail(s, -r, "event loop", NULL);
        return r;
    }
    return listen_everywhere(sl);
}

void serve_loop_begin(struct serve_loop *sl)
{
    const struct rouse_events *e = &sl->server->events;
    uint64_t now = loop_now(sl->loop), shortest = e->idle_timeout_ms;

    if (sl->index == 0 && e->tick) {
        sl->tick_ms = TICK_FIRST_MS;
        loop_timer_set(sl->loop, &sl->tick, now);
    }
    if (!shortest || (e->message_timeout_ms && e->message_timeout_ms < shortest))
        shortest = e->message_timeout_ms;
    sl->sweep_ns = shortest ? shortest * NS_PER_MS / 8 : NS_PER_S; /* that much later at most */
    if (sl->sweep_ns < SWEEP_LEAST_NS)
        sl->sweep_ns = SWEEP_LEAST_NS;
    if (shortest)
        serve_loop_sweep(sl);
}

void serve_loop_done(struct serve_loop *sl)
{
    if (sl->loop && !sl->stopped)
        stop_accepting(sl);
    /* Only after a failure: otherwise the last of them has gone before the loop ended. */
    if (sl->loop) {
        list_for_each(link, &sl->conns)
        {
            conn_abort(list_entry(link, struct rouse_conn, link)->conn, -ECANCELED);
        }
    }
    sl->loop = loop_free(sl->loop);
    buffer_done(&sl->out.bytes);
    free(sl->listening);
    sl->listening = NULL;
}
