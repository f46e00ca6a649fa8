/* gauges.c - the metrics that functions report of themselves: told to the controller instance by instance,
 * shown to Prometheus summed over a function's instances here. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/metrics.h"

#include <string.h>

enum { SUMS_MAX = 10000 }; /* label sets, as of functions (report.h) */

/* ---- for the controller */

size_t gauges_tell(struct instance *i, size_t *left, Rouse__Control__V1__Metric ***ret)
{
    const struct gauges *g = i->link ? runtime_link_gauges(i->link) : NULL;
    size_t count = g && g->count <= *left ? g->count : 0, n = 0;
    Rouse__Control__V1__Metric **list = count ? calloc(count, sizeof(*list)) : NULL;

    for (size_t k = 0; list && k < count; k++) {
        Rouse__Control__V1__Metric *m = malloc(sizeof(*m));

        if (!m)
            break;
        rouse__control__v1__metric__init(m);
        m->name = strdup(g->all[k].name);
        m->value = g->all[k].value;
        if (!m->name) {
            free(m);
            break;
        }
        list[n++] = m;
    }
    *left -= n;
    i->pool->gauges_untold += g ? g->count - n : 0;
    *ret = list;
    return n;
}

void gauges_untell(size_t n, Rouse__Control__V1__Metric **list)
{
    for (size_t k = 0; k < n; k++)
        rouse__control__v1__metric__free_unpacked(list[k], NULL);
    free(list);
}

/* ---- for Prometheus */

struct sum {
    struct map_node node; /* by function key, NUL, the metric's name */
    const struct revision *of;
    const char *name;
    double value;
    char key[];
};

static struct sum *sum_of(struct map *sums, const struct revision *r, const char *name)
{
    size_t of = strlen(r->function_key) + 1, n = of + strlen(name);
    struct sum *s = calloc(1, sizeof(*s) + n + 1);
    struct map_node *had;

    if (!s)
        return NULL;
    memcpy(s->key, r->function_key, of);
    memcpy(s->key + of, name, n - of);
    had = map_get(sums, s->key, n);
    if (!had && sums->count < SUMS_MAX && map_put(sums, &s->node, s->key, n) == 0) {
        s->of = r;
        s->name = s->key + of;
        return s;
    }
    free(s);
    return had ? map_entry(had, struct sum, node) : NULL;
}

static void add_up(struct map *sums, const struct instance *i, uint64_t *dropped)
{
    const struct gauges *g = i->link ? runtime_link_gauges(i->link) : NULL;

    for (unsigned k = 0; g && k < g->count; k++) {
        struct sum *s = sum_of(sums, i->revision, g->all[k].name);

        if (s)
            s->value += g->all[k].value;
        else
            (*dropped)++;
    }
}

void pool_function_metrics(const struct pool *p, struct buffer *out)
{
    struct map sums = {0};
    uint64_t dropped = 0;

    map_for_each(it, &p->instances)
    {
        const struct instance *i = map_entry(it, struct instance, node);

        if (!instance_state_final(i->state))
            add_up(&sums, i, &dropped);
    }
    metrics_family(out, "rouse_function_metric", "gauge",
                   "What functions report of themselves, summed over their instances here.");
    map_for_each(it, &sums)
    {
        struct sum *s = map_entry(it, struct sum, node);

        metrics_sample(out, "rouse_function_metric", s->value, "namespace", s->of->namespace,
                       "function", s->of->name, "metric", s->name, NULL);
        map_del(&sums, &s->node);
        free(s);
    }
    map_done(&sums);
    metrics_family(out, "rouse_function_metrics_not_shown", "gauge",
                   "Metrics of instances that are beyond the bound of rouse_function_metric.");
    metrics_sample(out, "rouse_function_metrics_not_shown", (double)dropped, NULL);
    metrics_family(out, "rouse_function_metrics_untold_total", "counter",
                   "Values that the controller was not told of: a message has 10,000 of them.");
    metrics_sample(out, "rouse_function_metrics_untold_total", (double)p->gauges_untold, NULL);
}
