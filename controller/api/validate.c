/* validate.c - the walk over value and schema. Messages are those of kube-apiserver where it has
 * one. */
#include "api/validate.h"

#include "base/cleanup.h"
#include "http/route_pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { VALUE_SHOWN_MAX = 200 };

static const char *type_name(struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "boolean";
    case json_type_double:
        return "number";
    case json_type_int:
        return "integer";
    case json_type_object:
        return "object";
    case json_type_array:
        return "array";
    case json_type_string:
        return "string";
    }
    return "unknown";
}

static char *join(const char *path, const char *name)
{
    char *out;

    if (asprintf(&out, "%s%s%s", path, path[0] ? "." : "", name) < 0)
        abort();
    return out;
}

static char *join_key(const char *path, const char *key)
{
    char *out;

    if (asprintf(&out, "%s[%.*s]", path, VALUE_SHOWN_MAX, key) < 0)
        abort();
    return out;
}

static char *join_index(const char *path, size_t i)
{
    char *out;

    if (asprintf(&out, "%s[%zu]", path, i) < 0)
        abort();
    return out;
}

bool validate_string(struct json_object *o)
{
    return strlen(json_object_get_string(o)) == (size_t)json_object_get_string_len(o);
}

/* ---------------------------------------------------------------- unknown fields, defaults */
static void prune_object(const struct schema *s, struct json_object *o, const char *path,
                         struct field_list *unknown)
{
    json_object_object_foreach(o, name, value)
    {
        const struct schema *child = schema_property(s, name);
        cleanup_free char *at = child           ? join(path, name)
                                : s->additional ? join_key(path, name)
                                                : join(path, name);

        if (!child)
            child = s->additional;
        if (!child && !s->preserve_unknown)
            field_list_add(unknown, at);
        if ((!child && !s->preserve_unknown) || (child && !value))
            json_object_object_del(o, name); /* the current one may go */
        else if (child)
            validate_prune(child, value, at, unknown);
    }
}

void validate_prune(const struct schema *s, struct json_object *o, const char *path,
                    struct field_list *unknown)
{
    if (s->type == SCHEMA_OBJECT && json_object_is_type(o, json_type_object))
        prune_object(s, o, path, unknown);
    if (s->type != SCHEMA_ARRAY || !s->items || !json_object_is_type(o, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(o); i++) {
        cleanup_free char *at = join_index(path, i);

        validate_prune(s->items, json_object_array_get_idx(o, i), at, unknown);
    }
}

static int default_property(const struct schema_property *p, struct json_object *o)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, p->name, &v)) {
        if (!p->schema->default_text)
            return 0;
        v = json_tokener_parse(p->schema->default_text);
        if (!v || json_object_object_add(o, p->name, v) < 0) {
            json_object_put(v);
            return -ENOMEM;
        }
    }
    return validate_defaults(p->schema, v);
}

int validate_defaults(const struct schema *s, struct json_object *o)
{
    int r = 0;

    if (s->type == SCHEMA_OBJECT && json_object_is_type(o, json_type_object)) {
        for (size_t i = 0; i < s->property_count && r == 0; i++)
            r = default_property(&s->properties[i], o);
    } else if (s->type == SCHEMA_ARRAY && s->items && json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o) && r == 0; i++)
            r = validate_defaults(s->items, json_object_array_get_idx(o, i));
    }
    return r;
}

/* ---------------------------------------------------------------- checks by type */
static bool is_quantity(const struct schema *s)
{
    return s->type == SCHEMA_INT_OR_STRING && s->format;
}

static void invalid_type(const struct schema *s, struct json_object *o, const char *path,
                         struct problems *p)
{
    static const char *const names[] = {"any",     "object",  "array",         "string",
                                        "integer", "boolean", "integer,string"};

    problems_add(p, PROBLEM_TYPE, path,
                 "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", type_name(o), path,
                 is_quantity(s) ? "number,string" : names[s->type], type_name(o));
}

static bool type_matches(const struct schema *s, struct json_object *o)
{
    switch (s->type) {
    case SCHEMA_ANY:
        return true;
    case SCHEMA_OBJECT:
        return json_object_is_type(o, json_type_object);
    case SCHEMA_ARRAY:
        return json_object_is_type(o, json_type_array);
    case SCHEMA_STRING:
        return json_object_is_type(o, json_type_string);
    case SCHEMA_INTEGER:
        return json_object_is_type(o, json_type_int);
    case SCHEMA_BOOLEAN:
        return json_object_is_type(o, json_type_boolean);
    case SCHEMA_INT_OR_STRING:
        return json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_string) ||
               (is_quantity(s) && json_object_is_type(o, json_type_double));
    }
    return false;
}

static void check_format(const struct schema *s, const char *text, const char *path,
                         struct problems *p)
{
    int64_t v;
    int r = schema_format_value(s->format, text, &v);

    if (r == -EINVAL)
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: \"%.*s\": must be a %s",
                     VALUE_SHOWN_MAX, text,
                     s->format == FORMAT_DURATION   ? "duration such as 500ms, 3s or 1h30m"
                     : s->format == FORMAT_MEMORY   ? "quantity of memory such as 128Mi"
                     : s->format == FORMAT_QUANTITY ? "quantity such as 100, 250m or 10k"
                                                    : "quantity of cpu such as 500m");
    else if (r < 0 || v > s->maximum)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: \"%.*s\": must be less than or equal to %s", VALUE_SHOWN_MAX,
                     text, s->maximum_text);
    else if (v < s->minimum)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: \"%.*s\": must be greater than or equal to %s",
                     VALUE_SHOWN_MAX, text, s->minimum_text);
}

/* The rule that a path or host breaks; the pattern that is published says less. */
static bool breaks_rule(const struct schema *s, const char *text, const char *path,
                        struct problems *p)
{
    char why[ROUTE_WHY_MAX];
    int r = s->format == FORMAT_ROUTE_PATH ? route_pattern_check(str_of(text), why)
                                           : route_host_check(str_of(text), why);

    if (r < 0)
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: \"%.*s\": %s", VALUE_SHOWN_MAX, text,
                     why);
    return r < 0;
}

static void check_enum(const struct schema *s, const char *text, const char *path, struct problems *p)
{
    cleanup_buffer struct buffer known = {0};
    size_t n = json_object_array_length(s->choices);

    for (size_t i = 0; i < n; i++) {
        const char *choice = json_object_get_string(json_object_array_get_idx(s->choices, i));

        if (strcmp(choice, text) == 0)
            return;
        buffer_printf(&known, "%s\"%s\"", i ? ", " : "", choice);
    }
    problems_add(p, PROBLEM_UNSUPPORTED, path, "Unsupported value: \"%.*s\": supported values: %.*s",
                 VALUE_SHOWN_MAX, text, (int)buffer_size(&known), (const char *)buffer_bytes(&known));
}

static void check_text(const struct schema *s, const char *text, const char *path, struct problems *p)
{
    if (s->pattern && regexec(&s->regex, text, 0, NULL, 0) != 0)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: \"%.*s\": %s in body should match '%s'", VALUE_SHOWN_MAX, text,
                     path, s->pattern);
    else if (s->format && s->format < FORMAT_ROUTE_PATH)
        check_format(s, text, path, p);
}

static void check_string(const struct schema *s, struct json_object *o, const char *path,
                         struct problems *p)
{
    const char *text = json_object_get_string(o);
    int64_t n = json_object_get_string_len(o);

    if (!validate_string(o)) {
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: a string with a NUL inside");
        return;
    }
    if (s->max_size >= 0 && n > s->max_size) {
        problems_add(p, PROBLEM_TOO_LONG, path, "Too long: may not be more than %lld bytes",
                     (long long)s->max_size);
        return;
    }
    if (s->format >= FORMAT_ROUTE_PATH && breaks_rule(s, text, path, p))
        return;
    if (n < s->min_size)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: \"%s\": %s in body should be at least %lld chars long", text,
                     path, (long long)s->min_size);
    else if (s->choices)
        check_enum(s, text, path, p);
    else
        check_text(s, text, path, p);
    for (size_t i = 0; s->reserved && i < json_object_array_length(s->reserved); i++) {
        const char *prefix = json_object_get_string(json_object_array_get_idx(s->reserved, i));

        if (strncmp(text, prefix, strlen(prefix)) == 0)
            problems_add(p, PROBLEM_INVALID, path,
                         "Invalid value: \"%.*s\": paths below %s are the platform's own",
                         VALUE_SHOWN_MAX, text, prefix);
    }
}

static void check_integer(const struct schema *s, struct json_object *o, const char *path,
                          struct problems *p)
{
    int64_t v = json_object_get_int64(o);
    char text[24];

    if (s->format) {
        snprintf(text, sizeof(text), "%lld", (long long)v);
        check_format(s, text, path, p);
        return;
    }
    if (s->has_minimum && v < s->minimum)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: %lld: %s in body should be greater than or equal to %lld",
                     (long long)v, path, (long long)s->minimum);
    if (s->has_maximum && v > s->maximum)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: %lld: %s in body should be less than or equal to %lld",
                     (long long)v, path, (long long)s->maximum);
}

static void check_required(const struct schema *s, struct json_object *o, const char *path,
                           struct problems *p)
{
    for (size_t i = 0; s->required && i < json_object_array_length(s->required); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(s->required, i));

        if (!json_object_object_get_ex(o, name, NULL)) {
            cleanup_free char *at = join(path, name);

            problems_add(p, PROBLEM_REQUIRED, at, "Required value");
        }
    }
}

static void check_ordered(const struct schema *s, struct json_object *o, const char *path,
                          struct problems *p)
{
    const char *low, *high;
    struct json_object *a, *b;

    if (!s->ordered)
        return;
    low = json_object_get_string(json_object_array_get_idx(s->ordered, 0));
    high = json_object_get_string(json_object_array_get_idx(s->ordered, 1));
    if (json_object_object_get_ex(o, low, &a) && json_object_object_get_ex(o, high, &b) &&
        json_object_get_int64(a) > json_object_get_int64(b)) {
        cleanup_free char *at = join(path, high);

        problems_add(p, PROBLEM_INVALID, at, "Invalid value: %lld: must not be less than %s.%s",
                     (long long)json_object_get_int64(b), path, low);
    }
}

static void check_object(const struct schema *s, struct json_object *o, const char *path,
                         struct problems *p)
{
    int64_t n = json_object_object_length(o);

    check_required(s, o, path, p);
    if (s->max_size >= 0 && n > s->max_size)
        problems_add(p, PROBLEM_TOO_MANY, path, "Too many: %lld: must have at most %lld %s",
                     (long long)n, (long long)s->max_size,
                     s->max_size == 1 ? "property" : "properties");
    if (n < s->min_size)
        problems_add(p, PROBLEM_REQUIRED, path, "Required value: must have at least %lld %s",
                     (long long)s->min_size, s->min_size == 1 ? "property" : "properties");
    check_ordered(s, o, path, p);
    json_object_object_foreach(o, name, value)
    {
        const struct schema *child = schema_property(s, name);
        cleanup_free char *at = child ? join(path, name) : join_key(path, name);

        if (child || s->additional)
            validate_check(child ?: s->additional, value, at, p);
    }
}

static void check_duplicates(const struct schema *s, struct json_object *o, const char *path,
                             struct problems *p)
{
    size_t n = json_object_array_length(o);

    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            struct json_object *a = json_object_array_get_idx(o, i),
                               *b = json_object_array_get_idx(o, j);
            cleanup_free char *at = NULL;

            if (s->list == LIST_MAP && (!json_object_object_get_ex(a, s->list_key, &a) ||
                                        !json_object_object_get_ex(b, s->list_key, &b)))
                continue;
            if (!json_object_equal(a, b))
                continue;
            at = join_index(path, i);
            if (s->list == LIST_MAP)
                problems_add(p, PROBLEM_DUPLICATE, at, "Duplicate value: {\"%s\":%.*s}",
                             s->list_key, VALUE_SHOWN_MAX, json_object_to_json_string(a));
            else
                problems_add(p, PROBLEM_DUPLICATE, at, "Duplicate value: %.*s", VALUE_SHOWN_MAX,
                             json_object_to_json_string(a));
            break;
        }
}

static void check_array(const struct schema *s, struct json_object *o, const char *path,
                        struct problems *p)
{
    size_t n = json_object_array_length(o);

    if (s->max_size >= 0 && n > (size_t)s->max_size) {
        problems_add(p, PROBLEM_TOO_MANY, path, "Too many: %zu: must have at most %lld items", n,
                     (long long)s->max_size);
        return;
    }
    for (size_t i = 0; s->items && i < n; i++) {
        cleanup_free char *at = join_index(path, i);

        validate_check(s->items, json_object_array_get_idx(o, i), at, p);
    }
    if (s->list != LIST_ATOMIC)
        check_duplicates(s, o, path, p);
}

static bool is_empty(struct json_object *o)
{
    return (json_object_is_type(o, json_type_array) && json_object_array_length(o) == 0) ||
           (json_object_is_type(o, json_type_object) && json_object_object_length(o) == 0);
}

void validate_check(const struct schema *s, struct json_object *o, const char *path,
                    struct problems *p)
{
    if (s->unsupported && !is_empty(o)) {
        problems_add(p, PROBLEM_FORBIDDEN, path, "Forbidden: %s", s->unsupported);
        return;
    }
    if (!type_matches(s, o)) {
        invalid_type(s, o, path, p);
        return;
    }
    switch (json_object_get_type(o)) {
    case json_type_object:
        check_object(s, o, path, p);
        break;
    case json_type_array:
        check_array(s, o, path, p);
        break;
    case json_type_string:
        check_string(s, o, path, p);
        break;
    case json_type_int:
        check_integer(s, o, path, p);
        break;
    case json_type_double: /* a quantity, as it was written */
        check_text(s, json_object_get_string(o), path, p);
        break;
    default:
        break;
    }
}
