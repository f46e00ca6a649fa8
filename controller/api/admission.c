/* admission.c - shape, names, unknown fields, defaults, schema, the server's part of metadata. */
#include "api/admission.h"
#include "api/admission_scaling.h"
#include "api/admission_pool.h"

#include "api/ownership.h"
#include "api/patch.h"
#include "api/validate.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "brain/function_make.h"
#include "brain/pool_make.h"
#include "package/package.h"

#include <errno.h>
#include <inttypes.h>
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

int admission_tree(const struct object *o, struct json_object **ret)
{
    cleanup_buffer struct buffer text = {0};

    if (object_json(o, &text) < 0 || buffer_append(&text, "", 1) < 0)
        return -ENOMEM;
    *ret = json_tokener_parse((const char *)buffer_bytes(&text));
    return *ret ? 0 : -ENOMEM;
}

static struct json_object *get(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static const char *text_of(struct json_object *o, const char *name)
{
    struct json_object *v = get(o, name);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

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
    struct json_object *row = parse_row(o), *owners = json_object_get(get(row, "owners"));

    json_object_put(row);
    return json_object_is_type(owners, json_type_array) ? owners : json_object_new_array();
}

/* ---------------------------------------------------------------- shape */
static int check_type(struct admission *a, struct failure *f)
{
    const char *version = text_of(a->body, "apiVersion"), *kind = text_of(a->body, "kind");
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

    a->metadata = get(a->body, "metadata");
    if (!a->metadata) {
        a->metadata = json_object_new_object();
        json_object_object_add(a->body, "metadata", a->metadata);
    }
    if (!json_object_is_type(a->metadata, json_type_object))
        return failure_bad_request(f, "metadata must be an object");
    ns = text_of(a->metadata, "namespace");
    if (!a->kind->namespaced)
        json_object_object_del(a->metadata, "namespace");
    else if (!ns || !ns[0])
        json_object_object_add(a->metadata, "namespace", json_object_new_string(a->ns));
    else if (strcmp(ns, a->ns) != 0)
        return failure_bad_request(
            f, "the namespace of the provided object does not match the namespace sent on the "
               "request");
    name = text_of(a->metadata, "name");
    if (a->name && name && strcmp(name, a->name) != 0)
        return failure_bad_request(
            f, "the name of the object (%.253s) does not match the name on the URL (%.253s)", name,
            a->name);
    if (a->name && !name)
        json_object_object_add(a->metadata, "name", json_object_new_string(a->name));
    name = text_of(a->metadata, "name");
    if ((!name || !name[0]) && text_of(a->metadata, "generateName")) {
        char suffix[7], made[320];

        random_hex(suffix, 3);
        snprintf(made, sizeof(made), "%.250s%s", text_of(a->metadata, "generateName"), suffix);
        json_object_object_add(a->metadata, "name", json_object_new_string(made));
        name = text_of(a->metadata, "name");
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

/* ---------------------------------------------------------------- the server's metadata */
static void set_text(struct json_object *o, const char *name, const char *value)
{
    json_object_object_add(o, name, json_object_new_string(value));
}

static void copy_member(struct json_object *to, struct json_object *from, const char *name)
{
    struct json_object *v = get(from, name), *copy;

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

/* A deleted object keeps the finalizer until the core takes it away by erasing it. */
static void keep_finalizer(struct json_object *metadata, enum object_kind kind)
{
    const char *own = kind == KIND_NODE_POOL ? FINALIZER_NODES : FINALIZER_UNROUTE;
    struct json_object *list = get(metadata, "finalizers");

    if (!json_object_is_type(list, json_type_array)) {
        list = json_object_new_array();
        json_object_object_add(metadata, "finalizers", list);
    }
    if (!lists(list, own))
        json_object_array_add(list, json_object_new_string(own));
}

static void drop_empty(struct json_object *metadata, const char *name)
{
    struct json_object *v = get(metadata, name);

    if ((json_object_is_type(v, json_type_object) && json_object_object_length(v) == 0) ||
        (json_object_is_type(v, json_type_array) && json_object_array_length(v) == 0))
        json_object_object_del(metadata, name);
}

static void normalise(struct json_object *metadata)
{
    static const char *const not_kept[] = {"resourceVersion", "selfLink", "managedFields"};
    static const char *const empty[] = {"labels", "annotations", "finalizers", "ownerReferences"};

    for (size_t i = 0; i < ARRAY_LEN(not_kept); i++)
        json_object_object_del(metadata, not_kept[i]);
    for (size_t i = 0; i < ARRAY_LEN(empty); i++)
        drop_empty(metadata, empty[i]);
}

static void begin_life(struct admission *a)
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

static int go_on(struct admission *a, struct failure *f)
{
    static const char *const kept[] = {
        "uid",        "creationTimestamp",          "generateName",
        "generation", "deletionGracePeriodSeconds", "deletionTimestamp"};
    struct json_object *old = json_tokener_parse(a->old->content->metadata), *spec;
    const char *uid = text_of(a->metadata, "uid");
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
        keep_finalizer(a->metadata, a->kind->kind);
    json_object_object_del(old, "managedFields");
    spec = json_tokener_parse(a->old->content->spec);
    if (r == 0 && !json_object_equal(spec, a->spec)) {
        a->changed = true;
        json_object_object_add(
            a->metadata, "generation",
            json_object_new_int64(json_object_get_int64(get(old, "generation")) + 1));
    } else if (!json_object_equal(old, a->metadata)) {
        a->changed = true;
    }
    json_object_put(spec);
    json_object_put(old);
    return r;
}

/* A path below the code: what the agent joins to the directory of it. */
static bool is_path_below(const char *path)
{
    for (const char *at = path;; at++) {
        size_t n = strcspn(at, "/");

        if (!n || (n <= 2 && !strncmp(at, "..", n)))
            return false;
        at += n;
        if (!*at)
            return true;
    }
}

static void check_server(struct admission *a, struct problems *p)
{
    const char *handler = json_object_get_string(get(a->spec, "handler"));

    if (get(a->spec, "port") && !is_path_below(handler))
        problems_add(p, PROBLEM_INVALID, "spec.handler",
                     "Invalid value: \"%s\": with spec.port it must be the program's path below the "
                     "code, without \".\" and \"..\"",
                     handler);
}

/* Hooks come as frames, and such a program speaks HTTP alone. */
static void check_lifecycle(struct admission *a, struct problems *p)
{
    struct json_object *l = get(a->spec, "lifecycle");

    if (get(a->spec, "port") && (get(l, "initializer") || get(l, "preFreeze") || get(l, "preStop")))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.lifecycle",
                     "Forbidden: a program that listens on spec.port is not called by hooks");
}

/* A fork is asked for by a frame, which a program that speaks HTTP alone does not read, and only some
 * interpreters come out of it whole. */
static void check_start(struct admission *a, struct problems *p)
{
    static const char *const can_fork[] = {"python3"};
    const char *runtime = json_object_get_string(get(a->spec, "runtime"));
    bool forks = !strcmp(json_object_get_string(get(a->spec, "start")), "fork"), can = false;

    for (size_t i = 0; i < ARRAY_LEN(can_fork); i++)
        can = can || !strcmp(can_fork[i], runtime);
    if (forks && !can)
        problems_add(p, PROBLEM_FORBIDDEN, "spec.start",
                     "Forbidden: instances of the runtime %s cannot be forked: \"fork\" needs python3",
                     runtime);
    if (forks && get(a->spec, "port"))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.start",
                     "Forbidden: a program that listens on spec.port cannot be forked");
    if (!forks && get(get(a->spec, "lifecycle"), "afterFork"))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.lifecycle.afterFork",
                     "Forbidden: it is called with spec.start: fork only");
}

static void check_selector(struct json_object *selector, struct problems *p)
{
    if (!selector)
        return;
    json_object_object_foreach(selector, key, value)
    {
        const char *why = trait_key_problem(key);

        if (why)
            problems_add(p, PROBLEM_INVALID, "spec.placement.nodeSelector",
                         "Invalid value: \"%.100s\": %s", key, why);
        why = trait_value_problem(json_object_get_string(value));
        if (why)
            problems_add(p, PROBLEM_INVALID, "spec.placement.nodeSelector",
                         "Invalid value: \"%.100s\": %s", json_object_get_string(value), why);
    }
}

static void check_toleration(struct json_object *o, size_t at, struct problems *p)
{
    const char *key = json_object_get_string(get(o, "key"));
    bool exists = strcmp(json_object_get_string(get(o, "operator")), "Exists") == 0;
    const char *why = key && *key ? trait_key_problem(key) : NULL;
    char path[64];

    snprintf(path, sizeof(path), "spec.placement.tolerations[%zu]", at);
    if (why)
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: \"%.100s\": %s", key, why);
    if ((!key || !*key) && !exists)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: operator must be Exists when there is no key");
    if (exists && get(o, "value"))
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: there must be no value with operator Exists");
}

static void check_placement(struct admission *a, struct problems *p)
{
    struct json_object *o = get(a->spec, "placement"), *list = o ? get(o, "tolerations") : NULL;

    check_selector(o ? get(o, "nodeSelector") : NULL, p);
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        check_toleration(json_object_array_get_idx(list, i), i, p);
}

/* The program that is started must be executable; a file in a manifest has no mode. */
static bool is_program(const struct admission *a, const char *name)
{
    return !strcmp(name, "bootstrap") ||
           (get(a->spec, "port") && !strcmp(name, json_object_get_string(get(a->spec, "handler"))));
}

static int pack_inline(struct admission *a, struct json_object *code)
{
    struct package_file *files = calloc((size_t)json_object_object_length(code) + 1, sizeof(*files));
    struct err e = {0};
    size_t n = 0;
    int r;

    if (!files)
        return -ENOMEM;
    json_object_object_foreach(code, name, value)
    {
        files[n++] = (struct package_file){.name = name,
                                           .data = json_object_get_string(value),
                                           .size = (size_t)json_object_get_string_len(value),
                                           .executable = is_program(a, name)};
    }
    r = package_pack_files(files, n, &a->archive, &e);
    free(files);
    if (r == 0) {
        a->has_inline = true;
        package_digest(buffer_bytes(&a->archive), buffer_size(&a->archive), a->package);
    }
    return r < 0 ? r : 0;
}

static int find_package(struct admission *a, struct problems *p)
{
    struct json_object *code = get(a->spec, "code"), *v;

    if ((v = get(code, "package"))) {
        snprintf(a->package, sizeof(a->package), "%s", json_object_get_string(v));
        return 0;
    }
    v = get(code, "inline");
    if (v && pack_inline(a, v) < 0)
        problems_add(p, PROBLEM_INVALID, "spec.code.inline",
                     "Invalid value: names must be relative, without \"..\", at most 1024 bytes, "
                     "and no name may be "
                     "the folder of another");
    return 0;
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
    normalise(a->metadata);
    validate_metadata(a->metadata, a->kind->namespaced, &f->problems);
    validate_check(a->kind->schema, a->body, "", &f->problems);
    a->spec = get(a->body, "spec");
    if (!f->problems.count && a->kind->kind == KIND_FUNCTION) {
        check_server(a, &f->problems);
        check_lifecycle(a, &f->problems);
        check_start(a, &f->problems);
        check_placement(a, &f->problems);
        check_scaling(get(a->spec, "scaling"), a->no_external, &f->problems);
    }
    if (!f->problems.count && a->kind->kind == KIND_NODE_POOL)
        admission_check_pool(a, &f->problems);
    if (!f->problems.count && a->kind->kind == KIND_FUNCTION)
        find_package(a, &f->problems);
    if (f->problems.count)
        return failure_invalid(f, a->kind->name, a->schema->group, a->name_text);
    if (a->old)
        return go_on(a, f);
    begin_life(a);
    a->changed = true;
    return 0;
}

/* ---------------------------------------------------------------- contents */
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
    set_text(metadata, "deletionTimestamp", at);
    json_object_object_add(metadata, "deletionGracePeriodSeconds", json_object_new_int64(0));
    json_object_object_add(
        metadata, "generation",
        json_object_new_int64(json_object_get_int64(get(metadata, "generation")) + 1));
    keep_finalizer(metadata, o->kind);
    r = make_content(o->kind, metadata, spec, package, created_ms(o), owners, ret);
    json_object_put(owners);
    json_object_put(spec);
    json_object_put(metadata);
    return r < 0 ? failure_errno(f, r, NULL) : 0;
}
