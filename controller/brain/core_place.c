/* core_place.c - where new instances go, and who makes way for requests that wait when all is full.
 */
#include "brain/core_internal.h"

#include <stdio.h>

enum {
    KNOWN_SCAN = 4 * PLACEMENT_LOOK, /* nodes of a function that are gone through for `known` */
    VICTIMS = 64,                    /* a large one may need the room of many */
    ROOMS = 64,                      /* that are made for one revision in a turn */
};

struct placing {
    bool counted; /* promised_memory is this turn's */
};

/* ---- what is asked of a node */

struct wish {
    struct placement_request q;
    struct placement_node *known[PLACEMENT_LOOK];
};

static struct placement_here is_here(void *user, const struct placement_node *n)
{
    const struct presence *p = fn_presence(user, node_of_place(n), false);

    return p ? (struct placement_here){true, p->instances} : (struct placement_here){0};
}

/* Those that have nothing but the code first: they are the ones that it pays to know of. */
static void look_known(const struct fn *f, struct wish *w)
{
    size_t n = f->presence_count < KNOWN_SCAN ? f->presence_count : KNOWN_SCAN;

    for (int running = 0; running < 2; running++)
        for (size_t k = 0; k < n && w->q.known_count < PLACEMENT_LOOK; k++)
            if ((f->presence[k].instances > 0) == (running > 0))
                w->known[w->q.known_count++] = &f->presence[k].node->place;
    w->q.known = w->known;
}

/* A label that one node has alone is its name. */
static void look_pinned(struct core *c, struct wish *w)
{
    const struct placement_demand *d = &w->q.demand;

    for (size_t k = 0; k < d->selector_count; k++) {
        struct node *n;

        if (!trait_names_node(d->selector[k].key))
            continue;
        n = nodes_find(c->nodes, d->selector[k].value);
        if (w->q.pinned && (!n || w->q.only != &n->place))
            n = NULL; /* two names */
        w->q.pinned = true;
        w->q.only = n ? &n->place : NULL;
    }
}

static void wish_of(struct core *c, const struct revision *r, struct wish *ret)
{
    const struct function *s = r->spec;
    const struct ticket *t = activator_oldest(&r->fn->queue);
    struct node *entry = t && t->key.peer ? nodes_of_peer(c->nodes, t->key.peer) : NULL;

    *ret = (struct wish){.q = {.memory = s->memory,
                               .cpu = s->cpu_millis,
                               .policy = s->placement.pack ? PLACEMENT_PACK : PLACEMENT_SPREAD,
                               .demand = {.runtime = s->runtime,
                                          .selector = s->placement.selector,
                                          .selector_count = s->placement.selector_count,
                                          .tolerations = s->placement.tolerations,
                                          .toleration_count = s->placement.toleration_count},
                               .entry = entry ? &entry->place : NULL,
                               .here = is_here,
                               .user = r->fn}};
    look_known(r->fn, ret);
    look_pinned(c, ret);
}

/* ---- all is full */

static void count_promised(struct core *c, struct placing *p)
{
    for (size_t k = 0; k < nodes_count(c->nodes) && !p->counted; k++)
        nodes_at(c->nodes, k)->promised_memory = 0;
    p->counted = true;
}

static bool will_fit(const struct placement_request *q, const struct node *n)
{
    uint64_t used = n->reserved_memory - n->leaving_memory + n->promised_memory;
    uint64_t cpu = n->reserved_cpu - n->leaving_cpu;

    return placement_admits(q, &n->place) && used <= n->allocatable_memory - q->memory &&
           cpu <= n->allocatable_cpu - q->cpu;
}

static struct instance *idlest(struct core *c, const struct placement_request *q,
                               const struct fn *needs, const struct node *only)
{
    struct instance *best = NULL;

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

            if (!instance_serves(i) || i->in_flight || !i->idle_since_ms || !i->host->peer ||
                (only && i->host != only) || !placement_admits(q, &i->host->place))
                continue;
            if (!best || i->idle_since_ms < best->idle_since_ms)
                best = i;
        }
    }
    return best;
}

/* Idle instances of other functions make way for requests that wait. False: none is left. */
static bool make_room(struct core *c, const struct placement_request *q, const struct fn *needs)
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
        struct instance *i = idlest(c, q, needs, on);

        if (!i)
            return false;
        on = i->host;
        if (i->rev->fn->requested)
            scale_to(c, i->rev->fn, i->rev->fn->requested - 1, REASON_MADE_ROOM);
        fn_dirty(c, i->rev->fn);
        instance_leave(c, i);
        if (will_fit(q, on)) {
            on->promised_memory += q->memory;
            return true;
        }
    }
    return false;
}

void revision_impossible_text(const struct core *c, const struct revision *r, char out[128])
{
    bool runtime = false, traits = false;

    for (size_t k = 0; k < nodes_count(c->nodes) && !traits; k++) {
        const struct node *n = nodes_at(c->nodes, k);
        const struct function_placement *p = &r->spec->placement;
        const struct placement_demand d = {r->spec->runtime, p->selector, p->selector_count,
                                           p->tolerations, p->toleration_count};

        runtime = runtime || node_has_runtime(n, r->spec->runtime);
        traits = traits_match(&n->traits, &d);
    }
    if (traits)
        snprintf(out, 128, "no node has the memory and cpu that one instance needs");
    else if (runtime)
        snprintf(out, 128,
                 "no node has the labels that spec.placement asks for and no taint that it "
                 "does not tolerate");
    else
        snprintf(out, 128, "no node has the runtime \"%.64s\"", r->spec->runtime);
}

static void no_room(struct core *c, struct placing *p, struct revision *r,
                    const struct placement_request *q, int why)
{
    /* A node that is away may come back with the room. */
    bool absent =
        !nodes_count(c->nodes) || core_adopting(c) || nodes_in_state(c->nodes, NODE_NOT_READY) > 0;

    c->unplaced[why == -ENOENT   ? UNPLACED_NO_NODE
                : why == -ENOSPC ? UNPLACED_FULL
                                 : UNPLACED_UNSUITED]++;
    if (!r->unplaced)
        r->unplaced_since = c->now;
    r->unplaced = r->deficit;
    r->deficit = 0;
    r->impossible = why == -ENXIO && !absent && !pools_help(c, r);
    fn_status_dirty(c, r->fn, false);
    if (why == -ENOSPC) {
        count_promised(c, p);
        for (uint32_t k = 0; k < r->unplaced && k < ROOMS && make_room(c, q, r->fn); k++)
            ;
    } else if (r->impossible && r == r->fn->active && !revision_tally(c, r).counted) {
        char why_not[128];

        revision_impossible_text(c, r, why_not);
        tickets_refuse_all(c, r->fn, REFUSED_NO_CAPACITY, why_not);
    }
}

/* ---- one at a time */

static void place_one(struct core *c, struct placing *p, struct revision *r)
{
    const struct ticket *t = activator_oldest(&r->fn->queue);
    struct placement_node *to;
    struct wish w;
    int e;

    wish_of(c, r, &w);
    e = placement_find(nodes_index(c->nodes), &w.q, &to);
    if (e < 0) {
        no_room(c, p, r, &w.q, e);
        return;
    }
    if (instance_create(c, r, node_of_place(to), t ? (c->now - t->since_ns) / NS_PER_US : 0) < 0) {
        r->deficit = 0;
        return;
    }
    c->placed++;
    if (!--r->deficit) {
        r->unplaced = 0;
        r->impossible = false;
    }
}

/* One instance a function and round, so that a crowd at one does not take all the room before the
 * others had any. */
void place_needy(struct core *c, struct list *needy)
{
    struct placing p = {0};
    struct list *l;

    while ((l = list_pop_front(needy))) {
        struct fn *f = list_entry(l, struct fn, needy_link);
        struct revision *r = f->active->deficit ? f->active : NULL;

        list_for_each(it, &f->revisions) if (!r && list_entry(it, struct revision, link)->deficit)
            r = list_entry(it, struct revision, link);
        if (!r)
            continue;
        place_one(c, &p, r);
        list_push_back(needy, &f->needy_link);
    }
}
