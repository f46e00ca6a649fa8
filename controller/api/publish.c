/* publish.c - see publish.h. */
#include "api/publish.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void add_rule(struct json_object *o, const char *rule, const char *message)
{
    struct json_object *list = NULL, *r = json_object_new_object();

    if (!json_object_object_get_ex(o, "x-kubernetes-validations", &list)) {
        list = json_object_new_array();
        json_object_object_add(o, "x-kubernetes-validations", list);
    }
    json_object_object_add(r, "rule", json_object_new_string(rule));
    json_object_object_add(r, "message", json_object_new_string(message));
    json_object_array_add(list, r);
}

/* Empty is what an unsupported field may be. */
static void bound_to_nothing(struct json_object *o, const char *why)
{
    const char *type = json_text(o, "type"), *description = json_text(o, "description");
    const char *bound = type && strcmp(type, "array") == 0    ? "maxItems"
                        : type && strcmp(type, "object") == 0 ? "maxProperties"
                                                              : "maxLength";
    cleanup_free char *text = NULL;

    if (asprintf(&text, "%s Not in this version: %s.", description ?: "", why) < 0)
        return;
    json_object_object_add(o, "description", json_object_new_string(text));
    json_object_object_add(o, bound, json_object_new_int(0));
    if (type && strcmp(type, "object") == 0)
        json_object_object_add(o, "x-kubernetes-preserve-unknown-fields",
                               json_object_new_boolean(true));
}

static void add_order(struct json_object *o, struct json_object *ordered)
{
    const char *low = json_object_get_string(json_object_array_get_idx(ordered, 0));
    const char *high = json_object_get_string(json_object_array_get_idx(ordered, 1));
    char rule[256], message[256];

    snprintf(rule, sizeof(rule), "!has(self.%s) || !has(self.%s) || self.%s <= self.%s", low, high,
             low, high);
    snprintf(message, sizeof(message), "%s must not be less than %s", high, low);
    add_rule(o, rule, message);
}

static void add_reserved(struct json_object *o, struct json_object *reserved)
{
    for (size_t i = 0; i < json_object_array_length(reserved); i++) {
        const char *prefix = json_object_get_string(json_object_array_get_idx(reserved, i));
        char rule[256], message[256];

        snprintf(rule, sizeof(rule), "!self.startsWith('%s')", prefix);
        snprintf(message, sizeof(message), "paths below %s are the platform's own", prefix);
        add_rule(o, rule, message);
    }
}

static void add_range(struct json_object *o)
{
    const char *format = json_text(o, "x-rouse-format"), *low = json_text(o, "x-rouse-minimum");
    const char *high = json_text(o, "x-rouse-maximum");
    char rule[256], message[128];

    if (!format || strcmp(format, "duration") != 0 || !low || !high)
        return;
    snprintf(rule, sizeof(rule),
             "self == '0' ? '%s' == '0' : duration(self) >= duration('%s%s') && duration(self) <= "
             "duration('%s')",
             low, low, strcmp(low, "0") == 0 ? "s" : "", high);
    snprintf(message, sizeof(message), "must be between %s and %s", low, high);
    add_rule(o, rule, message);
}

/* "[[:space:]]" is POSIX; everybody else writes \s. */
static void portable_pattern(struct json_object *o)
{
    const char *pattern = json_text(o, "pattern");

    if (pattern && strcmp(pattern, "^[^[:space:]]+$") == 0)
        json_object_object_add(o, "pattern", json_object_new_string("^[^\\s]+$"));
}

static void publish(struct json_object *o)
{
    struct json_object *v;
    const char *why = json_text(o, "x-rouse-unsupported");

    if (why)
        bound_to_nothing(o, why);
    if (json_object_object_get_ex(o, "x-rouse-ordered", &v))
        add_order(o, v);
    if (json_object_object_get_ex(o, "x-rouse-reserved", &v))
        add_reserved(o, v);
    add_range(o);
    portable_pattern(o);
    if (json_object_object_get_ex(o, "properties", &v)) {
        json_object_object_foreach(v, name, child)
        {
            (void)name;
            publish(child);
        }
    }
    if (json_object_object_get_ex(o, "items", &v))
        publish(v);
    if (json_object_object_get_ex(o, "additionalProperties", &v))
        publish(v);
    json_object_object_foreach(o, key, value)
    {
        (void)value;
        if (strncmp(key, "x-rouse-", 8) == 0)
            json_object_object_del(o, key);
    }
}

struct json_object *publish_schema(struct json_object *source)
{
    struct json_object *copy = NULL;

    if (json_object_deep_copy(source, &copy, NULL) < 0)
        return NULL;
    publish(copy);
    return copy;
}
