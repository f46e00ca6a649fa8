/* core_place.c - where new instances go, and whose turn it is. */
#include "brain/core_internal.h"

#include <stdio.h>

enum {
    KNOWN_SCAN = 4 * PLACEMENT_LOOK, /* nodes of a function that are gone through for `known` */
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

static void note_unplaced(struct core *c, const struct revision *r, int why)
{
    char text[128] = "all nodes that would do are full";

    if (why == -ENOENT)
        snprintf(text, sizeof(text), "no node takes new instances");
    else if (why == -ENXIO)
        revision_impossible_text(c, r, text);
    note_fn(c, r->fn, true, "FailedPlacement", "%u instances wait for a node: %s", r->deficit, text);
}

static void no_room(struct core *c, struct rooms *rooms, struct revision *r,
                    const struct placement_request *q, int why)
{
    /* A node that is away may come back with the room. */
    bool absent =
        !nodes_count(c->nodes) || core_adopting(c) || nodes_in_state(c->nodes, NODE_NOT_READY) > 0;

    c->unplaced[why == -ENOENT   ? UNPLACED_NO_NODE
                : why == -ENOSPC ? UNPLACED_FULL
                                 : UNPLACED_UNSUITED]++;
    if (!r->unplaced) {
        r->unplaced_since = c->now;
        note_unplaced(c, r, why);
    }
    r->unplaced = r->deficit;
    r->deficit = 0;
    if (list_empty(&r->roomless_link))
        list_push_back(&c->roomless, &r->roomless_link);
    r->impossible = why == -ENXIO && !absent && !pools_help(c, r);
    fn_status_dirty(c, r->fn, false);
    if (why == -ENOSPC) {
        rooms_make(c, r, q, rooms);
    } else if (r->impossible && r == r->fn->active && !revision_tally(c, r).counted) {
        char why_not[128];

        revision_impossible_text(c, r, why_not);
        tickets_refuse_all(c, r->fn, REFUSED_NO_CAPACITY, why_not);
    }
}

/* ---- one at a time */

static void place_one(struct core *c, struct rooms *rooms, struct revision *r)
{
    const struct ticket *t = activator_oldest(&r->fn->queue);
    struct placement_node *to;
    struct wish w;
    int e;

    wish_of(c, r, &w);
    e = placement_find(nodes_index(c->nodes), &w.q, &to);
    if (e < 0) {
        no_room(c, rooms, r, &w.q, e);
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

/* ---- whose turn it is */

struct turn {
    uint64_t held; /* memory of its instances */
    struct fn *fn;
};

static void sift(struct turn *heap, size_t n, size_t at, struct turn t)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1].held < heap[child].held)
            child++;
        if (heap[child].held >= t.held)
            break;
        heap[at] = heap[child];
    }
    heap[at] = t;
}

static struct revision *next_of(const struct fn *f)
{
    if (f->active->deficit)
        return f->active;
    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);

        if (r->deficit)
            return r;
    }
    return NULL;
}

/* One instance at a time to whoever has least, so that a crowd at one function neither takes all the room before the
 * others had any, nor each place that becomes free. */
void place_needy(struct core *c, struct list *needy)
{
    struct rooms rooms = {0};
    size_t n = 0, all = 0;
    struct turn *heap;
    struct list *l;

    list_for_each(it, needy) all++;
    heap = all ? malloc(all * sizeof(*heap)) : NULL;
    if (all && !heap)
        abort();
    while ((l = list_pop_front(needy))) {
        struct fn *f = list_entry(l, struct fn, needy_link);

        heap[n++] = (struct turn){fn_held(c, f), f};
    }
    for (size_t k = n / 2; k-- > 0;)
        sift(heap, n, k, heap[k]);
    while (n) {
        struct turn t = heap[0];
        struct revision *r = next_of(t.fn);

        if (!r) {
            n--;
            sift(heap, n, 0, heap[n]);
            continue;
        }
        place_one(c, &rooms, r);
        t.held += r->spec->memory;
        sift(heap, n, 0, t);
    }
    free(heap);
}
