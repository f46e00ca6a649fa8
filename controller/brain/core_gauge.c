/* core_gauge.c - the metrics that instances report of themselves: what each said last, and what that is to
 * the autoscaler. */
#include "brain/core_internal.h"

void instance_metrics(struct instance *i, size_t n, Rouse__Control__V1__Metric *const *list)
{
    if (n && !i->gauges)
        i->gauges = calloc(1, sizeof(*i->gauges));
    for (size_t k = 0; i->gauges && k < n;
         k++) /* what an agent refuses does not come; nor does it count */
        (void)gauges_set(i->gauges, list[k]->name, strlen(list[k]->name), list[k]->value, NULL);
}

/* Of a silent node's instances nothing is known: what was true then may be long over. */
static void sample_instance(const struct instance *i, const char *name, struct hpa_sample *s)
{
    const struct gauge *g = i->gauges && i->host->state == NODE_READY
                                ? gauges_find(i->gauges, name, strlen(name))
                                : NULL;

    if (i->dead || instance_state_final(i->state))
        return;
    if (!instance_serves(i)) {
        s->unready += instance_counts(i);
        return;
    }
    s->missing += !g;
    s->ready += g != NULL;
    s->usage += g ? g->value : 0;
}

bool scale_custom(const struct fn *f, struct hpa_sample samples[SCALING_METRICS_MAX])
{
    const struct autoscaler_spec *s = &f->spec->scaling;
    bool some = false;

    for (size_t k = 0; k < s->metric_count && k < SCALING_METRICS_MAX; k++) {
        samples[k] = (struct hpa_sample){0};
        if (s->metrics[k].kind != METRIC_CUSTOM)
            continue;
        some = true;
        list_for_each(it, &f->revisions)
        {
            const struct revision *r = list_entry(it, struct revision, link);

            list_for_each(iit, &r->instances) sample_instance(
                list_entry(iit, struct instance, rev_link), s->metrics[k].query, &samples[k]);
        }
    }
    return some;
}
