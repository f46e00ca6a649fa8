/* write_make.c - the new object: what was sent as it is, or the old one with a patch, an apply or a scale on it. */
#include "api/write_internal.h"

#include "api/ownership.h"
#include "api/patch.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

static void show_conflicts(struct json_object *conflicts, struct failure *f)
{
    size_t n = json_object_array_length(conflicts);
    cleanup_buffer struct buffer text = {0};
    const char *last = "";

    f->causes = json_object_new_array();
    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(conflicts, i),
                           *cause = json_object_new_object();
        const char *manager = json_object_get_string(table_path(c, ".manager"));
        bool update = strcmp(json_object_get_string(table_path(c, ".op")), "Update") == 0;
        cleanup_buffer struct buffer field = {0}, who = {0};

        ownership_field_text(json_object_get_string(table_path(c, ".field")), &field);
        buffer_append(&field, "", 1);
        buffer_printf(&who, "\"%s\"%s", manager, update ? " using rouse.dev/v1" : "");
        buffer_append(&who, "", 1);
        if (n == 1)
            buffer_printf(&text, "conflict with %s: %s", buffer_bytes(&who), buffer_bytes(&field));
        else if (strcmp(last, manager) != 0)
            buffer_printf(&text, "%sconflicts with %s:\n- %s", i ? "\n" : "", buffer_bytes(&who),
                          buffer_bytes(&field));
        else
            buffer_printf(&text, "\n- %s", buffer_bytes(&field));
        last = manager;
        json_object_object_add(cause, "reason", json_object_new_string("FieldManagerConflict"));
        buffer_clear(&who);
        buffer_printf(&who, "conflict with \"%s\"%s", manager, update ? " using rouse.dev/v1" : "");
        buffer_append(&who, "", 1);
        json_object_object_add(cause, "message",
                               json_object_new_string((const char *)buffer_bytes(&who)));
        json_object_object_add(cause, "field",
                               json_object_new_string((const char *)buffer_bytes(&field)));
        json_object_array_add(f->causes, cause);
    }
    failure_set(f, 409, "Conflict", "Apply failed with %zu conflict%s: %.*s", n, n == 1 ? "" : "s",
                (int)buffer_size(&text), (const char *)buffer_bytes(&text));
}

static int make_applied(struct write *w, struct failure *f)
{
    struct json_object *conflicts = json_object_new_array(), *managed = NULL;
    char at[32];
    int x;

    time_text(clock_wall_ms() / 1000, at);
    if (!json_object_is_type(w->input, json_type_object)) {
        json_object_put(conflicts);
        return failure_bad_request(f, "the body must be an object");
    }
    if (json_object_object_get_ex(w->input, "metadata", &managed))
        json_object_object_del(managed, "managedFields");
    w->owners = admission_owners(w->old);
    x = ownership_apply(w->owners, &w->body, w->input, w->manager, at, w->force, conflicts);
    if (x == -EEXIST)
        show_conflicts(conflicts, f);
    else if (x < 0)
        failure_errno(f, x, NULL);
    json_object_put(conflicts);
    return x < 0 ? -1 : 0;
}

static int make_scaled(struct write *w, struct failure *f)
{
    cleanup_buffer struct buffer text = {0};
    struct json_object *scale;
    struct err e = {0};
    int x;

    if (w->kind == WRITE_REPLACE)
        return scale_merge(w->body, w->input, f);
    scale_json(w->old, &text);
    if (admission_parse(buffer_bytes(&text), buffer_size(&text), &scale, f) < 0)
        return -1;
    x = w->kind == WRITE_JSON ? patch_json(&scale, w->input, &e) : patch_merge(&scale, w->input);
    if (x < 0)
        failure_set(f, 422, "Invalid", "the patch does not apply: %s", e.message);
    else
        x = scale_merge(w->body, scale, f);
    json_object_put(scale);
    return x < 0 ? -1 : 0;
}

int write_make(struct request *r, struct failure *f)
{
    struct write *w = r->work;
    struct err e = {0};
    int x = 0;

    if (w->old && (w->kind != WRITE_REPLACE || r->sub == SUB_SCALE))
        x = admission_tree(w->old, &w->body);
    if (x < 0)
        return failure_errno(f, x, NULL);
    if (r->sub == SUB_SCALE)
        return make_scaled(w, f);
    switch (w->kind) {
    case WRITE_CREATE:
    case WRITE_REPLACE:
        x = patch_copy(w->input, &w->body);
        break;
    case WRITE_MERGE:
        x = patch_merge(&w->body, w->input);
        break;
    case WRITE_JSON:
        x = patch_json(&w->body, w->input, &e);
        if (x < 0)
            return failure_set(f, 422, "Invalid",
                               "the server rejected our request due to an error in our request: %s",
                               e.message);
        break;
    case WRITE_APPLY:
        return make_applied(w, f);
    }
    return x < 0 ? failure_errno(f, x, NULL) : 0;
}
