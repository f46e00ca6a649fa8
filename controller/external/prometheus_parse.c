/* prometheus_parse.c - the JSON of Prometheus' HTTP API, /api/v1/query. */
#include "external/prometheus.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [time, "value"] */
static int add(struct json_object *pair, double *sum, char why[PROMETHEUS_WHY_MAX])
{
    struct json_object *v =
        json_object_is_type(pair, json_type_array) ? json_object_array_get_idx(pair, 1) : NULL;
    const char *text = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
    char *end;
    double d = strtod(text, &end);

    if (!*text || *end) {
        snprintf(why, PROMETHEUS_WHY_MAX, "a value is not a number");
        return -EBADMSG;
    }
    if (!(d >= 0 && d <= 1e300)) { /* NaN is neither */
        snprintf(why, PROMETHEUS_WHY_MAX, "it says %.32s, which is not a number from 0", text);
        return -ENODATA;
    }
    *sum += d;
    return 0;
}

static int sum_of(struct json_object *data, double *ret, char why[PROMETHEUS_WHY_MAX])
{
    struct json_object *type = json_get(data, "resultType"), *result = json_get(data, "result");
    const char *name =
        json_object_is_type(type, json_type_string) ? json_object_get_string(type) : "";
    double sum = 0;
    int r = 0;

    if (!strcmp(name, "scalar")) {
        r = add(result, &sum, why);
    } else if (strcmp(name, "vector") != 0 || !json_object_is_type(result, json_type_array)) {
        snprintf(why, PROMETHEUS_WHY_MAX, "its result is a %.32s, neither vector nor scalar", name);
        return -EBADMSG;
    } else if (!json_object_array_length(result)) {
        snprintf(why, PROMETHEUS_WHY_MAX, "its result is empty");
        return -ENODATA;
    } else {
        for (size_t i = 0; i < json_object_array_length(result) && r == 0; i++)
            r = add(json_get(json_object_array_get_idx(result, i), "value"), &sum, why);
    }
    if (r == 0)
        *ret = sum;
    return r;
}

int prometheus_parse(const char *text, size_t n, double *ret, char why[PROMETHEUS_WHY_MAX])
{
    struct json_tokener *t = json_tokener_new_ex(16);
    struct json_object *o = t && n <= INT32_MAX ? json_tokener_parse_ex(t, text, (int)n) : NULL;
    struct json_object *status, *error;
    int r = -EBADMSG;

    json_tokener_free(t);
    status = json_get(o, "status");
    error = json_get(o, "error");
    if (!json_object_is_type(o, json_type_object) || !json_object_is_type(status, json_type_string))
        snprintf(why, PROMETHEUS_WHY_MAX, "its answer is not that of a Prometheus");
    else if (strcmp(json_object_get_string(status), "success") != 0)
        snprintf(why, PROMETHEUS_WHY_MAX, "%.150s",
                 json_object_is_type(error, json_type_string) ? json_object_get_string(error)
                                                              : "the query failed");
    else
        r = sum_of(json_get(o, "data"), ret, why);
    json_object_put(o);
    return r;
}
