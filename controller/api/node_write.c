/* node_write.c - PATCH of a node: spec.unschedulable and spec.drain, and nothing else.
 *
 * The object is the core's; what a patch changes of it beyond these two is
 * refused. The patch is made on what is there, so two at once are both heeded. */
#include "api/api_internal.h"

#include "api/patch.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node_write {
    struct json_object *patch;
    bool operations, dry_run; /* RFC 6902; else RFC 7386 */
};

static void begin(struct request *r);

static void work_free(void *p)
{
    struct node_write *w = p;

    json_object_put(w->patch);
    free(w);
}

static void answer_dry(struct request *r, const struct object *old, const struct node_wanted *wanted)
{
    cleanup_content struct content *c = NULL;
    cleanup_failure struct failure f = {0};
    char spec[NODE_SPEC_TEXT];
    struct object *o;

    node_spec_text(wanted, spec);
    if (content_new(old->content->metadata, spec, NULL, NULL, &c) < 0 ||
        object_new(KIND_NODE, old->rv, 0, c, old->status, &o) < 0) {
        failure_errno(&f, -ENOMEM, NULL);
        respond_failure(r, &f);
        return;
    }
    respond_object(r, 200, o, NULL);
    object_unref(o);
}

static void on_written(struct access_request *q)
{
    struct request *r = request_of(q);

    if (q->error != -EAGAIN || !request_retry(r, begin))
        respond_written(r);
}

/* Takes the flag out of both, so that what remains must be the same. */
static void take_flag(struct json_object *was, struct json_object *now, const char *name,
                      const char *path, bool *ret_was, bool *ret, struct problems *p)
{
    struct json_object *v;

    *ret_was = json_object_object_get_ex(was, name, &v) && json_object_get_boolean(v);
    json_object_object_del(was, name);
    *ret = false;
    if (!json_object_object_get_ex(now, name, &v))
        return;
    if (v && !json_object_is_type(v, json_type_boolean))
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: must be a boolean");
    *ret = json_object_get_boolean(v);
    json_object_object_del(now, name);
}

static int read_wanted(struct request *r, struct json_object *was, struct json_object *now,
                       struct node_wanted *ret_was, struct node_wanted *ret, struct failure *f)
{
    struct json_object *v = NULL, *version = NULL, *was_spec = NULL, *spec = NULL;

    if (json_object_object_get_ex(was, "metadata", &v))
        json_object_object_get_ex(v, "resourceVersion", &version);
    if (json_object_object_get_ex(now, "metadata", &v) &&
        json_object_object_get_ex(v, "resourceVersion", &v) && !json_object_equal(v, version))
        return failure_conflict(f, r->kind->plural, r->api->schema->group, r->name);
    json_object_object_get_ex(was, "spec", &was_spec);
    json_object_object_get_ex(now, "spec", &spec);
    if (json_object_is_type(spec, json_type_object)) {
        take_flag(was_spec, spec, "unschedulable", "spec.unschedulable", &ret_was->unschedulable,
                  &ret->unschedulable, &f->problems);
        take_flag(was_spec, spec, "drain", "spec.drain", &ret_was->drain, &ret->drain, &f->problems);
    }
    if (!json_object_equal(was, now))
        problems_add(&f->problems, PROBLEM_FORBIDDEN, "spec",
                     "Forbidden: a node is what its agent tells of it; only spec.unschedulable and "
                     "spec.drain can be changed");
    return f->problems.count ? failure_invalid(f, r->kind->name, r->api->schema->group, r->name) : 0;
}

static int patched(struct request *r, const struct object *old, struct node_wanted *ret_was,
                   struct node_wanted *ret, struct failure *f)
{
    struct node_write *w = r->work;
    struct json_object *was = NULL, *now = NULL;
    struct err e = {0};
    int x = admission_tree(old, &was);

    if (x == 0)
        x = patch_copy(was, &now);
    if (x < 0)
        failure_errno(f, x, NULL);
    else if ((x = w->operations ? patch_json(&now, w->patch, &e) : patch_merge(&now, w->patch)) < 0)
        failure_set(f, 422, "Invalid", "the patch does not apply: %s", e.message);
    else
        x = read_wanted(r, was, now, ret_was, ret, f);
    json_object_put(was);
    json_object_put(now);
    return x < 0 ? -1 : 0;
}

static void on_old(struct access_request *q)
{
    struct request *r = request_of(q);
    struct node_write *w = r->work;
    struct node_wanted was = {0}, wanted = {0};
    cleanup_failure struct failure f = {0};
    cleanup_object struct object *old = TAKE_PTR(q->object);

    access_request_done(q);
    if (!old)
        failure_not_found(&f, r->kind->plural, r->api->schema->group, r->name);
    if (f.code || patched(r, old, &was, &wanted, &f) < 0) {
        respond_failure(r, &f);
    } else if (w->dry_run) {
        answer_dry(r, old, &wanted);
    } else {
        r->access = (struct access_request){
            .verb = ACCESS_NODE, .kind = KIND_NODE, .node = wanted, .node_was = was};
        request_key(r);
        request_ask(r, on_written);
    }
    request_release(r);
}

static void begin(struct request *r)
{
    r->access = (struct access_request){.verb = ACCESS_GET, .kind = KIND_NODE};
    request_key(r);
    request_ask(r, on_old);
}

static void on_body(struct request *r)
{
    struct node_write *w = r->work;
    cleanup_failure struct failure f = {0};

    if (admission_parse(buffer_bytes(&r->body), buffer_size(&r->body), &w->patch, &f) < 0) {
        respond_failure(r, &f);
        return;
    }
    buffer_done(&r->body);
    begin(r);
}

void node_write_begin(struct request *r)
{
    cleanup_failure struct failure f = {0};
    struct node_write *w = calloc(1, sizeof(*w));
    const char *dry = request_param(r, "dryRun");
    char type[128] = "";

    request_header(r, "Content-Type", type, sizeof(type));
    type[strcspn(type, "; ")] = '\0';
    if (!w) {
        failure_errno(&f, -ENOMEM, NULL);
        respond_failure(r, &f);
        return;
    }
    r->work = w;
    r->work_free = work_free;
    w->operations = strcmp(type, "application/json-patch+json") == 0;
    w->dry_run = dry != NULL;
    if (!w->operations && strcmp(type, "application/merge-patch+json") != 0)
        failure_set(&f, 415, "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types "
                    "include: application/json-patch+json, application/merge-patch+json");
    else if (dry && strcmp(dry, "All") != 0)
        failure_bad_request(&f, "dryRun: Unsupported value: \"%.100s\": supported values: \"All\"",
                            dry);
    if (f.code)
        respond_failure(r, &f);
    else
        request_read_body(r, on_body);
}
