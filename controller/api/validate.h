/* validate.h - holds a JSON value to the schema: pure functions over json-c trees.
 *
 * The order at admission: prune, defaults, check. */
#pragma once
#include "api/problems.h"
#include "api/schema.h"

/* Takes out what the schema does not know, and nulls; names the unknown ones. */
void validate_prune(const struct schema *s, struct json_object *o, const char *path,
                    struct field_list *unknown);
/* Fills in what is absent and has a default. */
int validate_defaults(const struct schema *s, struct json_object *o);
void validate_check(const struct schema *s, struct json_object *o, const char *path,
                    struct problems *p);
/* name, namespace, labels, annotations, finalizers. `namespaced` false: no namespace. */
void validate_metadata(struct json_object *metadata, bool namespaced, struct problems *p);
/* The same three for ObjectMeta's field names. */
void validate_prune_metadata(struct json_object *metadata, struct field_list *unknown);
bool validate_dns_label(const char *s); /* RFC 1123, 63 characters */
bool validate_label_value(const char *s);
bool validate_qualified_name(const char *s); /* [prefix/]name */
/* Canonical Unicode, no NUL inside: what the rest of the program takes for a string. */
bool validate_string(struct json_object *o);
