#include "api/admission_scaling.h"

#include "autoscaler/schedule.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "wire/gauge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FIELD_MAX = 128 };

static int64_t number(struct json_object *o, const char *name)
{
    struct json_object *v = json_get(o, name);

    return v ? json_object_get_int64(v) : 0;
}

static size_t length(struct json_object *list)
{
    return list ? json_object_array_length(list) : 0;
}

/* ---- metrics */

/* `type` names the one member that is there. */
static struct json_object *member(struct json_object *o, const char *at, struct problems *p)
{
    static const char *const types[] = {"Resource", "Pods", "External"};
    static const char *const names[] = {"resource", "pods", "external"};
    struct json_object *found = NULL;
    char field[FIELD_MAX];

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct json_object *v = json_get(o, names[i]);
        bool asked = !strcmp(json_string(o, "type"), types[i]);

        snprintf(field, sizeof(field), "%.64s.%s", at, names[i]);
        if (asked && !v)
            problems_add(p, PROBLEM_REQUIRED, field, "Required value: with type %s", types[i]);
        if (!asked && v)
            problems_add(p, PROBLEM_FORBIDDEN, field, "Forbidden: only with type %s", types[i]);
        found = asked ? v : found;
    }
    return found;
}

static void check_target(struct json_object *target, const char *at, struct problems *p)
{
    static const char *const types[] = {"Utilization", "AverageValue", "Value"};
    static const char *const names[] = {"averageUtilization", "averageValue", "value"};
    uint64_t thousandths;
    char field[FIELD_MAX];

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct json_object *v = json_get(target, names[i]);
        bool asked = !strcmp(json_string(target, "type"), types[i]);

        snprintf(field, sizeof(field), "%.64s.target.%s", at, names[i]);
        if (asked && !v)
            problems_add(p, PROBLEM_REQUIRED, field, "Required value: with type %s", types[i]);
        else if (!asked && v)
            problems_add(p, PROBLEM_FORBIDDEN, field, "Forbidden: only with type %s", types[i]);
        else if (asked && i &&
                 (quantity_number(json_string(target, names[i]), &thousandths) < 0 || !thousandths))
            problems_add(p, PROBLEM_INVALID, field, "Invalid value: \"%.64s\": must be positive",
                         json_string(target, names[i]));
    }
}

/* There is one window and one panic of each. */
static bool is_again(struct json_object *list, size_t i)
{
    const char *name =
        json_string(json_get(json_get(json_object_array_get_idx(list, i), "pods"), "metric"), "name");

    for (size_t k = 0; k < i && *name; k++)
        if (!strcmp(name, json_string(json_get(json_get(json_object_array_get_idx(list, k), "pods"),
                                               "metric"),
                                      "name")))
            return true;
    return false;
}

static void check_metrics(struct json_object *list, bool no_external, struct problems *p)
{
    static const char *const names[] = {"resource", "pods", "external"};

    for (size_t i = 0; i < length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *m;
        char at[64], field[FIELD_MAX];

        snprintf(at, sizeof(at), "spec.scaling.metrics[%zu]", i);
        m = member(o, at, p);
        for (size_t k = 0; m && k < ARRAY_LEN(names); k++) {
            snprintf(field, sizeof(field), "%.64s.%s", at, names[k]);
            if (m == json_get(o, names[k]))
                check_target(json_get(m, "target"), field, p);
        }
        if (is_again(list, i)) {
            snprintf(field, sizeof(field), "%s.pods.metric.name", at);
            problems_add(p, PROBLEM_DUPLICATE, field, "Duplicate value: \"%s\"",
                         json_string(json_get(json_get(o, "pods"), "metric"), "name"));
        }
        if (m && m == json_get(o, "external") && no_external) {
            snprintf(field, sizeof(field), "%s.external", at);
            problems_add(p, PROBLEM_FORBIDDEN, field,
                         "Forbidden: this controller asks no Prometheus: it was started without "
                         "--prometheus");
        }
    }
}

/* What the platform does not measure itself the function must be able to report. */
static void check_none_own(struct json_object *list, struct problems *p)
{
    for (size_t i = 0; i < length(list); i++) {
        struct json_object *pods = json_get(json_object_array_get_idx(list, i), "pods");
        const char *name = json_string(json_get(pods, "metric"), "name");
        char field[FIELD_MAX];

        if (!pods || gauge_is_platforms(name, strlen(name)))
            continue;
        snprintf(field, sizeof(field), "spec.scaling.metrics[%zu].pods.metric.name", i);
        problems_add(p, PROBLEM_FORBIDDEN, field,
                     "Forbidden: a program that listens on spec.port reports no metrics of its own");
    }
}

/* ---- the rest */

static void check_at_most_max(struct json_object *scaling, struct json_object *o, const char *name,
                              const char *field, struct problems *p)
{
    if (number(o, name) > number(scaling, "max"))
        problems_add(p, PROBLEM_INVALID, field,
                     "Invalid value: %" PRId64 ": must not be more than spec.scaling.max",
                     number(o, name));
}

static bool check_cron(struct json_object *o, const char *name, const char *at, struct cron *ret,
                       struct problems *p)
{
    char why[CRON_WHY_MAX], field[FIELD_MAX];

    if (cron_parse(json_string(o, name), ret, why) == 0)
        return true;
    snprintf(field, sizeof(field), "%.64s.%s", at, name);
    problems_add(p, PROBLEM_INVALID, field, "Invalid value: \"%.64s\": %s", json_string(o, name),
                 why);
    return false;
}

/* A window that ends when it begins is none. */
static void check_window(struct json_object *o, const char *at, struct problems *p)
{
    struct cron start, end;
    bool good = check_cron(o, "start", at, &start, p);
    char field[FIELD_MAX];

    if (!check_cron(o, "end", at, &end, p) || !good || !cron_same(&start, &end))
        return;
    snprintf(field, sizeof(field), "%.64s.end", at);
    problems_add(p, PROBLEM_INVALID, field,
                 "Invalid value: \"%.64s\": must not be the same as start", json_string(o, "end"));
}

static void check_provisioned(struct json_object *scaling, struct problems *p)
{
    struct json_object *list = json_get(scaling, "provisioned");

    for (size_t i = 0; i < length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        char at[64], field[FIELD_MAX];

        snprintf(at, sizeof(at), "spec.scaling.provisioned[%zu]", i);
        check_window(o, at, p);
        snprintf(field, sizeof(field), "%s.min", at);
        check_at_most_max(scaling, o, "min", field, p);
    }
}

static void check_windows(struct json_object *scaling, struct problems *p)
{
    uint64_t stable, panic;

    if (json_get(scaling, "window") && json_get(scaling, "panicWindow") &&
        quantity_duration(json_string(scaling, "window"), &stable) == 0 &&
        quantity_duration(json_string(scaling, "panicWindow"), &panic) == 0 && panic > stable)
        problems_add(p, PROBLEM_INVALID, "spec.scaling.panicWindow",
                     "Invalid value: \"%.32s\": must not be longer than spec.scaling.window",
                     json_string(scaling, "panicWindow"));
}

void check_scaling(struct json_object *scaling, bool no_external, struct json_object *port,
                   struct problems *p)
{
    check_metrics(json_get(scaling, "metrics"), no_external, p);
    if (port)
        check_none_own(json_get(scaling, "metrics"), p);
    check_at_most_max(scaling, scaling, "initial", "spec.scaling.initial", p);
    check_at_most_max(scaling, scaling, "activation", "spec.scaling.activation", p);
    check_provisioned(scaling, p);
    check_windows(scaling, p);
}
