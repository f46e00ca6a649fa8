/* admission.c - shape, names, unknown fields, defaults, schema; then what a kind asks beyond that. */
#include "api/admission.h"
#include "api/admission_function.h"
#include "api/admission_metadata.h"
#include "api/admission_pool.h"
#include "api/validate.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

void admission_done(struct admission *a)
{
    field_list_done(&a->unknown);
    buffer_done(&a->archive);
}

int admission_parse(const void *data, size_t n, struct json_object **ret, struct failure *f)
{
    struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);
    struct json_object *o;
    enum json_tokener_error e;

    if (!t)
        return failure_errno(f, -ENOMEM, NULL);
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    o = json_tokener_parse_ex(t, data, n > INT32_MAX ? INT32_MAX : (int)n);
    /* A number at the very end is complete only when something follows. */
    if (json_tokener_get_error(t) == json_tokener_continue)
        o = json_tokener_parse_ex(t, "", 1);
    e = json_tokener_get_error(t);
    if (e == json_tokener_success && !o)
        e = json_tokener_error_parse_unexpected;
    json_tokener_free(t);
    if (e != json_tokener_success) {
        json_object_put(o);
        return failure_bad_request(f, "the body is not valid JSON: %s", json_tokener_error_desc(e));
    }
    *ret = o;
    return 0;
}

/* ---------------------------------------------------------------- shape */
static int check_type(struct admission *a, struct failure *f)
{
    const char *version = json_text(a->body, "apiVersion"), *kind = json_text(a->body, "kind");
    char expected[64];

    snprintf(expected, sizeof(expected), "%s/%s", a->schema->group, a->schema->version);
    if (!kind)
        return failure_bad_request(f, "Object 'Kind' is missing in the body");
    if (!version || strcmp(version, expected) != 0)
        return failure_bad_request(
            f, "the API version in the data (%.100s) does not match the expected API version (%s)",
            version ?: "", expected);
    if (strcmp(kind, a->kind->name) != 0)
        return failure_bad_request(
            f, "the kind in the data (%.100s) does not match the expected kind (%s)", kind,
            a->kind->name);
    return 0;
}

static int check_names(struct admission *a, struct failure *f)
{
    const char *name, *ns;

    a->metadata = json_get(a->body, "metadata");
    if (!a->metadata) {
        a->metadata = json_object_new_object();
        json_object_object_add(a->body, "metadata", a->metadata);
    }
    if (!json_object_is_type(a->metadata, json_type_object))
        return failure_bad_request(f, "metadata must be an object");
    ns = json_text(a->metadata, "namespace");
    if (!a->kind->namespaced)
        json_object_object_del(a->metadata, "namespace");
    else if (!ns || !ns[0])
        json_object_object_add(a->metadata, "namespace", json_object_new_string(a->ns));
    else if (strcmp(ns, a->ns) != 0)
        return failure_bad_request(
            f, "the namespace of the provided object does not match the namespace sent on the "
               "request");
    name = json_text(a->metadata, "name");
    if (a->name && name && strcmp(name, a->name) != 0)
        return failure_bad_request(
            f, "the name of the object (%.253s) does not match the name on the URL (%.253s)", name,
            a->name);
    if (a->name && !name)
        json_object_object_add(a->metadata, "name", json_object_new_string(a->name));
    name = json_text(a->metadata, "name");
    if ((!name || !name[0]) && json_text(a->metadata, "generateName")) {
        char suffix[7], made[320];

        random_hex(suffix, 3);
        snprintf(made, sizeof(made), "%.250s%s", json_text(a->metadata, "generateName"), suffix);
        json_object_object_add(a->metadata, "name", json_object_new_string(made));
        name = json_text(a->metadata, "name");
    }
    snprintf(a->name_text, sizeof(a->name_text), "%s", name ?: "");
    return 0;
}

static int check_unknown(struct admission *a, struct failure *f)
{
    cleanup_buffer struct buffer all = {0};
    const struct schema *s = a->kind->schema;

    json_object_object_foreach(a->body, name, value)
    {
        const struct schema *child = schema_property(s, name);
        bool own = strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0 ||
                   strcmp(name, "metadata") == 0;

        if (child && value)
            validate_prune(child, value, name, &a->unknown);
        if (!child && !own)
            field_list_add(&a->unknown, name);
        if ((!child && !own) || !value)
            json_object_object_del(a->body, name);
    }
    validate_prune_metadata(a->metadata, &a->unknown);
    if (a->fields != FIELDS_STRICT || !(a->unknown.count + a->unknown.dropped))
        return 0;
    for (size_t i = 0; i < a->unknown.count; i++)
        buffer_printf(&all, "%sunknown field \"%s\"", i ? ", " : "", a->unknown.items[i]);
    return failure_bad_request(
        f, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %.*s",
        a->kind->name, a->schema->version, a->kind->name, (int)buffer_size(&all),
        (const char *)buffer_bytes(&all));
}

int admission_check(struct admission *a, struct failure *f)
{
    if (!json_object_is_type(a->body, json_type_object))
        return failure_bad_request(f, "the body must be a JSON object");
    if (check_type(a, f) < 0 || check_names(a, f) < 0 || check_unknown(a, f) < 0)
        return -1;
    json_object_object_del(a->body, "status");
    if (validate_defaults(a->kind->schema, a->body) < 0)
        return failure_errno(f, -ENOMEM, NULL);
    admission_normalise(a->metadata);
    validate_metadata(a->metadata, a->kind->namespaced, &f->problems);
    validate_check(a->kind->schema, a->body, "", &f->problems);
    a->spec = json_get(a->body, "spec");
    if (!f->problems.count && a->kind->kind == KIND_FUNCTION)
        admission_check_function(a, &f->problems);
    if (!f->problems.count && a->kind->kind == KIND_NODE_POOL)
        admission_check_pool(a, &f->problems);
    if (f->problems.count)
        return failure_invalid(f, a->kind->name, a->schema->group, a->name_text);
    if (a->old)
        return admission_go_on(a, f);
    admission_begin_life(a);
    a->changed = true;
    return 0;
}
