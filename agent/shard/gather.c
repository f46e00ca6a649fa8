/* gather.c - see the header. */
#include "shard/gather.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "shard/internal.h"

struct question {
    struct letter letter;
    struct gather *gather;
    struct shard *shard;
};
struct reply {
    struct letter letter;
    struct gather *gather;
    unsigned from;
    struct buffer bytes;
};

static void finish(struct gather *g)
{
    g->running = false;
    loop_timer_cancel(g->all->config.loop, &g->timer);
    g->done(g);
    for (unsigned i = 0; i < g->all->config.count; i++)
        g->parts[i].fresh = false;
}

static void on_impatient(struct loop_timer *t)
{
    finish(list_entry(t, struct gather, timer));
}

static void take(struct gather *g, unsigned from, struct buffer *bytes)
{
    struct gather_part *p = &g->parts[from];

    buffer_done(&p->bytes);
    p->bytes = *bytes;
    *bytes = (struct buffer){0};
    p->asked = false;
    p->fresh = true;
}

static void on_reply(struct letter *l, bool late)
{
    struct reply *r = (struct reply *)l;
    struct gather *g = r->gather;

    (void)late;
    take(g, r->from, &r->bytes);
    if (g->running && !--g->missing)
        finish(g);
}

static void on_question(struct letter *l, bool late)
{
    struct question *q = (struct question *)l;
    struct reply *r;

    if (late)
        return;
    r = letter_make(sizeof(*r));
    r->gather = q->gather;
    r->from = q->shard->index;
    q->gather->ask(q->shard, &r->bytes);
    letter_post(&q->shard->all->box, &r->letter, on_reply);
}

void gather_start(struct gather *g)
{
    struct shards *all = g->all;
    struct buffer own = {0};

    if (g->running || shard_at(all, 0)->ended)
        return;
    g->running = true;
    g->missing = 0;
    for (unsigned i = 1; i < all->config.count; i++) {
        struct gather_part *p = &g->parts[i];

        if (p->fresh) /* it was late, and has not been counted yet */
            continue;
        g->missing++;
        if (!p->asked) {
            struct question *q = letter_make(sizeof(*q));

            q->gather = g;
            q->shard = shard_at(all, i);
            p->asked = true;
            letter_post(&q->shard->box, &q->letter, on_question);
        }
    }
    g->ask(shard_at(all, 0), &own);
    take(g, 0, &own);
    g->timer.fn = on_impatient;
    if (g->missing)
        loop_timer_set(all->config.loop, &g->timer, loop_now(all->config.loop) + g->patience_ns);
    else
        finish(g);
}

void gather_done(struct gather *g)
{
    loop_timer_cancel(g->all->config.loop, &g->timer);
    g->running = false;
    for (unsigned i = 0; i < LOOPS_MAX; i++)
        buffer_done(&g->parts[i].bytes);
}
