/* schema.h - the one schema file, compiled: kinds, fields, bounds.
 *
 * Made once at start-up and never changed; any thread may read it. */
#pragma once
#include "base/error.h"
#include "brain/registry.h"
#include <json-c/json.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_type {
    SCHEMA_ANY,
    SCHEMA_OBJECT,
    SCHEMA_ARRAY,
    SCHEMA_STRING,
    SCHEMA_INTEGER,
    SCHEMA_BOOLEAN,
    SCHEMA_INT_OR_STRING
};
enum schema_format {
    FORMAT_NONE,
    FORMAT_MEMORY, /* these four have a value and bounds */
    FORMAT_CPU,
    FORMAT_DURATION,
    FORMAT_QUANTITY,   /* a plain number, in thousandths */
    FORMAT_ROUTE_PATH, /* these are texts with rules: http/route_pattern.h */
    FORMAT_ROUTE_HOST,
};
enum schema_list { LIST_ATOMIC, LIST_SET, LIST_MAP };

struct schema;
struct schema_property {
    const char *name;
    struct schema *schema;
};
struct schema {
    enum schema_type type;
    enum schema_format format;
    struct schema_property *properties;
    size_t property_count;
    struct schema *additional, *items; /* NULL: none */
    bool preserve_unknown;
    struct json_object *required; /* array of names, or NULL; as the next ones */
    struct json_object *choices;  /* enum */
    struct json_object *reserved; /* prefixes that are not for users */
    struct json_object *ordered;  /* two integer properties: the first is at most the second */
    const char *default_text;     /* JSON, or NULL */
    const char *pattern;
    regex_t regex;
    bool has_minimum, has_maximum;
    int64_t minimum, maximum;                /* of an integer, or in the format's unit */
    const char *minimum_text, *maximum_text; /* of a format */
    int64_t min_size, max_size;              /* bytes, items or properties; max_size -1: none */
    enum schema_list list;
    const char *list_key;    /* LIST_MAP */
    const char *unsupported; /* why this version refuses it, or NULL */
};
struct schema_kind {
    enum object_kind kind;
    const char *name, *plural, *singular; /* "Function", "functions", "function" */
    struct json_object *short_names, *categories, *columns;
    bool namespaced, writable;
    bool scale;
    struct schema *schema;
    struct json_object *source; /* the kind's part of the file */
};
struct schema_set {
    struct json_object *source;
    const char *group, *version;
    struct schema_kind kinds[KIND_COUNT]; /* by enum object_kind */
};

int schema_load(struct schema_set **ret, struct err *e); /* the embedded file */
struct schema_set *schema_free(struct schema_set *s);    /* NULL is a no-op */
const struct schema_kind *schema_kind_by_plural(const struct schema_set *s, const char *plural);
const struct schema *schema_property(const struct schema *s, const char *name); /* or NULL */
/* A format's value in its unit: bytes, thousandths, nanoseconds. -EINVAL, -ERANGE. */
int schema_format_value(enum schema_format f, const char *text, int64_t *ret);
