/* metrics.c - what a runtime says of its instance: gauges, the last value wins (wire/gauge.h). */
#include "base/cleanup.h"
#include "invoke/link_internal.h"
#include "invoke/text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct gauges *runtime_link_gauges(const struct runtime_link *l)
{
    static const struct gauges none;

    return l->gauges ? l->gauges : &none;
}

static void tell(struct runtime_link *l, const char *name, double value, const char *refused)
{
    if (l->config.ops->on_metric)
        l->config.ops->on_metric(l->config.user, name, value, refused);
}

/* It goes to a log and into an answer's JSON, whatever it is. */
static void shown(const char *name, size_t n, char out[GAUGE_NAME_MAX + 1])
{
    size_t k;

    for (k = 0; k < n && k < GAUGE_NAME_MAX; k++)
        out[k] = (char)(name[k] > ' ' && name[k] < 127 && name[k] != '"' && name[k] != '\\' ? name[k]
                                                                                            : '?');
    out[k] = '\0';
}

static bool have_gauges(struct runtime_link *l)
{
    if (!l->gauges)
        l->gauges = calloc(1, sizeof(*l->gauges));
    return l->gauges;
}

void link_metric(struct runtime_link *l, const char *name, size_t n, double value)
{
    char text[GAUGE_NAME_MAX + 1];
    bool changed = false;
    const char *why =
        have_gauges(l) ? gauges_set(l->gauges, name, n, value, &changed) : "out of memory";

    shown(name, n, text);
    if (why || changed)
        tell(l, text, value, why);
}

static void tell_changes(struct runtime_link *l, const struct gauges *before)
{
    for (unsigned i = 0; i < l->gauges->count; i++) {
        const struct gauge *g = &l->gauges->all[i];

        if (i >= before->count || before->all[i].value != g->value)
            tell(l, g->name, g->value, NULL);
    }
}

static int take(struct gauges *to, struct json_object *o, char why[LINK_WHY_MAX])
{
    const char *refused = NULL;
    char name[GAUGE_NAME_MAX + 1];

    if (!json_object_is_type(o, json_type_object))
        return -EINVAL;
    json_object_object_foreach(o, key, v)
    {
        bool number =
            json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double);

        if (refused)
            continue;
        refused = number ? gauges_set(to, key, strlen(key), json_object_get_double(v), NULL)
                         : "a metric's value is a number from 0 to 1e18";
        shown(key, strlen(key), name);
    }
    if (refused)
        snprintf(why, LINK_WHY_MAX, "metric %s: %s", name, refused);
    return refused ? -EINVAL : 0;
}

int link_metrics(struct runtime_link *l, const uint8_t *json, size_t n, char why[LINK_WHY_MAX])
{
    struct json_facts facts;
    struct json_tokener *t;
    struct json_object *o = NULL;
    struct gauges before, after;
    int r = -EINVAL;

    snprintf(why, LINK_WHY_MAX, "the body is not a JSON object of numbers");
    if (!have_gauges(l))
        return -ENOMEM;
    before = after = *l->gauges;
    /* json-c takes more than RFC 8259 has: NaN, comments. */
    if (json_check(json, n, 2, &facts) < 0)
        return -EINVAL;
    t = json_tokener_new_ex(2);
    if (t)
        o = json_tokener_parse_ex(t, (const char *)json, (int)n);
    json_tokener_free(t);
    if (o)
        r = take(&after, o, why);
    json_object_put(o);
    if (r < 0)
        return r;
    *l->gauges = after;
    tell_changes(l, &before);
    return 0;
}
