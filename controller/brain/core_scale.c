/* core_scale.c - from the number that is requested to instances: which revision has how many, where
 * the new ones go, and which of the old ones leave. */
#include "brain/core_internal.h"
#include "scheduler/scheduler.h"

#include <stdio.h>

/* ---- who leaves */

/* Starting ones first, then the longest idle, then the least busy. */
static bool sooner(const struct instance *a, const struct instance *b)
{
    if (instance_serves(a) != instance_serves(b))
        return !instance_serves(a);
    if (!a->in_flight != !b->in_flight)
        return !a->in_flight;
    if (a->in_flight)
        return a->in_flight < b->in_flight;
    return a->idle_since_ms < b->idle_since_ms;
}

static struct instance *victim(const struct core *c, const struct revision *r)
{
    struct instance *best = NULL;

    list_for_each(it, &r->instances)
    {
        struct instance *i = list_entry(it, struct instance, rev_link);

        if (instance_counts(i) && !instance_suspect(c, i) && !instance_moves(i) &&
            (!best || sooner(i, best)))
            best = i;
    }
    return best;
}

static void shrink(struct core *c, struct revision *r, uint32_t n)
{
    while (n--) {
        struct instance *i = victim(c, r);

        if (!i)
            return;
        instance_leave(c, i);
    }
}

/* ---- how many */

static void poke(struct core *c, struct fn *f, const struct tally *t)
{
    struct autoscaler_input in;
    uint32_t want;

    if (!f->queue.count || t->ready > t->suspect)
        return;
    fn_sampled(c, f);
    in = scale_input(c, f);
    want = autoscaler_poke(f->scaler, &c->config.autoscaler, &f->spec->scaling, &in, c->now);
    if (f->active->start_failures || f->active->crashes)
        want = want ? 1 : 0; /* one try at a time, until it works */
    if (f->requested < want)
        f->requested = want;
}

/* A new revision's instances before its first request: until they are there, or will not be. */
static void begin(struct core *c, struct fn *f)
{
    struct revision *r = f->latest;
    uint32_t most = f->spec->scaling.max;

    if (!f->initial)
        return;
    if (f->initial > most)
        f->initial = most;
    if (r->start_failures || r->crashes || revision_tally(c, r).ready >= f->initial) {
        f->initial = 0;
        f->last_active = c->now; /* the idle time-out begins now */
    } else if (f->requested < f->initial) {
        f->requested = f->initial;
    }
}

static void update(struct core *c, struct fn *f)
{
    struct revision *old = f->active, *new = f->latest;
    struct tally told = revision_tally(c, old), tnew = revision_tally(c, new);
    bool loaded = f->panic > 0 || f->queue.count;
    uint32_t need = (loaded && f->requested) || f->initial ? f->requested : 1;

    if (core_adopting(c) && told.counted)
        return;
    if (!told.ready) { /* the old one is at zero, or does not get up */
        fn_activate(c, f, new);
        return;
    }
    new->wanted = need;
    if (tnew.ready && !new->ready_since)
        new->ready_since = c->now;
    if (!tnew.ready)
        new->ready_since = 0;
    if (tnew.ready >= need || (tnew.ready && c->now - new->ready_since >= UPDATE_PATIENCE_NS))
        fn_activate(c, f, new);
    else if (!tnew.counted && new->unplaced && c->now - new->unplaced_since >= SQUEEZE_NS)
        shrink(c, old, 1);
}

/* Back from the way out, as long as their agents have not been told. */
static uint32_t returned(struct core *c, struct revision *r, uint32_t n)
{
    uint32_t back = 0;

    list_for_each(
        it, &r->instances) if (back < n &&
                               instance_return(c, list_entry(it, struct instance, rev_link))) back++;
    return back;
}

static void converge(struct core *c, struct revision *r, struct list *needy)
{
    struct fn *f = r->fn;
    struct tally t = revision_tally(c, r);
    uint32_t here =
        t.counted - t.suspect; /* those of a silent node are replaced only if requests wait */
    uint32_t have = f->queue.count && r == f->active ? here : t.counted;

    /* Those on draining nodes serve on, but others are started for them. */
    here -= t.moving;
    have -= t.moving;
    r->deficit = 0;
    if (have < r->wanted) {
        have += returned(c, r, r->wanted - have);
        if (!r->foreign && !revision_backing_off(c, r))
            r->deficit = r->wanted - have;
        if (r->deficit && list_empty(&f->needy_link))
            list_push_back(needy, &f->needy_link);
    } else if (here > r->wanted && !core_adopting(c)) {
        shrink(c, r, here - r->wanted);
    }
    if (t.moving && !core_adopting(c))
        revision_move(c, r);
    if (!r->deficit) {
        r->unplaced = 0;
        r->impossible = false;
    }
}

static void leave_all(struct core *c, struct fn *f)
{
    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);

        r->wanted = 0;
        list_for_each(iit, &r->instances)
            instance_leave(c, list_entry(iit, struct instance, rev_link));
    }
}

static void reconcile(struct core *c, struct fn *f, struct list *needy)
{
    struct tally t;

    if (!fn_live(f)) {
        leave_all(c, f);
        return;
    }
    if (f->requested < f->spec->scaling.min)
        f->requested = f->spec->scaling.min;
    if (f->requested > f->spec->scaling.max && !core_adopting(c))
        f->requested = f->spec->scaling.max;
    list_for_each(it, &f->revisions) list_entry(it, struct revision, link)->wanted = 0;
    begin(c, f);
    t = revision_tally(c, f->active);
    poke(c, f, &t);
    if (f->active != f->latest)
        update(c, f);
    f->active->wanted = f->requested;
    if (f->requested || scale_clocked(f))
        fn_sampled(c, f);
    list_for_each(it, &f->revisions) converge(c, list_entry(it, struct revision, link), needy);
}

/* ---- where */

struct placing {
    struct placement_node *view;
    uint64_t *promised; /* memory that is about to be free, and for whom it will be */
    size_t count;
    bool absent; /* a node may come back */
};

static int placing_init(struct core *c, struct placing *p)
{
    p->count = nodes_count(c->nodes);
    p->view = calloc(p->count + 1, sizeof(*p->view));
    p->promised = calloc(p->count + 1, sizeof(*p->promised));
    p->absent = !p->count || core_adopting(c);
    if (!p->view || !p->promised)
        return -ENOMEM;
    for (size_t k = 0; k < p->count; k++) {
        struct node *n = nodes_at(c->nodes, k);

        n->index = k;
        p->absent = p->absent || n->state == NODE_NOT_READY;
    }
    return 0;
}

static void placing_done(struct placing *p)
{
    free(p->view);
    free(p->promised);
}

static void look(struct core *c, struct placing *p, const struct revision *r)
{
    const struct ticket *t = activator_oldest(&r->fn->queue);

    for (size_t k = 0; k < p->count; k++) {
        const struct node *n = nodes_at(c->nodes, k);

        p->view[k] = (struct placement_node){.allocatable_memory = n->allocatable_memory,
                                             .reserved_memory = n->reserved_memory,
                                             .allocatable_cpu = n->allocatable_cpu,
                                             .reserved_cpu = n->reserved_cpu,
                                             .ready = n->state == NODE_READY,
                                             .cordoned = !node_open(n),
                                             .has_runtime = node_has_runtime(n, r->spec->runtime),
                                             .entry = t && t->key.peer && t->key.peer == n->peer};
    }
    for (size_t k = 0; k < r->fn->presence_count; k++) {
        const struct presence *here = &r->fn->presence[k];

        p->view[here->node->index].same = here->instances;
        p->view[here->node->index].has_code = true;
    }
}

static bool will_fit(struct core *c, const struct placing *p, const struct placement_request *q,
                     size_t k)
{
    const struct placement_node *v = &p->view[k];
    uint64_t used = v->reserved_memory - nodes_at(c->nodes, k)->leaving_memory + p->promised[k];
    uint64_t cpu = v->reserved_cpu - nodes_at(c->nodes, k)->leaving_cpu;

    return v->ready && !v->cordoned && placement_possible(q, v) &&
           used <= v->allocatable_memory - q->memory && cpu <= v->allocatable_cpu - q->cpu;
}

static struct instance *idlest(struct core *c, const struct placing *p,
                               const struct placement_request *q, const struct fn *needs,
                               const struct node *only)
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
                (only && i->host != only) || !placement_possible(q, &p->view[i->host->index]))
                continue;
            if (!best || i->idle_since_ms < best->idle_since_ms)
                best = i;
        }
    }
    return best;
}

/* All is full: idle instances of other functions make way for requests that wait. */
static void make_room(struct core *c, struct placing *p, const struct placement_request *q,
                      const struct fn *needs)
{
    enum { VICTIMS = 64 }; /* a large one may need the room of many */
    const struct node *on = NULL;

    for (size_t k = 0; k < p->count; k++) {
        if (will_fit(c, p, q, k)) { /* on its way already */
            p->promised[k] += q->memory;
            return;
        }
    }
    for (int n = 0; n < VICTIMS && needs->queue.count; n++) {
        struct instance *i = idlest(c, p, q, needs, on);

        if (!i)
            return;
        on = i->host;
        if (i->rev->fn->requested)
            i->rev->fn->requested--;
        fn_dirty(c, i->rev->fn);
        instance_leave(c, i);
        if (will_fit(c, p, q, on->index)) {
            p->promised[on->index] += q->memory;
            return;
        }
    }
}

void revision_impossible_text(const struct core *c, const struct revision *r, char out[128])
{
    bool known = false;

    for (size_t k = 0; k < nodes_count(c->nodes) && !known; k++)
        known = node_has_runtime(nodes_at(c->nodes, k), r->spec->runtime);
    if (known)
        snprintf(out, 128, "no node has the memory and cpu that one instance needs");
    else
        snprintf(out, 128, "no node has the runtime \"%.64s\"", r->spec->runtime);
}

static void no_room(struct core *c, struct placing *p, struct revision *r,
                    const struct placement_request *q, int why)
{
    if (!r->unplaced)
        r->unplaced_since = c->now;
    r->unplaced = r->deficit;
    r->deficit = 0;
    r->impossible = why == -ENXIO && !p->absent;
    fn_status_dirty(c, r->fn, false);
    if (why == -ENOSPC) {
        for (uint32_t k = 0; k < r->unplaced; k++)
            make_room(c, p, q, r->fn);
    } else if (r->impossible && r == r->fn->active && !revision_tally(c, r).counted) {
        char why_not[128];

        revision_impossible_text(c, r, why_not);
        tickets_refuse_all(c, r->fn, REFUSED_NO_CAPACITY, why_not);
    }
}

static void place_one(struct core *c, struct placing *p, struct revision *r)
{
    const struct ticket *t = activator_oldest(&r->fn->queue);
    struct placement_request q = {.memory = r->spec->memory, .cpu = r->spec->cpu_millis};
    size_t at;
    int e;

    look(c, p, r);
    e = placement_choose(&q, p->view, p->count, &at);
    if (e < 0) {
        no_room(c, p, r, &q, e);
        return;
    }
    if (instance_create(c, r, nodes_at(c->nodes, at), t ? (c->now - t->since_ns) / NS_PER_US : 0) <
        0) {
        r->deficit = 0;
        return;
    }
    if (!--r->deficit) {
        r->unplaced = 0;
        r->impossible = false;
    }
}

/* One instance a function and round, so that a crowd at one does not take all the room before the
 * others had any. */
static void place(struct core *c, struct list *needy)
{
    struct placing p = {0};
    struct list *l;

    if (list_empty(needy))
        return;
    if (placing_init(c, &p) < 0) {
        while (list_pop_front(needy))
            ;
        placing_done(&p);
        return;
    }
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
    placing_done(&p);
}

void scale_turn(struct core *c)
{
    struct list needy, turn;
    struct list *l;

    list_init(&needy);
    list_init(&turn);
    while ((l = list_pop_front(&c->dirty)))
        list_push_back(&turn, l);
    list_for_each(it, &turn) reconcile(c, list_entry(it, struct fn, dirty_link), &needy);
    place(c, &needy);
    while ((l = list_pop_front(&turn)))
        fn_tidy(c, list_entry(l, struct fn, dirty_link));
}
