/* core_sample.c - each second what load there is, every other second how many instances it needs:
 * from reports and queues to the autoscaler, and from its decision to what is requested. */
#include "brain/core_internal.h"

/* ---- while it is awake */

/* Its schedule, its history or something outside may wake it, too. */
bool scale_clocked(const struct fn *f)
{
    return fn_live(f) && (f->spec->scaling.provisioned_count || f->history || f->externals);
}

void scale_rest(struct fn *f)
{
    f->scaler = autoscaler_free(f->scaler);
    f->panic = 0;
    f->decision = (struct autoscaler_decision){0};
}

static bool is_external(const struct autoscaler_metric *m)
{
    return m->kind == METRIC_EXTERNAL;
}

void scale_respec(struct core *c, struct fn *f)
{
    const struct autoscaler_spec *s = &f->spec->scaling;
    bool external = false;

    for (size_t i = 0; i < s->metric_count; i++)
        external = external || is_external(&s->metrics[i]);
    free(f->externals);
    f->externals = external ? calloc(s->metric_count, sizeof(*f->externals)) : NULL;
    f->external_due = 0;
    if (!s->predictive) {
        history_drop(c, f);
    } else if (!f->history) {
        f->history = calloc(1, sizeof(*f->history));
    }
    if ((external && !f->externals) || (s->predictive && !f->history))
        core_log(c, true, "function %s: out of memory, some of its scaling is not in effect",
                 f->spec->key);
    if (f->scaler)
        autoscaler_respec(f->scaler, &c->config.autoscaler, s);
}

void scale_called(struct core *c, struct fn *f)
{
    if (f->history && f->last_called && c->now - f->last_called >= REPORT_NS) {
        idle_histogram_add(f->history, c->now - f->last_called);
        history_changed(c, f);
    }
    f->last_called = f->last_active = c->now;
}

/* ---- observation */

static void observe(struct core *c, struct fn *f, uint64_t at)
{
    struct autoscaler_observation o = {.concurrency =
                                           activator_queue_mean(&f->queue, c->now, SAMPLE_NS)};

    /* What came in is what was begun and what the queue grew by. */
    o.requests = (double)f->queue.count - f->queue_before;
    f->queue_before = f->queue.count;
    for (size_t k = 0; k < f->presence_count; k++) {
        const struct presence *p = &f->presence[k];

        if (!p->reported_at || c->now - p->reported_at >= REPORT_NS)
            continue;
        o.concurrency += p->concurrency;
        o.requests += p->requests;
    }
    autoscaler_observe(f->scaler, at, &o);
    scale_sample_cpu(c, f, at);
    f->panic = autoscaler_panic_load(f->scaler, at);
}

/* ---- the tick */

struct autoscaler_input scale_input(const struct core *c, const struct fn *f)
{
    struct autoscaler_input in = {.concurrency = f->spec->concurrency ? f->spec->concurrency : 1,
                                  .current = f->requested,
                                  .waiting = f->queue.count,
                                  .last_active_ns = f->last_active,
                                  .initial = f->initial,
                                  .epoch_s = c->epoch_ns ? (c->epoch_ns + c->now) / NS_PER_S : 0};

    if (f->history)
        in.plan = idle_histogram_plan(f->history);
    return in;
}

static void ask_outside(struct core *c, struct fn *f)
{
    const struct autoscaler_spec *s = &f->spec->scaling;

    if (!f->externals || c->now < f->external_due)
        return;
    f->external_due = c->now + EXTERNAL_NS;
    for (size_t i = 0; i < s->metric_count; i++) {
        struct action *a;

        if (!is_external(&s->metrics[i]))
            continue;
        a = actions_add(c->out, ACTION_QUERY);
        a->query.key = actions_strdup(c->out, f->spec->key);
        a->query.metric = (uint32_t)i;
        a->query.text = actions_strdup(c->out, s->metrics[i].query);
    }
}

void core_external(struct core *c, uint64_t now, const struct core_external *e, struct actions *out)
{
    struct fn *f = fn_find(c, e->key);
    const struct autoscaler_spec *s = f ? &f->spec->scaling : NULL;

    c->now = now;
    c->out = out;
    if (!f || !f->externals || e->metric >= s->metric_count ||
        !is_external(&s->metrics[e->metric]) || strcmp(s->metrics[e->metric].query, e->text) != 0)
        return; /* it was asked before the function changed */
    if (e->why)
        note_fn(c, f, true, "FailedGetExternalMetric", "scaling.metrics[%u]: %s", e->metric, e->why);
    else
        f->externals[e->metric] = (struct external){.value = e->value, .at = now};
}

void core_wall(struct core *c, uint64_t now, uint64_t epoch_ns)
{
    c->epoch_ns = epoch_ns > now ? epoch_ns - now : 0;
}

static void decide(struct core *c, struct fn *f, struct autoscaler_input *in)
{
    const struct autoscaler_spec *s = &f->spec->scaling;
    struct autoscaler_external outside[SCALING_METRICS_MAX] = {0};
    struct hpa_sample instances[SCALING_METRICS_MAX];

    for (size_t i = 0; f->externals && i < s->metric_count && i < ARRAY_LEN(outside); i++)
        if (f->externals[i].at && c->now - f->externals[i].at < EXTERNAL_GOOD_NS)
            outside[i] = (struct autoscaler_external){true, f->externals[i].value};
    in->external = f->externals ? outside : NULL;
    in->instances = scale_instances(c, f, instances) ? instances : NULL;
    autoscaler_decide(f->scaler, &c->config.autoscaler, s, in, c->now, &f->decision);
}

void scale_to(struct core *c, struct fn *f, uint32_t n, enum autoscaler_reason why)
{
    if (f->requested == n)
        return;
    f->requested = n;
    f->why = why;
    f->scaled_at = c->now;
    f->scaled_s = c->epoch_ns ? (c->epoch_ns + c->now) / NS_PER_S : 0;
    fn_status_dirty(c, f, false);
    c->decisions[why]++;
}

/* An instance that has been ready for long enough shows that the crashes are over. */
static void forgive(struct core *c, struct revision *r)
{
    if (!r->crashes)
        return;
    list_for_each(it, &r->instances)
    {
        const struct instance *i = list_entry(it, struct instance, rev_link);

        if (!instance_serves(i) || c->now - i->ready_ns < SETTLED_NS)
            continue;
        revision_settle(r);
        fn_dirty(c, r->fn); /* those that it was not tried with */
        fn_status_dirty(c, r->fn, false);
        return;
    }
}

static void request(struct core *c, struct fn *f, const struct autoscaler_input *in)
{
    if ((f->active->start_failures || f->active->crashes) && !in->ready && !in->waiting)
        scale_to(c, f, f->spec->scaling.min, REASON_CRASH_LOOP); /* and nobody asks for it */
    else if (fn_live(f) && (f->decision.requested > f->requested || !core_adopting(c)))
        scale_to(c, f, f->decision.requested, f->decision.reason);
}

/* ScalingLimited and ScalingActive are told of when they change, not each time that they are decided. */
static void note_conditions(struct core *c, struct fn *f, bool was_missing)
{
    enum autoscaler_reason why = f->decision.reason;
    bool limited = why == REASON_MIN || why == REASON_MAX || why == REASON_LIMITED;
    enum autoscaler_reason now = limited ? why : REASON_COUNT;

    if (now != f->limit || was_missing != (why == REASON_MISSING))
        fn_status_dirty(c, f, false);
    f->limit = now;
}

static void tick(struct core *c, struct fn *f)
{
    struct autoscaler_input in;
    bool unplaced = false, instances = false, missing = f->decision.reason == REASON_MISSING;

    if (f->initial_until && c->now >= f->initial_until)
        f->initial = 0;
    in = scale_input(c, f);

    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);
        struct tally t = revision_tally(c, r);

        forgive(c, r);
        in.running += t.running;
        in.ready += t.ready;
        unplaced = unplaced || r->unplaced;
        instances = instances || t.all;
    }
    ask_outside(c, f);
    decide(c, f, &in);
    request(c, f, &in);
    note_scaled(c, f);
    note_conditions(c, f, missing);
    if (f->requested != in.current || unplaced || f->active != f->latest)
        fn_dirty(c, f);
    if (!instances && !f->requested && !f->queue.count && !scale_clocked(f)) {
        list_del(&f->active_link);
        scale_rest(f);
    }
}

void scale_sample(struct core *c)
{
    while (c->next_sample <= c->now && !list_empty(&c->active)) {
        if (c->now - c->next_sample >
            5 * SAMPLE_NS) /* the thread stood still: those seconds are unknown */
            c->next_sample = c->now;
        list_for_each(it, &c->active)
            observe(c, list_entry(it, struct fn, active_link), c->next_sample);
        if (++c->samples % TICK_SAMPLES == 0)
            list_for_each(it, &c->active) tick(c, list_entry(it, struct fn, active_link));
        c->next_sample += SAMPLE_NS;
    }
}
