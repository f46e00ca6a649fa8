/* module: controller/brain */
/* hpa_driver.c - what our autoscaler makes of a sequence of readings, for autoscaler_test.py.
 *
 * stdin: scenarios as JSON, one a line: hpa/hpa_test.go has their members; `scaling` is spec.scaling
 * in place of its `spec`, and `began` the milliseconds of the clock 15 s before the first step.
 * stdout: of each, "= " and the number of instances after each of its steps. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "brain/scaling_make.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    double unit; /* readings are thousandths */
} kinds[METRIC_KINDS] = {
    [METRIC_CPU] = {"cpu", 1},
    [METRIC_MEMORY] = {"memory", 1000},
    [METRIC_CUSTOM] = {NULL, 1000},
    [METRIC_EXTERNAL] = {NULL, 1000},
};

static const char *name_of(const struct autoscaler_metric *m)
{
    return kinds[m->kind].name ?: m->query;
}

/* As brain/core_gauge.c counts instances. */
static struct hpa_sample sample(struct json_object *pods, const struct autoscaler_metric *m)
{
    struct hpa_sample s = {0};

    for (size_t i = 0; i < json_object_array_length(pods); i++) {
        struct json_object *pod = json_object_array_get_idx(pods, i);
        struct json_object *value = json_get(json_get(pod, "values"), name_of(m));
        const char *state = json_string(pod, "state");
        bool fresh = !strcmp(state, "fresh"), ready = fresh || !strcmp(state, "ready");

        if (!strcmp(state, "failed") || !strcmp(state, "deleted"))
            continue;
        if (m->kind == METRIC_CPU && fresh && value)
            s.unready++;
        else if (!ready && !(m->kind == METRIC_MEMORY && value))
            s.unready++;
        else if (!value)
            s.missing++;
        else
            s.ready++;
        if (ready || m->kind == METRIC_MEMORY)
            s.usage += m->kind == METRIC_CPU && fresh
                           ? 0
                           : (double)json_object_get_int64(value) / kinds[m->kind].unit;
    }
    return s;
}

static uint32_t serving(struct json_object *pods)
{
    uint32_t n = 0;

    for (size_t i = 0; i < json_object_array_length(pods); i++) {
        const char *state = json_string(json_object_array_get_idx(pods, i), "state");

        n += !strcmp(state, "fresh") || !strcmp(state, "ready");
    }
    return n;
}

static uint32_t decide(struct autoscaler *a, const struct autoscaler_spec *spec,
                       struct json_object *step, uint64_t now_ns, uint32_t current)
{
    struct json_object *pods = json_get(step, "pods");
    struct autoscaler_external outside[SCALING_METRICS_MAX] = {0};
    struct hpa_sample instances[SCALING_METRICS_MAX] = {0};
    struct autoscaler_input in = {.concurrency = 1,
                                  .ready = serving(pods),
                                  .current = current,
                                  .running = 1,
                                  .last_active_ns = now_ns,
                                  .external = outside,
                                  .instances = instances};
    struct autoscaler_decision d;

    for (size_t i = 0; i < spec->metric_count; i++) {
        const struct autoscaler_metric *m = &spec->metrics[i];
        struct json_object *v = json_get(json_get(step, "external"), name_of(m));

        if (m->kind != METRIC_EXTERNAL)
            instances[i] = sample(pods, m);
        else if (v)
            outside[i] = (struct autoscaler_external){true, (double)json_object_get_int64(v) /
                                                                kinds[m->kind].unit};
    }
    autoscaler_decide(a, &autoscaler_defaults, spec, &in, now_ns, &d);
    return d.requested;
}

/* NULL: it is none. */
static struct function *function_of(struct json_object *scenario)
{
    struct function *f = function_new("default", "x");
    struct json_object *requests = json_get(scenario, "requests");

    f->cpu_millis = (uint32_t)json_object_get_int64(json_get(requests, "cpu"));
    f->memory = (uint64_t)json_object_get_int64(json_get(requests, "memory")) / 1000;
    return scaling_make(json_get(scenario, "scaling"), f) < 0 ? function_unref(f) : f;
}

/* Another behavior, from this step on. */
static struct function *changed(struct autoscaler *a, struct function *f,
                                struct json_object *scenario, struct json_object *behavior)
{
    json_object_object_add(json_get(scenario, "scaling"), "behavior", json_object_get(behavior));
    function_unref(f);
    f = function_of(scenario);
    if (f)
        autoscaler_respec(a, &autoscaler_defaults, &f->scaling);
    return f;
}

static int run(struct json_object *o)
{
    struct function *f = function_of(o);
    struct json_object *steps = json_get(o, "steps");
    uint64_t now = (uint64_t)json_object_get_int64(json_get(o, "began")) * NS_PER_MS;
    uint32_t n = (uint32_t)json_object_get_int64(json_get(o, "replicas"));
    struct autoscaler *a = f ? autoscaler_new(&autoscaler_defaults, &f->scaling) : NULL;

    putchar('=');
    for (size_t i = 0; f && i < json_object_array_length(steps); i++) {
        struct json_object *step = json_object_array_get_idx(steps, i);

        if (json_get(step, "behavior"))
            f = changed(a, f, o, json_get(step, "behavior"));
        if (!f)
            break;
        now += 15 * NS_PER_S;
        n = decide(a, &f->scaling, step, now, n);
        printf(" %u", n);
    }
    putchar('\n');
    autoscaler_free(a);
    if (!f)
        return -1;
    function_unref(f);
    return 0;
}

int main(void)
{
    cleanup_free char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        struct json_object *o = json_tokener_parse(line);

        if (!o || run(o) < 0) {
            fprintf(stderr, "hpa_driver: not a scenario: %s", line);
            return 1;
        }
        json_object_put(o);
    }
    return 0;
}
