/* core_metrics.c - figures for Prometheus, counts for tests, and the check that the state does not
 * contradict itself. */
#include "brain/core_internal.h"
#include "metrics/controller_metrics.h"

static struct scale_sample sample(const struct core *c, const struct fn *f)
{
    const struct autoscaler_decision *d = &f->decision;
    const struct autoscaler_load *load = &d->loads[METRIC_CONCURRENCY],
                                 *rate = &d->loads[METRIC_REQUESTS];
    struct scale_sample s = {.ns = f->spec->ns,
                             .function = f->spec->name,
                             .revision = f->active->id,
                             .desired = d->desired,
                             .requested = f->requested,
                             .stable = load->stable,
                             .panic = f->panic,
                             .target = load->target,
                             .stable_rate = rate->stable,
                             .panic_rate = rate->panic,
                             .target_rate = rate->target,
                             .panic_mode = d->panic};

    list_for_each(it, &f->revisions)
    {
        struct tally r = revision_tally(c, list_entry(it, struct revision, link));

        s.actual += r.counted;
        s.ready += r.ready;
        s.terminating += r.all - r.counted;
    }
    s.burst = (double)s.ready * f->spec->concurrency - f->panic;
    return s;
}

/* Of those that are awake: the thread that decides writes this, and ten thousand that sleep would keep it for 100 ms. */
static void scale_figures(const struct core *c, struct buffer *out)
{
    cleanup_free struct scale_sample *s = NULL;
    size_t n = 0, most = 0;

    list_for_each(it, &c->active) most++;
    s = calloc(most + 1, sizeof(*s));
    list_for_each(it, &c->active) if (s) s[n++] = sample(c, list_entry(it, struct fn, active_link));
    scale_metrics(out, s, n);
}

static struct rule_sample rules(const struct fn *f)
{
    const struct autoscaler_decision *d = &f->decision;
    struct rule_sample s = {.ns = f->spec->ns,
                            .function = f->spec->name,
                            .reason = f->scaled_at ? autoscaler_reason_name(f->why) : NULL};

    for (size_t k = 0; k < METRIC_KINDS; k++) {
        if (!d->wishes[k] && (k >= METRIC_LOADS || d->loads[k].target == 0))
            continue;
        s.wishes[s.wish_count].name = autoscaler_reason_name((enum autoscaler_reason)k);
        s.wishes[s.wish_count++].instances = d->wishes[k];
    }
    if (d->at_ns) {
        s.rules[s.rule_count].name = "before";
        s.rules[s.rule_count++].instances = d->before;
    }
    for (size_t k = 0; d->at_ns && k < AUTOSCALER_RULES; k++) {
        s.rules[s.rule_count].name = autoscaler_rule_name((enum autoscaler_rule)k);
        s.rules[s.rule_count++].instances = d->after[k];
    }
    return s;
}

static void rule_figures(const struct core *c, struct buffer *out)
{
    cleanup_free struct rule_sample *s = calloc(SCALE_SAMPLES_MAX, sizeof(*s));
    size_t n = 0;

    _Static_assert((int)METRIC_KINDS <= (int)WISHES_MAX && (int)AUTOSCALER_RULES < (int)RULES_MAX,
                   "room for all of them");
    list_for_each(it, &c->active)
    {
        const struct fn *f = list_entry(it, struct fn, active_link);

        if (s && f->scaler && n < SCALE_SAMPLES_MAX)
            s[n++] = rules(f);
    }
    rule_metrics(out, s, n);
}

static void crash_figures(const struct core *c, struct buffer *out)
{
    cleanup_free struct crash_sample *s = calloc(SCALE_SAMPLES_MAX, sizeof(*s));
    size_t n = 0;

    list_for_each(it, &c->backoff)
    {
        const struct revision *r = list_entry(it, struct revision, backoff_link);

        if (s && n < SCALE_SAMPLES_MAX && fn_live(r->fn) && (r == r->fn->active || r == r->fn->latest))
            s[n++] = (struct crash_sample){r->spec->ns, r->spec->name, revision_reason(r)};
    }
    crash_metrics(out, s, n);
}

static void placement_figures(const struct core *c, struct buffer *out)
{
    static const char *const names[UNPLACED_COUNT] = {"NoNode", "NoRoom", "NoSuitableNode"};
    struct placement_sample s[UNPLACED_COUNT + 1] = {{"Placed", c->placed}};

    for (size_t k = 0; k < UNPLACED_COUNT; k++)
        s[k + 1] = (struct placement_sample){names[k], c->unplaced[k]};
    placement_metrics(out, s, ARRAY_LEN(s));
}

static void decision_figures(const struct core *c, struct buffer *out)
{
    struct decision_sample d[REASON_COUNT];

    for (size_t k = 0; k < REASON_COUNT; k++)
        d[k] = (struct decision_sample){autoscaler_reason_name((enum autoscaler_reason)k),
                                        c->decisions[k]};
    decision_metrics(out, d, REASON_COUNT);
}

static void reading_figures(const struct core *c, struct buffer *out)
{
    static const enum autoscaler_metric_kind kinds[] = {METRIC_CPU, METRIC_MEMORY};
    struct reading_sample s[ARRAY_LEN(kinds)];

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        s[k] = (struct reading_sample){autoscaler_reason_name((enum autoscaler_reason)kinds[k]),
                                       c->readings_cut[kinds[k]]};
    reading_metrics(out, s, ARRAY_LEN(s));
}

void core_metrics(struct core *c, uint64_t now, struct buffer *out)
{
    static const char *const reasons[REFUSED_COUNT] = {
        "NotFound",         "MethodNotAllowed", "QueueFull", "NoCapacity",
        "DeadlineExceeded", "CrashLoop",        "InitFailed"};
    struct refusal_sample refused[REFUSED_COUNT];
    struct node_sample states[NODE_STATE_COUNT];

    c->now = now;
    scale_figures(c, out);
    rule_figures(c, out);
    decision_figures(c, out);
    reading_figures(c, out);
    crash_figures(c, out);
    placement_figures(c, out);
    for (size_t k = 0; k < REFUSED_COUNT; k++)
        refused[k] = (struct refusal_sample){reasons[k], c->refused[k]};
    activator_metrics(out,
                      &(struct activator_sample){.tickets = activator_stats(c->activator)->tickets,
                                                 .held_bytes = activator_stats(c->activator)->held,
                                                 .tickets_limit = c->config.queue_total,
                                                 .held_limit = c->config.held_total,
                                                 .wait = &c->wait,
                                                 .refused = refused,
                                                 .refused_count = REFUSED_COUNT});
    for (size_t k = 0; k < NODE_STATE_COUNT; k++)
        states[k] = (struct node_sample){node_state_name((enum node_state)k), 0};
    for (size_t k = 0; k < nodes_count(c->nodes); k++)
        states[nodes_at(c->nodes, k)->state].count++;
    node_metrics(out, states, NODE_STATE_COUNT, c->halted);
    pools_metrics(c, out);
}

bool core_count(struct core *c, const char *key, struct core_counts *ret)
{
    const struct fn *f = fn_find(c, key);

    if (!f)
        return false;
    *ret = (struct core_counts){.waiting = f->queue.count, .requested = f->requested};
    list_for_each(it, &f->revisions)
    {
        struct tally t = revision_tally(c, list_entry(it, struct revision, link));

        ret->instances += t.counted;
        ret->ready += t.ready;
        ret->leaving += t.all - t.counted;
    }
    return true;
}

static const char *check_node(const struct node *n)
{
    uint64_t memory = 0, leaving = 0;

    list_for_each(it, &n->instances)
    {
        const struct instance *i = list_entry(it, struct instance, host_link);

        if (i->dead || i->host != n)
            return "a node has an instance that is dead or another's";
        memory += i->memory;
        leaving += i->leaving != LEAVING_NOT ? i->memory : 0;
    }
    if (n->place.open != node_open(n) || n->place.reserved_memory != n->reserved_memory)
        return "the scheduler knows another node than there is";
    if (memory != n->reserved_memory)
        return "reserved memory is not the sum of the instances'";
    return leaving == n->leaving_memory ? NULL : "leaving memory is not the sum of those that leave";
}

static const char *check_fn(const struct core *c, const struct fn *f)
{
    uint32_t instances = 0, present = 0, waiting = 0;

    if (fn_live(f) && (f->requested < f->spec->scaling.min) && list_empty(&f->dirty_link))
        return "fewer requested than scaling.min";
    list_for_each(it, &f->revisions)
    {
        const struct revision *r = list_entry(it, struct revision, link);

        if (!tally_right(c, r))
            return "a revision's tally is not that of its instances";
        list_for_each(iit, &r->instances)
        {
            const struct instance *i = list_entry(iit, struct instance, rev_link);

            instances += !i->dead;
            if (i->endpoint && !instance_serves(i))
                return "an endpoint that does not serve";
            if (i->endpoint && !fn_live(f) && list_empty(&f->dirty_link))
                return "an endpoint of a deleted function";
        }
    }
    for (size_t k = 0; k < f->presence_count; k++)
        present += f->presence[k].instances;
    if (present != instances)
        return "presence is not the number of instances";
    list_for_each(it, &f->queue.tickets) waiting++;
    return waiting == f->queue.count ? NULL : "the queue's count is not its length";
}

int core_check(struct core *c, const char **ret_what)
{
    const char *what = NULL;

    for (size_t k = 0; k < nodes_count(c->nodes) && !what; k++)
        what = check_node(nodes_at(c->nodes, k));
    map_for_each(m, &c->functions) what = what ? what : check_fn(c, map_entry(m, struct fn, node));
    if (what)
        *ret_what = what;
    return what ? -EINVAL : 0;
}
