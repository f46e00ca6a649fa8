#include "api/admission_metadata.h"
#include "api/patch.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"

#include <string.h>

static void set_text(struct json_object *o, const char *name, const char *value)
{
    json_object_object_add(o, name, json_object_new_string(value));
}

static void copy_member(struct json_object *to, struct json_object *from, const char *name)
{
    struct json_object *v = json_get(from, name), *copy;

    if (v && patch_copy(v, &copy) == 0)
        json_object_object_add(to, name, copy);
    else
        json_object_object_del(to, name);
}

static bool lists(struct json_object *array, const char *text)
{
    for (size_t i = 0;
         json_object_is_type(array, json_type_array) && i < json_object_array_length(array); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(array, i)) ?: "", text) == 0)
            return true;
    return false;
}

void admission_keep_finalizer(struct json_object *metadata, enum object_kind kind)
{
    const char *own = kind == KIND_NODE_POOL ? FINALIZER_NODES : FINALIZER_UNROUTE;
    struct json_object *list = json_get(metadata, "finalizers");

    if (!json_object_is_type(list, json_type_array)) {
        list = json_object_new_array();
        json_object_object_add(metadata, "finalizers", list);
    }
    if (!lists(list, own))
        json_object_array_add(list, json_object_new_string(own));
}

static void drop_empty(struct json_object *metadata, const char *name)
{
    struct json_object *v = json_get(metadata, name);

    if ((json_object_is_type(v, json_type_object) && json_object_object_length(v) == 0) ||
        (json_object_is_type(v, json_type_array) && json_object_array_length(v) == 0))
        json_object_object_del(metadata, name);
}

void admission_normalise(struct json_object *metadata)
{
    static const char *const not_kept[] = {"resourceVersion", "selfLink", "managedFields"};
    static const char *const empty[] = {"labels", "annotations", "finalizers", "ownerReferences"};

    for (size_t i = 0; i < ARRAY_LEN(not_kept); i++)
        json_object_object_del(metadata, not_kept[i]);
    for (size_t i = 0; i < ARRAY_LEN(empty); i++)
        drop_empty(metadata, empty[i]);
}

void admission_begin_life(struct admission *a)
{
    char uid[37], at[32];

    random_uuid(uid);
    time_text(a->now_ms / 1000, at);
    set_text(a->metadata, "uid", uid);
    set_text(a->metadata, "creationTimestamp", at);
    json_object_object_add(a->metadata, "generation", json_object_new_int64(1));
    json_object_object_del(a->metadata, "deletionTimestamp");
    json_object_object_del(a->metadata, "deletionGracePeriodSeconds");
}

int admission_go_on(struct admission *a, struct failure *f)
{
    static const char *const kept[] = {
        "uid",        "creationTimestamp",          "generateName",
        "generation", "deletionGracePeriodSeconds", "deletionTimestamp"};
    struct json_object *old = json_tokener_parse(a->old->content->metadata), *spec;
    const char *uid = json_text(a->metadata, "uid");
    int r = 0;

    if (uid && strcmp(uid, a->old->content->uid) != 0)
        r = failure_set(f, 409, "Conflict",
                        "Operation cannot be fulfilled on %s.%s \"%s\": Precondition failed: UID "
                        "in precondition: "
                        "%.100s, UID in object meta: %s",
                        a->kind->plural, a->schema->group, a->name_text, uid, a->old->content->uid);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        copy_member(a->metadata, old, kept[i]);
    if (a->old->content->deleting)
        admission_keep_finalizer(a->metadata, a->kind->kind);
    json_object_object_del(old, "managedFields");
    spec = json_tokener_parse(a->old->content->spec);
    if (r == 0 && !json_object_equal(spec, a->spec)) {
        a->changed = true;
        json_object_object_add(
            a->metadata, "generation",
            json_object_new_int64(json_object_get_int64(json_get(old, "generation")) + 1));
    } else if (!json_object_equal(old, a->metadata)) {
        a->changed = true;
    }
    json_object_put(spec);
    json_object_put(old);
    return r;
}
