/* write.c - POST, PUT and PATCH: read the object, make the new one, admit it, have it stored.
 *
 * The registry refuses a write whose object has changed meanwhile; the request
 * then begins again from the new object, unless its client named a version. */
#include "api/write_internal.h"

#include "api/ownership.h"
#include "api/validate.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void attempt_done(struct write *w)
{
    json_object_put(w->body);
    json_object_put(w->owners);
    w->body = w->owners = NULL;
    w->old = object_unref(w->old);
    w->content = content_unref(w->content);
    admission_done(&w->a);
    w->a = (struct admission){0};
}

static void write_free(void *p)
{
    struct write *w = p;

    attempt_done(w);
    json_object_put(w->input);
    free(w);
}

static void fail(struct request *r, struct failure *f)
{
    struct write *w = r->work;

    if (!r->name && w->a.name_text[0])
        r->name = w->a.name_text;
    respond_failure(r, f);
}

static void answer(struct request *r, const struct object *o, bool created)
{
    struct write *w = r->work;
    cleanup_buffer struct buffer headers = {0};

    for (size_t i = 0; w->a.fields == FIELDS_WARN && i < w->a.unknown.count; i++) {
        buffer_puts(&headers, "Warning: 299 - \"unknown field \\\"");
        for (const char *s = w->a.unknown.items[i]; *s; s++)
            buffer_append(&headers, (unsigned char)*s >= ' ' && *s != '"' && *s != 0x7f ? s : "?", 1);
        buffer_puts(&headers, "\\\"\"\r\n");
    }
    buffer_append(&headers, "", 1);
    if (r->sub == SUB_SCALE)
        respond_scale(r, o);
    else
        respond_object(r, created ? 201 : 200, o, (const char *)buffer_bytes(&headers));
}

/* ---------------------------------------------------------------- storing */
static void begin_attempt(struct request *r);

static void on_written(struct access_request *q)
{
    struct request *r = request_of(q);
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};
    bool create = !w->old;

    if ((q->error == -EAGAIN || (q->error == -EEXIST && w->kind == WRITE_APPLY) ||
         (q->error == -ENOENT && w->kind == WRITE_APPLY)) &&
        !w->versioned && request_retry(r, begin_attempt))
        return;
    if (!q->error) {
        answer(r, q->object, create);
    } else if (q->error == -EEXIST) {
        failure_exists(&f, r->kind->plural, r->api->schema->group, w->a.name_text,
                       q->object->content->deleting);
    } else {
        failure_of_write(&f, r, w->a.name_text, q);
    }
    if (f.code)
        fail(r, &f);
    access_request_done(q);
    request_release(r);
}

static void answer_dry(struct request *r)
{
    struct write *w = r->work;
    struct object *o;

    if (object_new(r->kind->kind, w->old ? w->old->rv : 0, 0, w->content,
                   w->old ? w->old->status : "{}", &o) < 0) {
        cleanup_failure struct failure f = {0};

        failure_errno(&f, -ENOMEM, NULL);
        fail(r, &f);
        return;
    }
    answer(r, o, !w->old);
    object_unref(o);
}

static void store(struct request *r)
{
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};

    if (admission_content(&w->a, &w->content, &f) < 0) {
        fail(r, &f);
        return;
    }
    if (w->dry_run) {
        answer_dry(r);
        return;
    }
    r->access = (struct access_request){.verb = ACCESS_WRITE,
                                        .kind = r->kind->kind,
                                        .content = TAKE_PTR(w->content),
                                        .stored = w->old ? w->old->stored : 0};
    request_ask(r, on_written);
}

static void on_packed(struct request *r, int error, const char *message)
{
    cleanup_failure struct failure f = {0};

    if (!error) {
        store(r);
        return;
    }
    failure_errno(&f, error, message);
    fail(r, &f);
}

/* ---------------------------------------------------------------- admitting */
static void on_status(struct access_request *q)
{
    struct request *r = request_of(q);
    cleanup_failure struct failure f = {0};

    if (!q->error) {
        answer(r, q->object, false);
    } else {
        failure_of_write(&f, r, r->name, q);
        fail(r, &f);
    }
    access_request_done(q);
    request_release(r);
}

/* The rest of the object is ignored here, as the status is elsewhere. */
static int admit_status(struct request *r, struct failure *f)
{
    struct write *w = r->work;
    const struct schema *s = schema_property(r->kind->schema, "status");
    struct json_object *status;
    cleanup_field_list struct field_list unknown = {0};
    const char *text;

    if (!json_object_object_get_ex(w->body, "status", &status) ||
        !json_object_is_type(status, json_type_object))
        text = "{}";
    else {
        validate_prune(s, status, "status", &unknown);
        validate_check(s, status, "status", &f->problems);
        if (f->problems.count)
            return failure_invalid(f, r->kind->name, r->api->schema->group, r->name);
        text = json_object_to_json_string_ext(status, JSON_C_TO_STRING_PLAIN |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE);
    }
    if (w->dry_run) {
        answer(r, w->old, false);
        return 0;
    }
    r->access =
        (struct access_request){.verb = ACCESS_STATUS, .kind = r->kind->kind, .status = strdup(text)};
    snprintf(r->access.key, sizeof(r->access.key), "%s", w->old->content->key);
    if (!r->access.status)
        return failure_errno(f, -ENOMEM, NULL);
    request_ask(r, on_status);
    return 0;
}

/* A version in the object is a precondition. PUT needs one. */
static int check_version(struct request *r, struct failure *f)
{
    struct write *w = r->work;
    const char *version = json_object_get_string(table_path(w->body, ".metadata.resourceVersion"));
    char now[24];

    if (!w->old) {
        if (version && version[0] && w->kind == WRITE_APPLY)
            return failure_not_found(f, r->kind->plural, r->api->schema->group, r->name);
        if (version && version[0] && strcmp(version, "0") != 0)
            return failure_bad_request(f,
                                       "resourceVersion should not be set on objects to be created");
        return 0;
    }
    if (w->kind == WRITE_REPLACE && r->sub != SUB_SCALE && (!version || !version[0])) {
        problems_add(&f->problems, PROBLEM_INVALID, "metadata.resourceVersion",
                     "Invalid value: 0x0: must be specified for an update");
        return failure_invalid(f, r->kind->name, r->api->schema->group, r->name);
    }
    snprintf(now, sizeof(now), "%llu", (unsigned long long)w->old->rv);
    if (version && version[0] && strcmp(version, now) != 0)
        return failure_conflict(f, r->kind->plural, r->api->schema->group, r->name);
    return 0;
}

/* Whether the input (not the patched result, which has the live version) names a version. */
static bool names_version(struct write *w)
{
    struct json_object *version;

    if (w->kind == WRITE_JSON) /* a test or a replacement of it */
        return strstr(json_object_to_json_string_ext(w->input, JSON_C_TO_STRING_NOSLASHESCAPE),
                      "/metadata/resourceVersion") != NULL;
    version = table_path(w->input, ".metadata.resourceVersion");
    return version && json_object_get_string_len(version) > 0;
}

static enum field_validation read_fields(struct request *r)
{
    const char *text = request_param(r, "fieldValidation");

    if (text && strcmp(text, "Strict") == 0)
        return FIELDS_STRICT;
    return text && strcmp(text, "Ignore") == 0 ? FIELDS_IGNORE : FIELDS_WARN;
}

static void admit(struct request *r)
{
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};
    struct json_object *owners_before = NULL;

    if (check_version(r, &f) < 0 || (r->sub == SUB_STATUS && admit_status(r, &f) < 0)) {
        fail(r, &f);
        return;
    }
    if (r->sub == SUB_STATUS)
        return;
    w->a.schema = r->api->schema;
    w->a.kind = r->kind;
    w->a.ns = r->ns;
    w->a.name = r->name;
    w->a.old = w->old;
    w->a.body = w->body;
    w->a.owners = w->owners;
    w->a.manager = w->manager;
    w->a.fields = read_fields(r);
    w->a.now_ms = clock_wall_ms();
    w->a.no_external = !r->api->c.external;
    w->a.no_process_pools = !r->api->c.process_pools;
    w->a.no_hook_pools = !r->api->c.hook_pools;
    if (admission_check(&w->a, &f) < 0) {
        fail(r, &f);
        return;
    }
    if (w->owners && w->old) {
        owners_before = admission_owners(w->old);
        w->a.changed = w->a.changed || !ownership_equal(owners_before, w->owners);
        json_object_put(owners_before);
    }
    if (w->old && !w->a.changed) {
        answer(r, w->old, false);
        return;
    }
    if (r->kind->kind != KIND_FUNCTION || packages_have(r->api->c.packages, w->a.package) ||
        (w->dry_run && w->a.has_inline)) {
        store(r);
    } else if (w->a.has_inline) {
        package_store(r, w->a.package, &w->a.archive, on_packed);
    } else {
        problems_add(&f.problems, PROBLEM_INVALID, "spec.code.package",
                     "Invalid value: \"%s\": no such package; upload it by PUT /packages/%s",
                     w->a.package, w->a.package);
        failure_invalid(&f, r->kind->name, r->api->schema->group, w->a.name_text);
        fail(r, &f);
    }
}

/* ---------------------------------------------------------------- reading the old one */
static void on_old(struct access_request *q)
{
    struct request *r = request_of(q);
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};

    w->old = TAKE_PTR(q->object);
    access_request_done(q);
    if (!w->old && (w->kind != WRITE_APPLY || r->sub != SUB_NONE))
        failure_not_found(&f, r->kind->plural, r->api->schema->group, r->name);
    if (!f.code)
        write_make(r, &f);
    if (f.code)
        fail(r, &f);
    else
        admit(r);
    request_release(r);
}

static void begin_attempt(struct request *r)
{
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};

    attempt_done(w);
    if (w->kind != WRITE_CREATE) {
        r->access = (struct access_request){.verb = ACCESS_GET, .kind = r->kind->kind};
        request_key(r);
        request_ask(r, on_old);
    } else if (write_make(r, &f) < 0) {
        fail(r, &f);
    } else {
        admit(r);
    }
}

/* ---------------------------------------------------------------- reading the request */
static void on_body(struct request *r)
{
    struct write *w = r->work;
    cleanup_failure struct failure f = {0};

    if (admission_parse(buffer_bytes(&r->body), buffer_size(&r->body), &w->input, &f) < 0) {
        respond_failure(r, &f);
        return;
    }
    buffer_done(&r->body);
    w->versioned = w->kind != WRITE_CREATE && names_version(w);
    begin_attempt(r);
}

static int read_kind(struct request *r, enum write_kind *ret, struct failure *f)
{
    static const struct {
        const char *type;
        enum write_kind kind;
    } patches[] = {{"application/merge-patch+json", WRITE_MERGE},
                   {"application/json-patch+json", WRITE_JSON},
                   {"application/apply-patch+yaml", WRITE_APPLY}};
    char type[128] = "";

    request_header(r, "Content-Type", type, sizeof(type));
    type[strcspn(type, "; ")] = '\0';
    if (!request_method(r, "PATCH")) {
        *ret = request_method(r, "POST") ? WRITE_CREATE : WRITE_REPLACE;
        if (!type[0] || strcmp(type, "application/json") == 0)
            return 0;
        return failure_set(
            f, 415, "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json");
    }
    for (size_t i = 0; i < ARRAY_LEN(patches); i++)
        if (strcmp(patches[i].type, type) == 0) {
            *ret = patches[i].kind;
            return 0;
        }
    return failure_set(
        f, 415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
}

static void read_manager(struct request *r, struct write *w)
{
    const char *given = request_param(r, "fieldManager");
    char agent[128] = "unknown";

    request_header(r, "User-Agent", agent, sizeof(agent));
    agent[strcspn(agent, "/ ")] = '\0';
    snprintf(w->manager, sizeof(w->manager), "%s", given && given[0] ? given : agent);
}

void write_begin(struct request *r)
{
    cleanup_failure struct failure f = {0};
    const char *manager = request_param(r, "fieldManager"), *dry = request_param(r, "dryRun");
    struct write *w = calloc(1, sizeof(*w));

    r->work = w;
    r->work_free = write_free;
    if (!w) {
        r->work_free = NULL;
        failure_errno(&f, -ENOMEM, NULL);
    } else if (read_kind(r, &w->kind, &f) == 0) {
        if (dry && strcmp(dry, "All") != 0)
            failure_bad_request(
                &f, "dryRun: Unsupported value: \"%.100s\": supported values: \"All\"", dry);
        else if (manager && (strlen(manager) > 127 || strpbrk(manager, "\"\\\r\n")))
            failure_bad_request(&f, "fieldManager must be at most 127 printable characters");
        else if (w->kind == WRITE_APPLY && (!manager || !manager[0]))
            failure_set(&f, 422, "Invalid",
                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: "
                        "is required for apply "
                        "patch");
    }
    if (f.code) {
        respond_failure(r, &f);
        return;
    }
    w->dry_run = dry != NULL;
    w->force = request_flag(r, "force");
    read_manager(r, w);
    request_read_body(r, on_body);
}
