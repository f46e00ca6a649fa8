/* ownership.c - leaf sets and the merge of server-side apply. Lists are leaves: they are set as a
 * whole. */
#include "api/ownership.h"

#include "api/patch.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

typedef int (*leaf_fn)(void *user, const char *pointer, struct json_object *value);

static int walk(struct json_object *o, struct buffer *at, leaf_fn fn, void *user)
{
    if (!json_object_is_type(o, json_type_object) || json_object_object_length(o) == 0) {
        int r = buffer_append(at, "", 1);

        if (r == 0)
            r = fn(user, (const char *)buffer_bytes(at), o);
        at->end--;
        return r;
    }
    json_object_object_foreach(o, name, value)
    {
        size_t end = at->end;
        int r = buffer_puts(at, "/");

        for (const char *s = name; *s && r == 0; s++)
            r = *s == '~'   ? buffer_puts(at, "~0")
                : *s == '/' ? buffer_puts(at, "~1")
                            : buffer_append(at, s, 1);
        if (r == 0)
            r = walk(value, at, fn, user);
        at->end = end;
        if (r != 0)
            return r;
    }
    return 0;
}

/* Every owned leaf of an object; a non-zero answer of fn ends it. */
static int walk_object(struct json_object *o, leaf_fn fn, void *user)
{
    static const char *const parts[] = {"/spec", "/metadata/labels", "/metadata/annotations",
                                        "/metadata/finalizers"};
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts) && r == 0; i++) {
        cleanup_buffer struct buffer at = {0};
        int found;
        struct json_object *v = patch_at(o, parts[i], &found);

        if (!found || !v)
            continue;
        r = buffer_puts(&at, parts[i]);
        if (r == 0)
            r = walk(v, &at, fn, user);
    }
    return r;
}

static struct json_object *fields_of(struct json_object *entry)
{
    struct json_object *v = NULL;

    json_object_object_get_ex(entry, "fields", &v);
    return v;
}

static bool has_field(struct json_object *entry, const char *pointer)
{
    struct json_object *fields = fields_of(entry);
    size_t n = fields ? json_object_array_length(fields) : 0;

    for (size_t i = 0; i < n; i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(fields, i)), pointer) == 0)
            return true;
    return false;
}

static void drop_field(struct json_object *entry, const char *pointer)
{
    struct json_object *fields = fields_of(entry);

    for (size_t i = 0; fields && i < json_object_array_length(fields); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(fields, i)), pointer) == 0) {
            json_object_array_del_idx(fields, i, 1);
            return;
        }
}

static int add_field(struct json_object *entry, const char *pointer)
{
    struct json_object *text;

    if (has_field(entry, pointer))
        return 0;
    text = json_object_new_string(pointer);
    if (!text || json_object_array_add(fields_of(entry), text) < 0) {
        json_object_put(text);
        return -ENOMEM;
    }
    return 0;
}

static struct json_object *find_entry(struct json_object *owners, const char *manager, const char *op)
{
    for (size_t i = 0; i < json_object_array_length(owners); i++) {
        struct json_object *e = json_object_array_get_idx(owners, i);

        if (strcmp(json_string(e, "manager"), manager) == 0 && strcmp(json_string(e, "op"), op) == 0)
            return e;
    }
    return NULL;
}

/* The table is bounded: the oldest entry makes room, its fields are nobody's then. */
static struct json_object *make_entry(struct json_object *owners, const char *manager,
                                      const char *op, const char *time)
{
    struct json_object *e = find_entry(owners, manager, op);

    if (!e) {
        if (json_object_array_length(owners) >= OWNERS_MAX)
            json_object_array_del_idx(owners, 0, 1);
        e = json_object_new_object();
        json_object_object_add(e, "manager", json_object_new_string(manager));
        json_object_object_add(e, "op", json_object_new_string(op));
        json_object_object_add(e, "fields", json_object_new_array());
        json_object_array_add(owners, e);
    }
    json_object_object_add(e, "time", json_object_new_string(time));
    return e;
}

static void drop_empty(struct json_object *owners)
{
    for (size_t i = json_object_array_length(owners); i-- > 0;) {
        struct json_object *fields = fields_of(json_object_array_get_idx(owners, i));

        if (!fields || json_object_array_length(fields) == 0)
            json_object_array_del_idx(owners, i, 1);
    }
}

static void take_from_all(struct json_object *owners, const char *pointer, struct json_object *except)
{
    for (size_t i = 0; i < json_object_array_length(owners); i++) {
        struct json_object *e = json_object_array_get_idx(owners, i);

        if (e != except)
            drop_field(e, pointer);
    }
}

/* ---------------------------------------------------------------- updates */
struct update {
    struct json_object *owners, *other, *entry;
};

static int on_now(void *user, const char *pointer, struct json_object *value)
{
    struct update *u = user;
    int found;
    struct json_object *old = patch_at(u->other, pointer, &found);

    if (found && (old == value || (old && value && json_object_equal(old, value))))
        return 0;
    take_from_all(u->owners, pointer, u->entry);
    return add_field(u->entry, pointer);
}

static int on_old(void *user, const char *pointer, struct json_object *value)
{
    struct update *u = user;
    int found;
    struct json_object *now = patch_at(u->other, pointer, &found);

    (void)value;
    /* Gone, or an object with members of its own now. */
    if (!found || (json_object_is_type(now, json_type_object) && json_object_object_length(now) > 0))
        take_from_all(u->owners, pointer, NULL);
    return 0;
}

int ownership_update(struct json_object *owners, struct json_object *old, struct json_object *now,
                     const char *manager, const char *time)
{
    struct update u = {
        .owners = owners, .other = old, .entry = make_entry(owners, manager, "Update", time)};
    int r = walk_object(now, on_now, &u);

    if (r == 0 && old) {
        u.other = now;
        r = walk_object(old, on_old, &u);
    }
    drop_empty(owners);
    return r;
}

/* ---------------------------------------------------------------- apply */
struct apply {
    struct json_object *owners, *live, *mine, *conflicts;
    bool force;
};

static int on_config(void *user, const char *pointer, struct json_object *value)
{
    struct apply *a = user;
    int found;
    struct json_object *live = patch_at(a->live, pointer, &found);

    if (found && (live == value || (live && value && json_object_equal(live, value))))
        return 0;
    for (size_t i = 0; i < json_object_array_length(a->owners); i++) {
        struct json_object *e = json_object_array_get_idx(a->owners, i), *c;

        if (e == a->mine || !has_field(e, pointer))
            continue;
        c = json_object_new_object();
        json_object_object_add(c, "manager", json_object_new_string(json_string(e, "manager")));
        json_object_object_add(c, "op", json_object_new_string(json_string(e, "op")));
        json_object_object_add(c, "field", json_object_new_string(pointer));
        json_object_array_add(a->conflicts, c);
        if (a->force)
            drop_field(e, pointer);
    }
    return 0;
}

static int on_own(void *user, const char *pointer, struct json_object *value)
{
    (void)value;
    return add_field(user, pointer);
}

static bool owned_by_any(struct json_object *owners, const char *pointer)
{
    for (size_t i = 0; i < json_object_array_length(owners); i++)
        if (has_field(json_object_array_get_idx(owners, i), pointer))
            return true;
    return false;
}

static void remove_leaf(struct json_object **object, const char *pointer)
{
    struct json_object *operations = json_object_new_array(), *o = json_object_new_object();

    json_object_object_add(o, "op", json_object_new_string("remove"));
    json_object_object_add(o, "path", json_object_new_string(pointer));
    json_object_array_add(operations, o);
    patch_json(object, operations, NULL); /* absent already is as good */
    json_object_put(operations);
}

static int merge_config(struct json_object **object, struct json_object *config)
{
    if (!*object)
        return patch_copy(config, object);
    return patch_merge(object, config);
}

int ownership_apply(struct json_object *owners, struct json_object **object,
                    struct json_object *config, const char *manager, const char *time, bool force,
                    struct json_object *conflicts)
{
    struct json_object *mine = make_entry(owners, manager, "Apply", time), *before;
    struct apply a = {
        .owners = owners, .live = *object, .mine = mine, .conflicts = conflicts, .force = force};
    int r = walk_object(config, on_config, &a);

    if (r < 0)
        return r;
    if (json_object_array_length(conflicts) > 0 && !force)
        return -EEXIST;
    before = json_object_get(fields_of(mine));
    json_object_object_add(mine, "fields", json_object_new_array());
    r = walk_object(config, on_own, mine);
    if (r == 0)
        r = merge_config(object, config);
    for (size_t i = 0; r == 0 && i < json_object_array_length(before); i++) {
        const char *pointer = json_object_get_string(json_object_array_get_idx(before, i));

        if (!owned_by_any(owners, pointer))
            remove_leaf(object, pointer);
    }
    json_object_put(before);
    drop_empty(owners);
    return r;
}

bool ownership_equal(struct json_object *a, struct json_object *b)
{
    if (json_object_array_length(a) != json_object_array_length(b))
        return false;
    for (size_t i = 0; i < json_object_array_length(a); i++) {
        struct json_object *e = json_object_array_get_idx(a, i), *fields = fields_of(e);
        struct json_object *other = find_entry(b, json_string(e, "manager"), json_string(e, "op"));

        if (!other || json_object_array_length(fields) != json_object_array_length(fields_of(other)))
            return false;
        for (size_t f = 0; f < json_object_array_length(fields); f++)
            if (!has_field(other, json_object_get_string(json_object_array_get_idx(fields, f))))
                return false;
    }
    return true;
}

/* ---------------------------------------------------------------- how it is shown */
static void add_fields_v1(struct json_object *root, const char *pointer)
{
    char token[512], field[520];

    while (*pointer && pointer_token(&pointer, token, sizeof(token)) == 0) {
        struct json_object *child;

        strcpy(field, "f:");
        strcat(field, token);
        if (!json_object_object_get_ex(root, field, &child)) {
            child = json_object_new_object();
            json_object_object_add(root, field, child);
        }
        root = child;
    }
}

struct json_object *ownership_managed_fields(struct json_object *owners, const char *api_version)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < json_object_array_length(owners); i++) {
        struct json_object *e = json_object_array_get_idx(owners, i), *o, *fields;

        if (strcmp(json_string(e, "op"), "Apply") != 0)
            continue;
        o = json_object_new_object();
        fields = json_object_new_object();
        json_object_object_add(o, "manager", json_object_new_string(json_string(e, "manager")));
        json_object_object_add(o, "operation", json_object_new_string("Apply"));
        json_object_object_add(o, "apiVersion", json_object_new_string(api_version));
        json_object_object_add(o, "time", json_object_new_string(json_string(e, "time")));
        json_object_object_add(o, "fieldsType", json_object_new_string("FieldsV1"));
        for (size_t f = 0; f < json_object_array_length(fields_of(e)); f++)
            add_fields_v1(fields, json_object_get_string(json_object_array_get_idx(fields_of(e), f)));
        json_object_object_add(o, "fieldsV1", fields);
        json_object_array_add(list, o);
    }
    return list;
}

void ownership_field_text(const char *pointer, struct buffer *out)
{
    char token[512];

    while (*pointer && pointer_token(&pointer, token, sizeof(token)) == 0) {
        buffer_puts(out, ".");
        buffer_puts(out, token);
    }
}
