/* admission_content.c - what is stored of an object that was let in, and the way back to a tree. */
#include "api/admission.h"
#include "api/admission_metadata.h"
#include "api/ownership.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "brain/function_make.h"
#include "brain/pool_make.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *compact(struct json_object *o)
{
    return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static struct json_object *parse_row(const struct object *o)
{
    return o && o->content->row ? json_tokener_parse(o->content->row) : NULL;
}

struct json_object *admission_owners(const struct object *o)
{
    struct json_object *row = parse_row(o), *owners = json_object_get(json_get(row, "owners"));

    json_object_put(row);
    return json_object_is_type(owners, json_type_array) ? owners : json_object_new_array();
}

int admission_tree(const struct object *o, struct json_object **ret)
{
    cleanup_buffer struct buffer text = {0};

    if (object_json(o, &text) < 0 || buffer_append(&text, "", 1) < 0)
        return -ENOMEM;
    *ret = json_tokener_parse((const char *)buffer_bytes(&text));
    return *ret ? 0 : -ENOMEM;
}

static int make_content(enum object_kind kind, struct json_object *metadata,
                        struct json_object *spec, const char *package, uint64_t created_ms,
                        struct json_object *owners, struct content **ret)
{
    cleanup_buffer struct buffer row = {0};
    cleanup_free char *metadata_text = strdup(compact(metadata)), *spec_text = strdup(compact(spec));
    struct function *function = NULL;
    struct pool_spec *pool = NULL;
    int r;

    if (!metadata_text || !spec_text)
        return -ENOMEM;
    buffer_printf(&row,
                  "{\"metadata\":%s,\"spec\":%s,\"package\":\"%s\",\"createdMs\":%" PRIu64
                  ",\"owners\":%s}",
                  metadata_text, spec_text, package, created_ms, compact(owners));
    if (buffer_append(&row, "", 1) < 0)
        return -ENOMEM;
    r = kind == KIND_NODE_POOL ? pool_make(metadata, spec, &pool)
                               : function_make(metadata, spec, package, created_ms, &function);
    if (r == 0)
        r = content_new(metadata_text, spec_text, (const char *)buffer_bytes(&row), function, ret);
    if (r < 0) {
        function_unref(function);
        pool_spec_unref(pool);
        return r;
    }
    (*ret)->pool = pool;
    return 0;
}

static void show_owners(struct json_object *metadata, struct json_object *owners,
                        const struct schema_set *schema)
{
    struct json_object *list;
    char version[64];

    snprintf(version, sizeof(version), "%s/%s", schema->group, schema->version);
    list = ownership_managed_fields(owners, version);
    if (json_object_array_length(list) > 0)
        json_object_object_add(metadata, "managedFields", list);
    else
        json_object_put(list);
}

static uint64_t created_ms(const struct object *o)
{
    return o->content->function ? o->content->function->created_ms : 0;
}

int admission_content(struct admission *a, struct content **ret, struct failure *f)
{
    struct json_object *owners = a->owners ? json_object_get(a->owners) : admission_owners(a->old),
                       *old = NULL;
    uint64_t created = a->old ? created_ms(a->old) : a->now_ms;
    char at[32];
    int r = 0;

    time_text(a->now_ms / 1000, at);
    if (!a->owners) {
        if (a->old)
            r = admission_tree(a->old, &old);
        if (r == 0)
            r = ownership_update(owners, old, a->body, a->manager, at);
    }
    if (r == 0) {
        show_owners(a->metadata, owners, a->schema);
        r = make_content(a->kind->kind, a->metadata, a->spec, a->package, created, owners, ret);
    }
    json_object_put(old);
    json_object_put(owners);
    return r < 0 ? failure_errno(f, r, NULL) : 0;
}

int admission_mark(const struct object *o, uint64_t now_ms, struct content **ret, struct failure *f)
{
    struct json_object *metadata = json_tokener_parse(o->content->metadata);
    struct json_object *spec = json_tokener_parse(o->content->spec), *owners = admission_owners(o);
    const struct function *was = o->content->function;
    const char *package = was ? was->package : "";
    char at[32];
    int r;

    time_text(now_ms / 1000, at);
    json_object_object_add(metadata, "deletionTimestamp", json_object_new_string(at));
    json_object_object_add(metadata, "deletionGracePeriodSeconds", json_object_new_int64(0));
    json_object_object_add(
        metadata, "generation",
        json_object_new_int64(json_object_get_int64(json_get(metadata, "generation")) + 1));
    admission_keep_finalizer(metadata, o->kind);
    r = make_content(o->kind, metadata, spec, package, created_ms(o), owners, ret);
    json_object_put(owners);
    json_object_put(spec);
    json_object_put(metadata);
    return r < 0 ? failure_errno(f, r, NULL) : 0;
}
