/* life.c - the threads of the shards, from their start to the end of all.
 *
 * They come when all shards are made (make.c). At the end each takes its own
 * parts down, for which the main loop goes on running (the launcher tells of
 * exits there). Then nobody but the main loop posts to a shard any more, and its
 * last letter ends the loop: so every letter is delivered before the loops are
 * freed. */
#include "pool/log_writer.h"
#include "base/thread.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/routes.h"
#include "shard/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- the end of one */
struct life_letter {
    struct letter letter;
    struct shard *shard;
    uint64_t deadline_ns;
};

static struct life_letter *life_letter(struct shard *s)
{
    struct life_letter *l = letter_make(sizeof(*l));

    l->shard = s;
    return l;
}

static void take_down(struct shard *s)
{
    s->pool = pool_free(s->pool); /* its instances stop: the loop runs for that */
    s->ended = true;
    s->box.closed = !is_main(s); /* the main loop's is the agent's, too */
    s->gateway = gateway_free(s->gateway);
    s->peer = peer_server_free(s->peer);
    s->inner = peer_server_free(s->inner);
    code_shard_done(s);
}

static void on_ended(struct letter *l, bool late)
{
    struct shards *all = ((struct life_letter *)l)->shard->all;

    (void)late;
    if (!--all->unfinished && all->waiting)
        loop_stop(all->config.loop);
}

static void *run(void *user)
{
    struct shard *s = user;
    char name[16];

    snprintf(name, sizeof(name), "rouse-loop-%u", s->index);
    pthread_setname_np(pthread_self(), name);
    loop_run(s->loop);
    take_down(s);
    letter_post(&s->all->box, &life_letter(s)->letter, on_ended);
    while (!s->last)
        loop_run(s->loop);
    return NULL;
}

static void on_end(struct letter *l, bool late)
{
    (void)late;
    loop_stop(((struct life_letter *)l)->shard->loop);
}

static void on_last(struct letter *l, bool late)
{
    struct shard *s = ((struct life_letter *)l)->shard;

    (void)late;
    s->last = true;
    loop_stop(s->loop);
}

int shards_start(struct shards *all, struct err *e)
{
    int r = 0;

    for (unsigned i = 1; r == 0 && i < all->config.count; i++) {
        struct shard *s = shard_at(all, i);

        r = thread_start(&s->thread, run, s);
        s->running = r == 0;
        if (r < 0)
            err_errno(e, -r, "loop %u: its thread", i);
    }
    return r;
}

/* ---------------------------------------------------------------- drain */
static void on_drained_all(struct letter *l, bool late)
{
    struct shards *all = ((struct life_letter *)l)->shard->all;

    (void)late;
    if (!--all->draining)
        all->on_drained(all->drained_user);
}

static void on_server_drained(void *user)
{
    struct shard *s = user;

    if (!--s->draining)
        letter_post(&s->all->box, &life_letter(s)->letter, on_drained_all);
}

/* The inner server goes on: what it serves is a request of one that drains. */
static void drain(struct shard *s, uint64_t deadline_ns)
{
    s->draining = 2;
    gateway_drain(s->gateway, deadline_ns, on_server_drained, s);
    peer_server_drain(s->peer, deadline_ns, on_server_drained, s);
}

static void on_drain(struct letter *l, bool late)
{
    const struct life_letter *d = (struct life_letter *)l;

    if (!late)
        drain(d->shard, d->deadline_ns);
}

void shards_drain(struct shards *all, uint64_t deadline_ns, void (*on_drained)(void *user), void *user)
{
    all->draining = all->config.count;
    all->on_drained = on_drained;
    all->drained_user = user;
    for (unsigned i = 1; i < all->config.count; i++) {
        struct life_letter *l = life_letter(shard_at(all, i));

        l->deadline_ns = deadline_ns;
        letter_post(&l->shard->box, &l->letter, on_drain);
    }
    drain(shard_at(all, 0), deadline_ns);
}

/* ---------------------------------------------------------------- the end of all */
static void join_all(struct shards *all)
{
    for (unsigned i = 1; i < all->config.count; i++)
        if (shard_at(all, i)->running)
            letter_post(&shard_at(all, i)->box, &life_letter(shard_at(all, i))->letter, on_last);
    for (unsigned i = 1; i < all->config.count; i++) {
        struct shard *s = shard_at(all, i);

        if (s->running)
            pthread_join(s->thread, NULL);
        else
            take_down(s); /* it never ran */
        s->running = false;
        s->loop = loop_free(s->loop);
    }
}

void shards_end(struct shards *all)
{
    struct shard *first;

    if (!all || !all->shards || shard_at(all, 0)->ended)
        return;
    first = shard_at(all, 0);
    for (unsigned i = 1; i < all->config.count; i++)
        if (shard_at(all, i)->running) {
            all->unfinished++;
            letter_post(&shard_at(all, i)->box, &life_letter(shard_at(all, i))->letter, on_end);
        }
    take_down(first);
    all->waiting = true;
    while (all->unfinished)
        loop_run(all->config.loop);
    figures_done(all);
    join_all(all);
    if (all->config.code)
        code_done(all);
}

struct shards *shards_free(struct shards *all)
{
    if (!all)
        return NULL;
    for (unsigned i = 0; all->shards && i < all->config.count; i++) {
        struct shard *s = shard_at(all, i);

        routes_free(s->routes);
        report_free(s->report);
        free(s->hints);
    }
    up_done(all);
    logs_done(all);
    wanted_clear(&all->wanted);
    placement_done(&all->placement);
    ports_done(&all->ports);
    boxes_done(all);
    log_writer_free(all->log_writer);
    free(all->shards);
    free(all);
    return NULL;
}
