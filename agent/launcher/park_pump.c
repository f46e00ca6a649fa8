/* park_pump.c - what is built next: for who waits, then ahead, when it is quiet. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "launcher/builders.h"
#include "launcher/kind.h"
#include "launcher/park.h"
#include "launcher/sandbox.h"
#include "launcher/wish.h"
#include "launcher/zygotes.h"
#include "sandbox/message.h"

#define BUILDERS_SPARE  4u /* ready at all times */
#define OF_ZYGOTE_SPARE 2u /* of each */
#define AHEAD_MAX       2u /* builds at once, of what nobody waits for */
#define WAITED_FOR_MAX  6u

static bool may_build_ahead(const struct server *s, const struct kind *k, uint64_t now, uint64_t *at)
{
    uint64_t from = k->not_before > s->park.quiet_until ? k->not_before : s->park.quiet_until;

    if (k->parked_count + k->building >= k->wanted + k->waiting_count || zygote_awaited(s, &k->kind))
        return false;
    if (from > now) {
        *at = from < *at ? from : *at;
        return false;
    }
    return s->park.building < AHEAD_MAX;
}

/* Who waits comes first; among equals, the kind that was built for longest ago. *at: when to look again. */
static struct kind *next_kind(struct server *s, uint64_t now, uint64_t *at)
{
    struct kind *ahead = NULL;

    list_for_each(it, &s->park.order)
    {
        struct kind *k = list_entry(it, struct kind, link);

        if (!zygote_builders(s, &k->kind)->ready_count)
            continue;
        if (k->waiting_count > k->building && s->park.building < WAITED_FOR_MAX)
            return k;
        if (!ahead && may_build_ahead(s, k, now, at))
            ahead = k;
    }
    return ahead;
}

static void build(struct kind *k)
{
    struct server *s = k->server;
    struct wish *w = wish_first(k);
    struct message m = {0};
    const struct sandbox_spec *first = NULL;

    list_del(&k->link);
    list_push_back(&s->park.order, &k->link);
    k->building++;
    s->park.building++;
    if (w && message_decode(w->bytes, w->size, &m) == 0)
        first = &m.spec;
    sandbox_build(s, k, first);
    message_done(&m);
}

static unsigned waiting_in_all(const struct server *s)
{
    return (unsigned)s->park.wishes.count;
}

/* The builders cannot even be made: who waits hears why. */
static void fail_waiting(struct server *s)
{
    struct err e = s->builders.error;

    s->builders.error.code = 0;
    list_for_each(it, &s->park.order)
    {
        struct kind *k = list_entry(it, struct kind, link);
        struct wish *w;

        while ((w = wish_first(k)))
            wish_fail(w, &e);
        kind_free_if_unused(k);
    }
}

/* Spare ones are made when it is quiet: what starts now has the cpus first. */
static void want_builders(struct server *s, uint64_t now, uint64_t *at)
{
    unsigned waiting = waiting_in_all(s), building = s->park.building;
    unsigned missing = waiting > building ? waiting - building : 0;
    unsigned spare = BUILDERS_SPARE;

    if (now < s->park.quiet_until) {
        spare = 0;
        *at = s->park.quiet_until < *at ? s->park.quiet_until : *at;
    }
    if (missing > BUILDERS_MAX - BUILDERS_SPARE)
        missing = BUILDERS_MAX - BUILDERS_SPARE;
    zygotes_want(s, missing + (spare ? OF_ZYGOTE_SPARE : 0));
    builders_want(&s->builders, missing + spare);
}

static void pump_once(struct server *s)
{
    uint64_t now = clock_monotonic_ns(), at = UINT64_MAX;
    struct kind *k;

    while ((k = next_kind(s, now, &at)))
        build(k);
    if (s->builders.error.code && !s->builders.ready_count && waiting_in_all(s))
        fail_waiting(s);
    want_builders(s, now, &at);
    if (at != UINT64_MAX)
        loop_timer_set(s->loop, &s->park.timer, at);
}

void park_pump(struct server *s)
{
    if (s->closing || s->park.pumping)
        return;
    s->park.pumping = true;
    pump_once(s);
    s->park.pumping = false;
}

void park_on_timer(struct loop_timer *t)
{
    park_pump(container_of(t, struct server, park.timer));
}
