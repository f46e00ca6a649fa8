/* core_pool_metrics.c - figures of node pools. */
#include "brain/core_internal.h"

struct figure {
    struct buffer *out;
    const char *name;
    uint32_t (*of)(const struct pool_status *s);
};

static uint32_t nodes_of(const struct pool_status *s)
{
    return s->nodes;
}
static uint32_t ready_of(const struct pool_status *s)
{
    return s->ready;
}
static uint32_t desired_of(const struct pool_status *s)
{
    return s->desired;
}

static uint32_t limited(const struct pool_status *s)
{
    return s->limited;
}
static uint32_t backing_off(const struct pool_status *s)
{
    return s->backing_off;
}
static uint32_t halted(const struct pool_status *s)
{
    return s->halted;
}

static void sample(void *user, const struct pool_spec *spec, const struct pool_status *s)
{
    struct figure *f = user;

    metrics_sample(f->out, f->name, f->of(s), "pool", spec->name, NULL);
}

void pools_metrics(struct core *c, struct buffer *out)
{
    static const struct {
        const char *name, *help;
        uint32_t (*of)(const struct pool_status *s);
    } families[] = {
        {"rouse_pool_nodes", "Nodes that a pool has, coming and going ones among them.", nodes_of},
        {"rouse_pool_ready_nodes", "... whose agents are connected.", ready_of},
        {"rouse_pool_desired_nodes", "... that it should have.", desired_of},
        {"rouse_pool_limited", "1 while a pool is at its max and more nodes would be of use.",
         limited},
        {"rouse_pool_backing_off", "1 while a pool asks for no node, since its provider failed.",
         backing_off},
        {"rouse_pool_halted", "1 while too many nodes are unready for any to be added or removed.",
         halted}};
    static const struct {
        enum pool_verb verb;
        const char *step;
    } steps[] = {{POOL_CREATE, "create"}, {POOL_DRAIN, "drain"}, {POOL_DELETE, "delete"}};

    if (!pools_any(c->pools))
        return;
    for (size_t k = 0; k < ARRAY_LEN(families); k++) {
        struct figure f = {out, families[k].name, families[k].of};

        metrics_family(out, families[k].name, "gauge", families[k].help);
        pools_each(c->pools, sample, &f);
    }
    metrics_family(out, "rouse_pool_steps_total", "counter", "What pools had done to their nodes.");
    for (size_t k = 0; k < ARRAY_LEN(steps); k++)
        metrics_sample(out, "rouse_pool_steps_total", (double)c->pool_steps[steps[k].verb], "step",
                       steps[k].step, NULL);
    metrics_family(out, "rouse_pool_decisions_total", "counter", "The same, by what it was for.");
    for (size_t k = POOL_WHY_NONE + 1; k < POOL_WHY_GIVEN_UP; k++) /* which is a pool's, not a node's */
        metrics_sample(out, "rouse_pool_decisions_total", (double)c->pool_decisions[k], "reason",
                       pool_why_name((enum pool_why)k), NULL);
    metrics_family(out, "rouse_pool_failures_total", "counter",
                   "Answers of providers that were errors.");
    metrics_sample(out, "rouse_pool_failures_total", (double)c->pool_failures, NULL);
}
