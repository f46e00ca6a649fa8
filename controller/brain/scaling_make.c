#include "brain/scaling_make.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/quantity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int number(struct json_object *o, const char *name, uint32_t *ret)
{
    struct json_object *v = json_get(o, name);
    int64_t n = v ? json_object_get_int64(v) : 0;

    if (!v)
        return 0;
    if (!json_object_is_type(v, json_type_int) || n < 0 || n > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)n;
    return 0;
}

static int seconds(struct json_object *o, const char *name, uint32_t *ret)
{
    uint64_t ns;

    if (!json_get(o, name))
        return 0;
    if (quantity_duration(json_string(o, name), &ns) < 0 || ns / NS_PER_S > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)(ns / NS_PER_S);
    return 0;
}

/* ---- metrics */

static int target(struct json_object *o, double unit, const struct function *f,
                  struct autoscaler_metric *m)
{
    const char *type = json_string(o, "type");
    uint64_t thousandths = 0;
    uint32_t percent = 0;
    int r;

    if (!strcmp(type, "Utilization")) {
        m->of.target = HPA_UTILIZATION;
        m->of.request = m->kind == METRIC_CPU ? f->cpu_millis : (double)f->memory;
        r = number(o, "averageUtilization", &percent);
        m->of.value = percent;
    } else {
        bool value = !strcmp(type, "Value");

        m->of.target = value ? HPA_VALUE : HPA_AVERAGE;
        r = quantity_number(json_string(o, value ? "value" : "averageValue"), &thousandths);
        m->of.value = (double)thousandths / 1000 * unit;
    }
    return r < 0 || m->of.value <= 0 ? -EINVAL : 0;
}

static int metric(struct json_object *o, const struct function *f, struct autoscaler_metric *m)
{
    struct json_object *v;

    if ((v = json_get(o, "resource"))) {
        m->kind = strcmp(json_string(v, "name"), "cpu") == 0 ? METRIC_CPU : METRIC_MEMORY;
        return target(json_get(v, "target"), m->kind == METRIC_CPU ? 1000 : 1, f, m);
    }
    if ((v = json_get(o, "pods"))) {
        const char *name = json_string(json_get(v, "metric"), "name");

        m->kind = !strcmp(name, "concurrency")           ? METRIC_CONCURRENCY
                  : !strcmp(name, "requests_per_second") ? METRIC_REQUESTS
                                                         : METRIC_CUSTOM;
        m->query = m->kind == METRIC_CUSTOM ? strdup(name) : NULL;
        if (!*name || (m->kind == METRIC_CUSTOM && !m->query))
            return *name ? -ENOMEM : -EINVAL;
        return target(json_get(v, "target"), 1, f, m);
    }
    if (!(v = json_get(o, "external")))
        return -EINVAL;
    m->kind = METRIC_EXTERNAL;
    m->query = strdup(json_string(json_get(v, "metric"), "query"));
    return m->query ? target(json_get(v, "target"), 1, f, m) : -ENOMEM;
}

static int metrics(struct json_object *list, struct function *f)
{
    size_t n = list ? json_object_array_length(list) : 0;
    int r = 0;

    if (!n)
        return 0;
    if (n > SCALING_METRICS_MAX)
        return -EINVAL;
    f->scaling.metrics = calloc(n, sizeof(*f->scaling.metrics));
    if (!f->scaling.metrics)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        r = metric(json_object_array_get_idx(list, i), f,
                   &f->scaling.metrics[f->scaling.metric_count++]);
    return r;
}

/* ---- behavior */

static int policies(struct json_object *list, struct behavior_rules *to)
{
    size_t n = list ? json_object_array_length(list) : 0;
    int r = 0;

    if (!n)
        return 0;
    if (n > BEHAVIOR_POLICIES_MAX)
        return -EINVAL;
    to->policy_count = (uint32_t)n;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        to->policies[i] =
            (struct behavior_policy){.percent = !strcmp(json_string(o, "type"), "Percent")};
        r = number(o, "value", &to->policies[i].value);
        if (r == 0)
            r = number(o, "periodSeconds", &to->policies[i].period_s);
    }
    return r;
}

static int rules(struct json_object *o, struct behavior_rules *to)
{
    const char *select = json_string(o, "selectPolicy");
    uint64_t thousandths;
    int r = number(o, "stabilizationWindowSeconds", &to->stabilization_s);

    to->select = !strcmp(select, "Min")        ? SELECT_MIN
                 : !strcmp(select, "Disabled") ? SELECT_DISABLED
                                               : SELECT_MAX;
    if (r == 0 && json_get(o, "tolerance")) {
        r = quantity_number(json_string(o, "tolerance"), &thousandths);
        if (r == 0)
            to->tolerance = (double)thousandths / 1000;
    }
    return r < 0 ? r : policies(json_get(o, "policies"), to);
}

/* An empty one is none: kubectl sends it to take the fields away. */
static int behavior(struct json_object *o, struct function *f)
{
    struct behavior *b;
    int r = 0;

    if (!o || !json_object_object_length(o))
        return 0;
    b = f->scaling.behavior = malloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    *b = behavior_defaults;
    if (json_get(o, "scaleUp"))
        r = rules(json_get(o, "scaleUp"), &b->up);
    if (r == 0 && json_get(o, "scaleDown"))
        r = rules(json_get(o, "scaleDown"), &b->down);
    return r;
}

/* ---- schedules */

static int provisioned(struct json_object *list, struct function *f)
{
    size_t n = list ? json_object_array_length(list) : 0;
    char why[CRON_WHY_MAX];
    int r = 0;

    if (!n)
        return 0;
    f->scaling.provisioned = calloc(n, sizeof(*f->scaling.provisioned));
    if (!f->scaling.provisioned)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct schedule_window *w = &f->scaling.provisioned[f->scaling.provisioned_count++];

        r = cron_parse(json_string(o, "start"), &w->start, why);
        if (r == 0)
            r = cron_parse(json_string(o, "end"), &w->end, why);
        if (r == 0)
            r = number(o, "min", &w->min);
    }
    return r;
}

int scaling_make(struct json_object *o, struct function *f)
{
    struct autoscaler_spec *s = &f->scaling;
    int r = !json_get(o, "min") || !json_get(o, "max") ? -EINVAL : number(o, "min", &s->min);

    if (r == 0)
        r = number(o, "max", &s->max);
    if (r == 0)
        r = quantity_duration(json_string(o, "idleTimeout"), &s->idle_timeout_ns);
    if (r == 0)
        r = number(o, "initial", &s->initial);
    if (r == 0)
        r = number(o, "activation", &s->activation);
    if (r == 0 && json_get(o, "scaleDownDelay"))
        r = quantity_duration(json_string(o, "scaleDownDelay"), &s->delay_ns);
    if (r == 0)
        r = seconds(o, "window", &s->stable_seconds);
    if (r == 0)
        r = seconds(o, "panicWindow", &s->panic_seconds);
    s->exponential = !strcmp(json_string(o, "average"), "exponential");
    s->predictive = json_get(o, "predictive") && json_object_get_boolean(json_get(o, "predictive"));
    if (r == 0)
        r = metrics(json_get(o, "metrics"), f);
    if (r == 0)
        r = behavior(json_get(o, "behavior"), f);
    if (r == 0)
        r = provisioned(json_get(o, "provisioned"), f);
    return r;
}
