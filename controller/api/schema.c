/* schema.c - compiles the schema file. What the file may say is what is read here; anything else in
 * it is for OpenAPI and the CRD. */
#include "api/schema.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "brain/object.h"

#include <errno.h>
#include <string.h>

extern const char schema_data_begin[], schema_data_end[];

int schema_format_value(enum schema_format f, const char *text, int64_t *ret)
{
    uint64_t v = 0;
    uint32_t cpu;
    int r = -EINVAL;

    switch (f) {
    case FORMAT_MEMORY:
        r = quantity_memory(text, &v);
        break;
    case FORMAT_CPU:
        r = quantity_cpu(text, &cpu);
        if (r == 0)
            v = cpu;
        break;
    case FORMAT_DURATION:
        r = quantity_duration(text, &v);
        break;
    case FORMAT_QUANTITY:
        r = quantity_number(text, &v);
        break;
    case FORMAT_ROUTE_PATH:
    case FORMAT_ROUTE_HOST:
    case FORMAT_NONE:
        break;
    }
    if (r == 0 && v > INT64_MAX)
        r = -ERANGE;
    if (r == 0)
        *ret = (int64_t)v;
    return r;
}

static struct json_object *array_of(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_array) ? v
                                                                                             : NULL;
}

static bool flag_of(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) && json_object_get_boolean(v);
}

static bool number_of(struct json_object *o, const char *name, int64_t *ret)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, name, &v))
        return false;
    *ret = json_object_get_int64(v);
    return true;
}

static struct schema *compiled_free(struct schema *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->property_count; i++)
        compiled_free(s->properties[i].schema);
    free(s->properties);
    compiled_free(s->additional);
    compiled_free(s->items);
    if (s->pattern)
        regfree(&s->regex);
    free(s);
    return NULL;
}

static int read_type(struct json_object *o, struct schema *s)
{
    static const struct {
        const char *name;
        enum schema_type type;
    } types[] = {{"object", SCHEMA_OBJECT},
                 {"array", SCHEMA_ARRAY},
                 {"string", SCHEMA_STRING},
                 {"integer", SCHEMA_INTEGER},
                 {"boolean", SCHEMA_BOOLEAN}};
    const char *name = json_text(o, "type");

    if (!name) {
        s->type = flag_of(o, "x-kubernetes-int-or-string") ? SCHEMA_INT_OR_STRING : SCHEMA_ANY;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, name) == 0) {
            s->type = types[i].type;
            return 0;
        }
    return -EINVAL;
}

static int read_format(struct json_object *o, struct schema *s)
{
    const char *name = json_text(o, "x-rouse-format");

    s->minimum_text = json_text(o, "x-rouse-minimum");
    s->maximum_text = json_text(o, "x-rouse-maximum");
    if (!name)
        return 0;
    s->format = strcmp(name, "memory") == 0       ? FORMAT_MEMORY
                : strcmp(name, "cpu") == 0        ? FORMAT_CPU
                : strcmp(name, "duration") == 0   ? FORMAT_DURATION
                : strcmp(name, "quantity") == 0   ? FORMAT_QUANTITY
                : strcmp(name, "route-path") == 0 ? FORMAT_ROUTE_PATH
                : strcmp(name, "route-host") == 0 ? FORMAT_ROUTE_HOST
                                                  : FORMAT_NONE;
    if (s->format >= FORMAT_ROUTE_PATH)
        return 0;
    if (!s->format || !s->minimum_text || !s->maximum_text)
        return -EINVAL;
    s->has_minimum = s->has_maximum = true;
    if (schema_format_value(s->format, s->minimum_text, &s->minimum) < 0)
        return -EINVAL;
    return schema_format_value(s->format, s->maximum_text, &s->maximum);
}

static void read_sizes(struct json_object *o, struct schema *s)
{
    static const char *const least[] = {"minLength", "minItems", "minProperties"};
    static const char *const most[] = {"maxLength", "maxItems", "maxProperties"};

    s->max_size = -1;
    for (size_t i = 0; i < ARRAY_LEN(least); i++) {
        number_of(o, least[i], &s->min_size);
        number_of(o, most[i], &s->max_size);
    }
}

static void read_list(struct json_object *o, struct schema *s)
{
    const char *list = json_text(o, "x-kubernetes-list-type");
    struct json_object *keys = array_of(o, "x-kubernetes-list-map-keys");

    if (list && strcmp(list, "set") == 0)
        s->list = LIST_SET;
    if (list && strcmp(list, "map") == 0 && keys) {
        s->list = LIST_MAP;
        s->list_key = json_object_get_string(json_object_array_get_idx(keys, 0));
    }
}

static int compile(struct json_object *o, struct schema **ret);

static int read_children(struct json_object *o, struct schema *s)
{
    struct json_object *v;
    int r = 0;

    if (json_object_object_get_ex(o, "properties", &v)) {
        s->properties = calloc((size_t)json_object_object_length(v) + 1, sizeof(*s->properties));
        if (!s->properties)
            return -ENOMEM;
        json_object_object_foreach(v, name, child)
        {
            struct schema_property *p = &s->properties[s->property_count++];

            p->name = name;
            r = compile(child, &p->schema);
            if (r < 0)
                return r;
        }
    }
    if (json_object_object_get_ex(o, "additionalProperties", &v))
        r = compile(v, &s->additional);
    if (r == 0 && json_object_object_get_ex(o, "items", &v))
        r = compile(v, &s->items);
    return r;
}

static int compile(struct json_object *o, struct schema **ret)
{
    struct schema *s = calloc(1, sizeof(*s));
    struct json_object *v;
    const char *pattern;
    int r;

    if (!s)
        return -ENOMEM;
    r = read_type(o, s);
    if (r == 0)
        r = read_format(o, s);
    read_sizes(o, s);
    read_list(o, s);
    s->required = array_of(o, "required");
    s->choices = array_of(o, "enum");
    s->reserved = array_of(o, "x-rouse-reserved");
    s->ordered = array_of(o, "x-rouse-ordered");
    s->unsupported = json_text(o, "x-rouse-unsupported");
    s->preserve_unknown = flag_of(o, "x-kubernetes-preserve-unknown-fields") ||
                          (s->type == SCHEMA_OBJECT && s->unsupported);
    if (json_object_object_get_ex(o, "default", &v))
        s->default_text = json_object_to_json_string_ext(v, JSON_C_TO_STRING_NOSLASHESCAPE);
    if (number_of(o, "minimum", &s->minimum))
        s->has_minimum = true;
    if (number_of(o, "maximum", &s->maximum))
        s->has_maximum = true;
    pattern = json_text(o, "pattern");
    if (pattern && regcomp(&s->regex, pattern, REG_EXTENDED | REG_NOSUB) == 0)
        s->pattern = pattern;
    if (pattern && !s->pattern)
        r = -EINVAL;
    if (r == 0)
        r = read_children(o, s);
    if (r < 0) {
        compiled_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static int compile_kind(struct json_object *o, struct schema_set *set)
{
    const char *name = json_text(o, "kind");
    struct json_object *schema, *scale;

    for (int k = 0; name && k < KIND_COUNT; k++) {
        struct schema_kind *kind = &set->kinds[k];

        if (strcmp(object_kind_name((enum object_kind)k), name) != 0)
            continue;
        kind->kind = (enum object_kind)k;
        kind->name = name;
        kind->plural = json_text(o, "plural");
        kind->singular = json_text(o, "singular");
        kind->short_names = array_of(o, "shortNames");
        kind->categories = array_of(o, "categories");
        kind->columns = array_of(o, "x-rouse-columns");
        kind->namespaced = flag_of(o, "namespaced");
        kind->writable = flag_of(o, "writable");
        kind->scale = json_object_object_get_ex(o, "scale", &scale);
        kind->source = o;
        if (!kind->plural || !kind->singular || !kind->columns ||
            !json_object_object_get_ex(o, "schema", &schema))
            return -EINVAL;
        return compile(schema, &kind->schema);
    }
    return -EINVAL;
}

int schema_load(struct schema_set **ret, struct err *e)
{
    struct schema_set *set = calloc(1, sizeof(*set));
    struct json_object *kinds;
    int r = -EINVAL;

    if (!set)
        return err_errno(e, ENOMEM, "schema");
    set->source = json_tokener_parse(schema_data_begin);
    set->group = json_text(set->source, "group");
    set->version = json_text(set->source, "version");
    kinds = array_of(set->source, "kinds");
    if (set->group && set->version && kinds && json_object_array_length(kinds) == KIND_COUNT)
        r = 0;
    for (size_t i = 0; r == 0 && i < KIND_COUNT; i++)
        r = compile_kind(json_object_array_get_idx(kinds, i), set);
    if (r < 0) {
        schema_free(set);
        return err_errno(e, -r, "the schema file cannot be compiled");
    }
    *ret = set;
    return 0;
}

struct schema_set *schema_free(struct schema_set *s)
{
    if (!s)
        return NULL;
    for (int k = 0; k < KIND_COUNT; k++)
        compiled_free(s->kinds[k].schema);
    json_object_put(s->source);
    free(s);
    return NULL;
}

const struct schema_kind *schema_kind_by_plural(const struct schema_set *s, const char *plural)
{
    for (int k = 0; k < KIND_COUNT; k++)
        if (strcmp(s->kinds[k].plural, plural) == 0)
            return &s->kinds[k];
    return NULL;
}

const struct schema *schema_property(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->property_count; i++)
        if (strcmp(s->properties[i].name, name) == 0)
            return s->properties[i].schema;
    return NULL;
}
