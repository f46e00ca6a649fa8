/* ownership.h - who set which field: what server-side apply decides by.
 *
 * Owners are an array of {"manager", "op": "Apply"|"Update", "time", "fields": [pointer...]}.
 * Fields are leaves (scalars, arrays, empty objects) below spec and of metadata's labels,
 * annotations and finalizers, as JSON pointers. */
#pragma once
#include "base/buffer.h"
#include <json-c/json.h>
#include <stdbool.h>

enum { OWNERS_MAX = 32 };

/* After a create, PUT or PATCH: the changed leaves are this manager's, and no one else's. `old` may
 * be NULL. */
int ownership_update(struct json_object *owners, struct json_object *old, struct json_object *now,
                     const char *manager, const char *time);
/* Server-side apply: merges `config` into *object (NULL or a copy of the live one) and takes
 * ownership. -EEXIST: conflicts; `conflicts` is an array of {"manager", "op", "field"}, unless
 * `force`. */
int ownership_apply(struct json_object *owners, struct json_object **object,
                    struct json_object *config, const char *manager, const char *time, bool force,
                    struct json_object *conflicts);
/* The same fields belong to the same managers; since when, and in which order, is all one. */
bool ownership_equal(struct json_object *a, struct json_object *b);
/* metadata.managedFields: the Apply entries in the form of FieldsV1. */
struct json_object *ownership_managed_fields(struct json_object *owners, const char *api_version);
/* "/spec/env" as ".spec.env". */
void ownership_field_text(const char *pointer, struct buffer *out);
