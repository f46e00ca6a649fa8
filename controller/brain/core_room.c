/* core_room.c - all is full: who makes way for requests that wait.
 *
 * Idle instances of others do, those first that have been idle longest. Where none is idle, a function that holds most
 * gives way to one that holds less, until they hold the same: its instance is unrouted, finishes what it has, and ends. */
#include "brain/core_internal.h"

enum {
    VICTIMS = 64, /* a large one may need the room of many */
    ROOMS = 64,   /* that are made for one revision in a turn */
};

uint64_t fn_held(const struct core *c, const struct fn *f)
{
    uint64_t held = 0;

    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);

        held += revision_tally(c, r).counted * r->spec->memory;
    }
    return held;
}

static bool will_fit(const struct placement_request *q, const struct node *n)
{
    uint64_t used = n->reserved_memory - n->leaving_memory + n->promised_memory;
    uint64_t cpu = n->reserved_cpu - n->leaving_cpu;

    return placement_admits(q, &n->place) && used <= n->allocatable_memory - q->memory &&
           cpu <= n->allocatable_cpu - q->cpu;
}

static struct instance *idlest(struct core *c, const struct placement_request *q,
                               const struct fn *needs, const struct node *only, struct rooms *rooms)
{
    struct instance *best = NULL;
    bool some = false;

    list_for_each(it, &c->active)
    {
        struct fn *f = list_entry(it, struct fn, active_link);
        uint32_t min = f->spec->scaling.min, serving;

        if (f == needs || f->queue.count || !fn_live(f) || f->active != f->latest)
            continue;
        serving = revision_tally(c, f->active).counted;
        if (serving <= min)
            continue;
        list_for_each(iit, &f->active->instances)
        {
            struct instance *i = list_entry(iit, struct instance, rev_link);

            if (!instance_serves(i) || i->in_flight || !i->idle_since_ms || !i->host->peer)
                continue;
            some = true;
            if ((only && i->host != only) || !placement_admits(q, &i->host->place))
                continue;
            if (!best || i->idle_since_ms < best->idle_since_ms)
                best = i;
        }
    }
    rooms->none_idle = !some;
    return best;
}

/* Who holds most, and would not hold less than `enough` without one of its instances. */
static struct revision *largest(struct core *c, const struct fn *needs, uint64_t enough)
{
    struct revision *best = NULL;
    uint64_t most = 0;

    list_for_each(it, &c->active)
    {
        struct fn *f = list_entry(it, struct fn, active_link);
        uint64_t held;

        if (f == needs || !fn_live(f) || f->active != f->latest)
            continue;
        held = fn_held(c, f);
        if (held <= most || held < enough + f->active->spec->memory ||
            revision_tally(c, f->active).counted <= f->spec->scaling.min)
            continue;
        best = f->active;
        most = held;
    }
    return best;
}

static struct instance *least_busy(const struct revision *r, const struct placement_request *q,
                                   const struct node *only)
{
    struct instance *best = NULL;

    list_for_each(it, &r->instances)
    {
        struct instance *i = list_entry(it, struct instance, rev_link);

        if (!instance_serves(i) || !i->host->peer || instance_moves(i) ||
            (only && i->host != only) || !placement_admits(q, &i->host->place))
            continue;
        if (!best || i->in_flight < best->in_flight)
            best = i;
    }
    return best;
}

static struct instance *victim(struct core *c, const struct placement_request *q,
                               const struct fn *needs, const struct node *only, uint64_t enough,
                               struct rooms *rooms)
{
    struct instance *i = rooms->none_idle ? NULL : idlest(c, q, needs, only, rooms);
    struct revision *r;

    if (i) {
        struct fn *f = i->rev->fn;

        if (f->requested)
            scale_to(c, f, f->requested - 1, REASON_MADE_ROOM);
        return i;
    }
    if (core_adopting(c) || c->halted || (rooms->hopeless && enough >= rooms->hopeless))
        return NULL;
    r = largest(c, needs, enough);
    if (!r)
        rooms->hopeless = enough;
    i = r ? least_busy(r, q, only) : NULL;
    if (i)
        i->taken = true; /* whoever waits for it would have it back at once */
    return i;
}

/* False: there is none to be had. `enough`: what the function would hold with it. */
static bool make_room(struct core *c, const struct placement_request *q, const struct fn *needs,
                      uint64_t enough, struct rooms *rooms)
{
    struct node *on = NULL;

    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        struct node *n = nodes_at(c->nodes, k);

        if (n->leaving_memory && will_fit(q, n)) { /* on its way already */
            n->promised_memory += q->memory;
            return true;
        }
    }
    for (int n = 0; n < VICTIMS && needs->queue.count; n++) {
        struct instance *i = victim(c, q, needs, on, enough, rooms);

        if (!i)
            return false;
        on = i->host;
        fn_dirty(c, i->rev->fn);
        instance_leave(c, i);
        if (will_fit(q, on)) {
            on->promised_memory += q->memory;
            return true;
        }
    }
    return false;
}

void rooms_make(struct core *c, struct revision *r, const struct placement_request *q,
                struct rooms *rooms)
{
    uint64_t held = fn_held(c, r->fn);

    for (size_t k = 0; k < nodes_count(c->nodes) && !rooms->counted; k++)
        nodes_at(c->nodes, k)->promised_memory = 0;
    rooms->counted = true;
    for (uint32_t k = 0; k < r->unplaced && k < ROOMS; k++) {
        held += q->memory;
        if (!make_room(c, q, r->fn, held, rooms))
            return;
    }
}
