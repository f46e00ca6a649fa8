/* route.c - from path and method to the verb that answers. */
#include "api/api_internal.h"

#include "api/validate.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

static bool segment(const struct request *r, size_t i, const char *text)
{
    return i < r->segment_count && strcmp(r->segments[i], text) == 0;
}

static void not_found(struct request *r)
{
    cleanup_failure struct failure f = {0};

    if (r->api->c.other && r->segment_count <= SEGMENTS_MAX) {
        struct http_exchange *x = r->x;

        /* From here on the exchange is the other's; this request was never one of ours. */
        r->x = NULL;
        if (r->api->c.other(x, r->api->c.other_user)) {
            request_release(r);
            return;
        }
        r->x = x;
    }
    failure_set(&f, 404, "NotFound", "the server could not find the requested resource");
    respond_failure(r, &f);
}

static void not_allowed(struct request *r)
{
    cleanup_failure struct failure f = {0};

    failure_set(&f, 405, "MethodNotAllowed",
                "the server does not allow this method on the requested resource");
    respond_failure(r, &f);
}

/* ---------------------------------------------------------------- health */
static void on_brain(struct access_request *q)
{
    struct request *r = request_of(q);

    access_request_done(q);
    respond_text(r, 200, "ok");
    request_release(r);
}

/* Ready is who has the brain's answer. */
static void ready(struct request *r)
{
    r->access = (struct access_request){.verb = ACCESS_GET};
    request_ask(r, on_brain);
}

/* ---------------------------------------------------------------- resources */
/* Segments from `at` on: KIND[/NAME[/SUB]]. */
static int read_resource(struct request *r, size_t at)
{
    r->kind = schema_kind_by_plural(r->api->schema, r->segments[at]);
    if (!r->kind)
        return -1;
    r->resource = r->kind->plural;
    if (at + 1 < r->segment_count)
        r->name = r->segments[at + 1];
    if (at + 2 < r->segment_count) {
        if (segment(r, at + 2, "status"))
            r->sub = SUB_STATUS;
        else if (segment(r, at + 2, "scale") && r->kind->scale)
            r->sub = SUB_SCALE;
        else if (segment(r, at + 2, "log") && r->kind->kind == KIND_FUNCTION)
            r->sub = SUB_LOG;
        else
            return -1;
    }
    return at + 3 < r->segment_count ? -1 : 0;
}

static int read_path(struct request *r)
{
    if (!segment(r, 0, "apis") || !segment(r, 1, "rouse.dev") || !segment(r, 2, "v1") ||
        r->segment_count < 4)
        return -1;
    if (segment(r, 3, "namespaces") && r->segment_count >= 6) {
        r->ns = r->segments[4];
        return read_resource(r, 5) == 0 && r->kind->namespaced ? 0 : -1;
    }
    if (read_resource(r, 3) < 0)
        return -1;
    return r->kind->namespaced && r->name ? -1 : 0;
}

static void read_accept(struct request *r)
{
    char accept[512] = "";
    const char *include = request_param(r, "includeObject");

    request_header(r, "Accept", accept, sizeof(accept));
    r->table = strstr(accept, "as=Table") && strstr(accept, "g=meta.k8s.io") && r->sub == SUB_NONE;
    if (include)
        r->include = strcmp(include, "Object") == 0 ? TABLE_OBJECT
                     : strcmp(include, "None") == 0 ? TABLE_NONE
                                                    : TABLE_METADATA;
}

static int read_selectors(struct request *r, struct failure *f)
{
    const char *labels = request_param(r, "labelSelector"),
               *fields = request_param(r, "fieldSelector");
    struct err e = {0};

    if (!labels && !fields)
        return 0;
    if (selector_parse(labels, fields, &r->selector, &e) < 0)
        return failure_bad_request(f, "%s", e.message);
    return 0;
}

static void read_verb(struct request *r)
{
    if (request_method(r, "GET") || request_method(r, "HEAD"))
        r->verb = request_flag(r, "watch") ? "watch" : r->name ? "get" : "list";
    else if (request_method(r, "POST"))
        r->verb = "create";
    else if (request_method(r, "PUT"))
        r->verb = "update";
    else if (request_method(r, "PATCH"))
        r->verb = "patch";
    else if (request_method(r, "DELETE"))
        r->verb = r->name ? "delete" : "deletecollection";
    else
        r->verb = "other";
}

static void resource(struct request *r)
{
    cleanup_failure struct failure f = {0};
    bool reads;

    read_verb(r);
    read_accept(r);
    reads = strcmp(r->verb, "get") == 0 || strcmp(r->verb, "list") == 0 ||
            strcmp(r->verb, "watch") == 0;
    if (r->ns && !validate_dns_label(r->ns))
        failure_set(&f, 404, "NotFound", "namespaces \"%.253s\" not found", r->ns);
    else if (r->name && strlen(r->name) > 253)
        failure_not_found(&f, r->kind->plural, r->api->schema->group, "");
    else
        read_selectors(r, &f);
    if (f.code)
        respond_failure(r, &f);
    else if (r->sub == SUB_LOG && strcmp(r->verb, "get") == 0)
        logs_answer(r);
    else if (strcmp(r->verb, "watch") == 0 && r->sub == SUB_NONE)
        watch_begin(r);
    else if (strcmp(r->verb, "get") == 0)
        read_get(r);
    else if (strcmp(r->verb, "list") == 0)
        read_list(r);
    else if (r->kind->kind == KIND_NODE && strcmp(r->verb, "patch") == 0 && r->name &&
             r->sub == SUB_NONE)
        node_write_begin(r);
    else if (r->kind->kind == KIND_NODE && strcmp(r->verb, "delete") == 0 && r->sub == SUB_NONE)
        delete_begin(r);
    else if (reads || !r->kind->writable || r->sub == SUB_LOG || (r->kind->namespaced && !r->ns))
        not_allowed(r);
    else if (strcmp(r->verb, "delete") == 0 || strcmp(r->verb, "deletecollection") == 0)
        r->sub == SUB_NONE ? delete_begin(r) : not_allowed(r);
    else if ((strcmp(r->verb, "create") == 0 && !r->name) ||
             ((strcmp(r->verb, "update") == 0 || strcmp(r->verb, "patch") == 0) && r->name))
        write_begin(r);
    else
        not_allowed(r);
}

void route_request(struct request *r)
{
    static const struct {
        const char *first, *resource;
        void (*answer)(struct request *r);
    } reads[] = {{"version", "version", discovery_answer},
                 {"openapi", "openapi", openapi_answer},
                 {"metrics", "metrics", metrics_answer},
                 {"readyz", "health", ready}};

    if (segment(r, 0, "packages") && r->segment_count == 2) {
        r->resource = "packages";
        package_answer(r);
        return;
    }
    if (segment(r, 0, "apis") && r->segment_count > 3) {
        if (read_path(r) == 0) {
            resource(r);
        } else {
            r->kind = NULL;
            r->name = NULL;
            not_found(r);
        }
        return;
    }
    if (segment(r, 0, "api") && r->segment_count > 1) {
        r->resource = "core";
        core_answer(r);
        return;
    }
    if (segment(r, 0, "api") || segment(r, 0, "apis")) {
        r->resource = "discovery";
        request_method(r, "GET") ? discovery_answer(r) : not_allowed(r);
        return;
    }
    if ((segment(r, 0, "healthz") || segment(r, 0, "livez")) && r->segment_count == 1) {
        r->resource = "health";
        respond_text(r, 200, "ok");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        if (segment(r, 0, reads[i].first)) {
            r->resource = reads[i].resource;
            request_method(r, "GET") ? reads[i].answer(r) : not_allowed(r);
            return;
        }
    not_found(r);
}
