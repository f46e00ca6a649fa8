/* scale.c - the scale subresource: spec.replicas is spec.scaling.min, status.replicas is
 * status.instances. */
#include "api/api_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int64_t number_at(const char *text, const char *path)
{
    struct json_object *o = json_tokener_parse(text);
    int64_t v = json_object_get_int64(table_path(o, path));

    json_object_put(o);
    return v;
}

static void add_text(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "\"%s\":\"", name);
    buffer_json_string(out, value, strlen(value));
    buffer_puts(out, "\",");
}

int scale_json(const struct object *o, struct buffer *out)
{
    struct json_object *metadata = json_tokener_parse(o->content->metadata);
    const char *created = json_object_get_string(table_path(metadata, ".creationTimestamp"));

    buffer_puts(out, "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{");
    add_text(out, "name", o->content->name);
    add_text(out, "namespace", o->content->ns ?: "");
    add_text(out, "uid", o->content->uid);
    add_text(out, "creationTimestamp", created ?: "");
    json_object_put(metadata);
    return buffer_printf(out,
                         "\"resourceVersion\":\"%" PRIu64 "\"},\"spec\":{\"replicas\":%" PRId64
                         "},\"status\":{\"replicas\":%" PRId64 ",\"selector\":\"\"}}\n",
                         o->rv, number_at(o->content->spec, ".scaling.min"),
                         number_at(o->status, ".instances"));
}

void respond_scale(struct request *r, const struct object *o)
{
    cleanup_buffer struct buffer b = {0};

    scale_json(o, &b);
    respond_json(r, 200, &b);
}

int scale_merge(struct json_object *function, struct json_object *scale, struct failure *f)
{
    struct json_object *replicas = table_path(scale, ".spec.replicas");
    struct json_object *version = table_path(scale, ".metadata.resourceVersion");
    struct json_object *scaling = table_path(function, ".spec.scaling"),
                       *metadata = table_path(function, ".metadata");

    if (replicas &&
        (!json_object_is_type(replicas, json_type_int) || json_object_get_int64(replicas) < 0))
        return failure_set(f, 422, "Invalid",
                           "spec.replicas: Invalid value: must be a number, at least 0");
    json_object_object_add(scaling, "min", json_object_new_int64(json_object_get_int64(replicas)));
    if (version)
        json_object_object_add(metadata, "resourceVersion", json_object_get(version));
    return 0;
}
