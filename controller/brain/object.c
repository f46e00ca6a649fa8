/* object.c - contents and objects: made once, shared, freed by the last holder. Any thread. */
#include "brain/object.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[KIND_COUNT] = {
    [KIND_FUNCTION] = "Function", [KIND_REVISION] = "Revision",  [KIND_NODE] = "Node",
    [KIND_INSTANCE] = "Instance", [KIND_NODE_POOL] = "NodePool",
};

const char *object_kind_name(enum object_kind kind)
{
    return (unsigned)kind < KIND_COUNT ? kind_names[kind] : "Unknown";
}

struct content *content_ref(struct content *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

struct content *content_unref(struct content *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < c->label_count; i++) {
        free(c->labels[i].name);
        free(c->labels[i].value);
    }
    free(c->labels);
    free(c->ns);
    free(c->name);
    free(c->key);
    free(c->metadata);
    free(c->spec);
    free(c->row);
    function_unref(c->function);
    pool_spec_unref(c->pool);
    free(c);
    return NULL;
}

static int read_labels(struct json_object *metadata, struct content *c)
{
    struct json_object *labels;
    size_t n;

    if (!json_object_object_get_ex(metadata, "labels", &labels) ||
        !json_object_is_type(labels, json_type_object))
        return 0;
    n = (size_t)json_object_object_length(labels);
    c->labels = calloc(n + 1, sizeof(*c->labels));
    if (!c->labels)
        return -ENOMEM;
    json_object_object_foreach(labels, name, value)
    {
        struct label *l = &c->labels[c->label_count++];

        l->name = strdup(name);
        l->value = strdup(json_object_get_string(value) ?: "");
        if (!l->name || !l->value)
            return -ENOMEM;
    }
    return 0;
}

static bool has_user_finalizers(struct json_object *metadata)
{
    struct json_object *list;

    if (!json_object_object_get_ex(metadata, "finalizers", &list) ||
        !json_object_is_type(list, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(list, i));

        if (name && strcmp(name, FINALIZER_UNROUTE) != 0 && strcmp(name, FINALIZER_NODES) != 0)
            return true;
    }
    return false;
}

static const char *string_in(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

static int fill(struct content *c, struct json_object *metadata)
{
    const char *ns = string_in(metadata, "namespace"), *name = string_in(metadata, "name");
    const char *uid = string_in(metadata, "uid");

    if (!name || !uid || strlen(uid) >= sizeof(c->uid))
        return -EINVAL;
    memcpy(c->uid, uid, strlen(uid) + 1);
    c->name = strdup(name);
    if (ns)
        c->ns = strdup(ns);
    if (asprintf(&c->key, "%s%s%s", ns ?: "", ns ? "/" : "", name) < 0)
        c->key = NULL;
    if (!c->name || !c->key || (ns && !c->ns))
        return -ENOMEM;
    c->deleting = string_in(metadata, "deletionTimestamp") != NULL;
    c->finalizers = has_user_finalizers(metadata);
    return read_labels(metadata, c);
}

int content_new(const char *metadata, const char *spec, const char *row, struct function *f,
                struct content **ret)
{
    struct json_object *m = json_tokener_parse(metadata);
    struct content *c = NULL;
    int r = -EINVAL;

    if (json_object_is_type(m, json_type_object)) {
        c = calloc(1, sizeof(*c));
        r = c ? 0 : -ENOMEM;
    }
    if (r == 0) {
        c->refs = 1;
        c->metadata = strdup(metadata);
        c->spec = strdup(spec);
        c->row = row ? strdup(row) : NULL;
        r = c->metadata && c->spec && (c->row || !row) ? fill(c, m) : -ENOMEM;
    }
    json_object_put(m);
    if (r < 0) {
        content_unref(c);
        return r;
    }
    c->function = f;
    c->size = strlen(metadata) + strlen(spec) + (row ? strlen(row) : 0);
    *ret = c;
    return 0;
}

struct object *object_ref(struct object *o)
{
    if (o)
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

struct object *object_unref(struct object *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    content_unref(o->content);
    free(o->status);
    free(o);
    return NULL;
}

int object_new(enum object_kind kind, uint64_t rv, uint64_t stored, struct content *content,
               const char *status, struct object **ret)
{
    struct object *o = calloc(1, sizeof(*o));

    if (!o)
        return -ENOMEM;
    o->refs = 1;
    o->kind = kind;
    o->rv = rv;
    o->stored = stored;
    o->status = strdup(status);
    if (!o->status) {
        free(o);
        return -ENOMEM;
    }
    o->content = content_ref(content);
    o->size = content->size + strlen(status) + 128;
    *ret = o;
    return 0;
}

int object_json(const struct object *o, struct buffer *out)
{
    buffer_printf(out, "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"%s\",\"metadata\":{",
                  object_kind_name(o->kind));
    if (o->rv)
        buffer_printf(out, "\"resourceVersion\":\"%" PRIu64 "\",", o->rv);
    return buffer_printf(out, "%s,\"spec\":%s,\"status\":%s}", o->content->metadata + 1,
                         o->content->spec, o->status);
}
