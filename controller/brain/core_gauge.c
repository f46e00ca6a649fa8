/* core_gauge.c - what instances use, and what they report of themselves: what was told of each last, and
 * what that is to the autoscaler. */
#include "brain/core_internal.h"
#include "flow/window.h"

/* ---- as it is told */

void instance_metrics(struct instance *i, size_t n, Rouse__Control__V1__Metric *const *list)
{
    if (n && !i->gauges)
        i->gauges = calloc(1, sizeof(*i->gauges));
    for (size_t k = 0; i->gauges && k < n;
         k++) /* what an agent refuses does not come; nor does it count */
        (void)gauges_set(i->gauges, list[k]->name, strlen(list[k]->name), list[k]->value, NULL);
}

/* No more than its node has, whatever the node's agent says: it is a mean with others'. */
static uint64_t cut(struct core *c, enum autoscaler_metric_kind kind, uint64_t told, uint64_t most)
{
    c->readings_cut[kind] += told > most;
    return told > most ? most : told;
}

void instance_uses(struct core *c, struct instance *i, const Rouse__Control__V1__InstanceLoad *l,
                   double seconds)
{
    i->measured = l->memory != 0;
    i->memory_used = cut(c, METRIC_MEMORY, l->memory, i->host->allocatable_memory);
    i->cpu_used = (uint32_t)cut(c, METRIC_CPU, l->cpu, i->host->allocatable_cpu);
    /* A reading that began before it was ready is of its start. */
    i->cpu_told =
        i->measured && i->ready_ns && (double)(c->now - i->ready_ns) >= seconds * (double)NS_PER_S;
}

void instance_uses_nothing(struct instance *i)
{
    free(i->gauges);
    window_free(i->cpu_mean);
}

/* ---- each second */

static bool scales_by(const struct fn *f, enum autoscaler_metric_kind kind)
{
    const struct autoscaler_spec *s = &f->spec->scaling;

    for (size_t k = 0; k < s->metric_count; k++)
        if (s->metrics[k].kind == kind)
            return true;
    return false;
}

/* Who is frozen uses nothing and is not told of; who is on a silent node is taken to go on as it did. */
static void sample_cpu(const struct core *c, struct instance *i, uint64_t at)
{
    bool rests = i->state == STATE_FROZEN;

    if (!instance_serves(i) || (!i->cpu_told && !rests))
        return;
    if (!i->cpu_mean && window_new(c->config.autoscaler.resource_seconds, &i->cpu_mean) < 0)
        return; /* without memory it is missing */
    window_record(i->cpu_mean, at, rests ? 0 : i->cpu_used);
}

void scale_sample_cpu(const struct core *c, struct fn *f, uint64_t at)
{
    if (!scales_by(f, METRIC_CPU))
        return;
    list_for_each(it, &f->revisions)
    {
        const struct revision *r = list_entry(it, struct revision, link);

        list_for_each(iit, &r->instances)
            sample_cpu(c, list_entry(iit, struct instance, rev_link), at);
    }
}

/* ---- for a decision */

/* Of a silent node's instances nothing is known: what was true then may be long over. */
static bool heard_of(const struct instance *i)
{
    return i->host->state == NODE_READY;
}

static void add_value(struct hpa_sample *s, bool known, double value)
{
    s->missing += !known;
    s->ready += known;
    s->usage += known ? value : 0;
}

/* What is ready for less than the mean is long would be measured by what its start used. */
static void add_cpu(const struct core *c, const struct instance *i, struct hpa_sample *s)
{
    const uint32_t seconds = c->config.autoscaler.resource_seconds;
    bool known = heard_of(i) && i->measured;

    if (!instance_serves(i) || (known && c->now - i->ready_ns < seconds * NS_PER_S))
        s->unready += instance_counts(i);
    else
        add_value(s, known && i->cpu_mean,
                  known && i->cpu_mean ? window_average(i->cpu_mean, c->now, seconds) : 0);
}

/* What starts has its memory, ready or not: only what has none yet is left out. */
static void add_memory(const struct instance *i, struct hpa_sample *s)
{
    bool known = heard_of(i) && i->measured;

    if (instance_serves(i) || (known && instance_counts(i)))
        add_value(s, known, (double)i->memory_used);
    else
        s->unready += instance_counts(i);
}

static void add_custom(const struct instance *i, const char *name, struct hpa_sample *s)
{
    const struct gauge *g =
        i->gauges && heard_of(i) ? gauges_find(i->gauges, name, strlen(name)) : NULL;

    if (instance_serves(i))
        add_value(s, g != NULL, g ? g->value : 0);
    else
        s->unready += instance_counts(i);
}

static void add(const struct core *c, const struct instance *i, const struct autoscaler_metric *m,
                struct hpa_sample *s)
{
    if (i->dead || instance_state_final(i->state))
        return;
    if (m->kind == METRIC_CPU)
        add_cpu(c, i, s);
    else if (m->kind == METRIC_MEMORY)
        add_memory(i, s);
    else
        add_custom(i, m->query, s);
}

bool scale_instances(const struct core *c, const struct fn *f,
                     struct hpa_sample samples[SCALING_METRICS_MAX])
{
    const struct autoscaler_spec *s = &f->spec->scaling;
    bool some = false;

    for (size_t k = 0; k < s->metric_count && k < SCALING_METRICS_MAX; k++) {
        const struct autoscaler_metric *m = &s->metrics[k];

        samples[k] = (struct hpa_sample){0};
        if (m->kind != METRIC_CPU && m->kind != METRIC_MEMORY && m->kind != METRIC_CUSTOM)
            continue;
        some = true;
        list_for_each(it, &f->revisions)
        {
            const struct revision *r = list_entry(it, struct revision, link);

            list_for_each(iit, &r->instances)
                add(c, list_entry(iit, struct instance, rev_link), m, &samples[k]);
        }
    }
    return some;
}
