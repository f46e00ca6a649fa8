/* json.h - members of a json-c object, by name. What is returned belongs to the object. */
#pragma once
#include <json-c/json.h>
#include <stddef.h>

/* NULL: there is none, or it is null, or `o` is no object. */
static inline struct json_object *json_get(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, name, &v) ? v
                                                                                              : NULL;
}

/* NULL: it is no string. */
static inline const char *json_text(struct json_object *o, const char *name)
{
    struct json_object *v = json_get(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

/* Numbers and truth as well, as they were written: a quantity may be a number. NULL: it is none of them. */
static inline const char *json_scalar(struct json_object *o, const char *name)
{
    struct json_object *v = json_get(o, name);

    return v && !json_object_is_type(v, json_type_object) && !json_object_is_type(v, json_type_array)
               ? json_object_get_string(v)
               : NULL;
}

/* The same, "" in place of NULL. */
static inline const char *json_string(struct json_object *o, const char *name)
{
    return json_scalar(o, name) ?: "";
}
