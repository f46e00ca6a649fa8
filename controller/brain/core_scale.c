/* core_scale.c - from the number that is requested to instances: which revision has how many. */
#include "brain/core_internal.h"

/* ---- requests wait */

static uint64_t since(const struct core *c, uint64_t at)
{
    return c->now > at ? c->now - at : 0;
}

static struct crowd crowd_of(const struct core *c, const struct fn *f, const struct tally *t)
{
    uint32_t there = t->counted - t->suspect - t->moving; /* others are started for the latter */
    uint32_t come = there > f->requested ? there : f->requested;
    uint32_t serving = t->serving < come ? t->serving : come;
    struct crowd w = {.waiting = f->queue.count,
                      .concurrency = f->spec->concurrency ? f->spec->concurrency : 1,
                      .serving = serving,
                      .starting = come - serving,
                      .start_ns = f->active->start_ns ? f->active->start_ns : START_GUESS_NS,
                      .waited_ns = since(c, f->waited_from)};

    /* Not a single one that began: then they take longer than all that was reported. */
    if (f->run_area > 0)
        w.run_ns = (uint64_t)(f->run_area / (f->run_begun > 1 ? f->run_begun : 1) * (double)NS_PER_S);
    w.still_ns = since(c, f->freed_at > f->waited_from ? f->freed_at : f->waited_from);
    return w;
}

/* To be looked at again, though nothing happens. Where more is wanted than may be, the tick does it. */
static void crowded(struct core *c, struct fn *f, uint64_t in)
{
    if (!in || in == UINT64_MAX) {
        list_del(&f->crowd_link);
        return;
    }
    f->crowd_at = c->now + in;
    if (list_empty(&f->crowd_link))
        list_push_back(&c->crowded, &f->crowd_link);
    if (!c->crowd_due || f->crowd_at < c->crowd_due)
        c->crowd_due = f->crowd_at;
}

uint64_t scale_crowd_due(const struct core *c)
{
    return list_empty(&c->crowded) ? 0 : c->crowd_due;
}

static void crowds_due(struct core *c)
{
    uint64_t first = 0;

    if (!c->crowd_due || c->crowd_due > c->now)
        return;
    list_for_each(it, &c->crowded)
    {
        struct fn *f = list_entry(it, struct fn, crowd_link);

        if (f->crowd_at <= c->now) {
            list_del(&f->crowd_link);
            fn_dirty(c, f);
        } else if (!first || f->crowd_at < first) {
            first = f->crowd_at;
        }
    }
    c->crowd_due = first;
}

static void poke(struct core *c, struct fn *f, const struct tally *t)
{
    struct autoscaler_input in;
    uint32_t want;

    if (!f->queue.count) {
        list_del(&f->crowd_link);
        return;
    }
    fn_sampled(c, f);
    in = scale_input(c, f);
    in.crowd = crowd_of(c, f, t);
    want = autoscaler_poke(f->scaler, &c->config.autoscaler, &f->spec->scaling, &in, c->now);
    if (f->requested < want)
        scale_to(c, f, want, REASON_WAITING);
    in.crowd = crowd_of(c, f, t);
    crowded(c, f, crowd_patience(&in.crowd));
}

/* A new revision's instances before its first request: until they have been there for the idle
 * time-out, or will not be. */
static void begin(struct core *c, struct fn *f)
{
    struct revision *r = f->latest;
    uint32_t most = f->spec->scaling.max;

    if (!f->initial)
        return;
    if (f->initial > most)
        f->initial = most;
    if (r->start_failures || r->crashes || (f->initial_until && c->now >= f->initial_until)) {
        f->initial = 0;
        return;
    }
    if (f->requested < f->initial)
        scale_to(c, f, f->initial, REASON_INITIAL);
    if (!f->initial_until && revision_tally(c, r).ready >= f->initial) {
        f->last_active = c->now; /* the idle time-out begins now */
        f->initial_until = c->now + f->spec->scaling.idle_timeout_ns;
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
        revision_shrink(c, old, 1, true);
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

/* What fails is tried by one start at a time until one works, whoever asks for more. */
static uint32_t to_start(const struct revision *r, const struct tally *t, uint32_t missing)
{
    if ((r->start_failures || r->crashes) && missing)
        return t->starting ? 0 : 1;
    return missing;
}

static void converge(struct core *c, struct revision *r, struct list *needy)
{
    struct fn *f = r->fn;
    struct tally t = revision_tally(c, r);
    uint32_t here =
        t.counted - t.suspect; /* those of a silent node are replaced only if requests wait */
    uint32_t have = f->queue.count && r == f->active ? here : t.counted;

    /* What nobody waits for may be on a node that has not told of it yet. */
    bool unheard = core_adopting(c) && f->found && !f->queue.count;

    /* Those on draining nodes serve on, but others are started for them. */
    here -= t.moving;
    have -= t.moving;
    r->deficit = 0;
    if (have < r->wanted) {
        have += returned(c, r, r->wanted - have);
        if (!r->foreign && !revision_backing_off(c, r) && !unheard)
            r->deficit = to_start(r, &t, r->wanted - have);
        if (r->deficit && list_empty(&f->needy_link))
            list_push_back(needy, &f->needy_link);
    }
    if (here <= r->wanted || c->halted)
        r->excess = 0;
    else if (!core_adopting(c))
        r->excess = revision_shrink(c, r, here - r->wanted, r != f->active);
    if (!r->excess)
        r->crowded_since = 0;
    if (t.moving && !core_adopting(c) && !c->halted)
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
        scale_to(c, f, f->spec->scaling.min, REASON_MIN);
    if (f->requested > f->spec->scaling.max && !core_adopting(c))
        scale_to(c, f, f->spec->scaling.max, REASON_MAX);
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

void scale_turn(struct core *c)
{
    struct list needy, turn;
    struct list *l;

    list_init(&needy);
    list_init(&turn);
    crowds_due(c);
    while ((l = list_pop_front(&c->dirty)))
        list_push_back(&turn, l);
    list_for_each(it, &turn) reconcile(c, list_entry(it, struct fn, dirty_link), &needy);
    place_needy(c, &needy);
    while ((l = list_pop_front(&turn))) {
        struct fn *f = list_entry(l, struct fn, dirty_link);

        if (!f->noted) /* a wake is told of at once, what follows it at the tick */
            note_scaled(c, f);
        fn_tidy(c, f);
    }
}
