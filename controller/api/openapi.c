/* openapi.c - the schema file as OpenAPI v3 and as CustomResourceDefinition. */
#include "api/api_internal.h"
#include "api/publish.h"
#include "api/yaml.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static void set(struct json_object *o, const char *name, const char *value)
{
    json_object_object_add(o, name, json_object_new_string(value));
}

static struct json_object *object_in(struct json_object *o, const char *name)
{
    struct json_object *v = json_object_new_object();

    json_object_object_add(o, name, v);
    return v;
}

static struct json_object *described(const char *type, const char *description)
{
    struct json_object *o = json_object_new_object();

    set(o, "type", type);
    set(o, "description", description);
    return o;
}

static struct json_object *gvk(const struct schema_set *s, const struct schema_kind *k)
{
    struct json_object *o = json_object_new_object();

    set(o, "group", s->group);
    set(o, "version", s->version);
    set(o, "kind", k->name);
    return o;
}

/* ---------------------------------------------------------------- OpenAPI v3 */
static struct json_object *metadata_schema(void)
{
    struct json_object *o = described("object",
                                      "Name, labels and the like, as everywhere in Kubernetes."),
                       *p, *map;

    p = object_in(o, "properties");
    json_object_object_add(p, "name", described("string", "Name, unique in its namespace."));
    json_object_object_add(p, "namespace", described("string", "Namespace; default is default."));
    json_object_object_add(p, "uid", described("string", "Unique in time and space. Read-only."));
    json_object_object_add(p, "resourceVersion",
                           described("string", "Version of this object. Read-only."));
    json_object_object_add(p, "generation",
                           described("integer", "Changes with each change of the spec. Read-only."));
    json_object_object_add(p, "creationTimestamp",
                           described("string", "When it was created. Read-only."));
    json_object_object_add(p, "deletionTimestamp",
                           described("string", "When it was deleted. Read-only."));
    map = described("object", "Labels to select by.");
    json_object_object_add(map, "additionalProperties", described("string", "Value."));
    json_object_object_add(p, "labels", map);
    map = described("object", "Annotations, for tools.");
    json_object_object_add(map, "additionalProperties", described("string", "Value."));
    json_object_object_add(p, "annotations", map);
    map = described("array", "Who must agree before the object is gone.");
    json_object_object_add(map, "items", described("string", "Name."));
    json_object_object_add(p, "finalizers", map);
    return o;
}

static struct json_object *whole_schema(const struct schema_kind *k)
{
    struct json_object *source, *o, *p;

    json_object_object_get_ex(k->source, "schema", &source);
    o = publish_schema(source);
    json_object_object_get_ex(o, "properties", &p);
    json_object_object_add(p, "apiVersion", described("string", "rouse.dev/v1"));
    json_object_object_add(p, "kind", described("string", k->name));
    return o;
}

static void add_operation(struct json_object *path, const char *method, const struct schema_set *s,
                          const struct schema_kind *k, const char *action)
{
    static const char *const patches[] = {"application/json-patch+json",
                                          "application/merge-patch+json",
                                          "application/apply-patch+yaml"};
    struct json_object *op = object_in(path, method), *parameters = json_object_new_array(), *p,
                       *content;

    set(op, "x-kubernetes-action", action);
    json_object_object_add(op, "x-kubernetes-group-version-kind", gvk(s, k));
    json_object_object_add(op, "parameters", parameters);
    for (int i = 0; i < 3; i++) {
        p = json_object_new_object();
        set(p, "name", i == 0 ? "fieldValidation" : i == 1 ? "dryRun" : "fieldManager");
        set(p, "in", "query");
        json_object_object_add(p, "schema", described("string", ""));
        json_object_array_add(parameters, p);
    }
    if (strcmp(method, "patch") == 0) {
        content = object_in(object_in(op, "requestBody"), "content");
        for (size_t i = 0; i < ARRAY_LEN(patches); i++)
            object_in(content, patches[i]);
    }
    set(object_in(object_in(op, "responses"), "200"), "description", "OK");
}

static void add_paths(struct json_object *paths, const struct schema_set *s,
                      const struct schema_kind *k)
{
    char path[160];
    struct json_object *p;

    snprintf(path, sizeof(path), "/apis/%s/%s/%s%s", s->group, s->version,
             k->namespaced ? "namespaces/{namespace}/" : "", k->plural);
    p = object_in(paths, path);
    add_operation(p, "get", s, k, "list");
    if (k->writable)
        add_operation(p, "post", s, k, "post");
    strncat(path, "/{name}", sizeof(path) - strlen(path) - 1);
    p = object_in(paths, path);
    add_operation(p, "get", s, k, "get");
    if (k->writable) {
        add_operation(p, "put", s, k, "put");
        add_operation(p, "patch", s, k, "patch");
        add_operation(p, "delete", s, k, "delete");
    } else if (k->kind == KIND_NODE) {
        add_operation(p, "patch", s, k, "patch");
    }
}

int openapi_make(struct api *a)
{
    struct json_object *doc = json_object_new_object(), *info, *paths, *schemas;
    const struct schema_set *s = a->schema;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int r;

    set(doc, "openapi", "3.0.0");
    info = object_in(doc, "info");
    set(info, "title", "Rouse");
    set(info, "version", s->version);
    paths = object_in(doc, "paths");
    schemas = object_in(object_in(doc, "components"), "schemas");
    for (int k = 0; k < KIND_COUNT; k++) {
        struct json_object *o = whole_schema(&s->kinds[k]), *list = json_object_new_array(), *p;
        char name[64];

        json_object_object_get_ex(o, "properties", &p);
        json_object_object_add(p, "metadata", metadata_schema());
        json_object_array_add(list, gvk(s, &s->kinds[k]));
        json_object_object_add(o, "x-kubernetes-group-version-kind", list);
        snprintf(name, sizeof(name), "dev.rouse.%s.%s", s->version, s->kinds[k].name);
        json_object_object_add(schemas, name, o);
        add_paths(paths, s, &s->kinds[k]);
    }
    r = buffer_puts(&a->openapi, json_object_to_json_string_ext(
                                     doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(doc);
    SHA256(buffer_bytes(&a->openapi), buffer_size(&a->openapi), digest);
    hex_encode(a->openapi_hash, digest, sizeof(digest));
    return r;
}

/* kubectl before 1.29 does not begin without the version 2 document, in protobuf, though it finds
 * nothing in it that it needs: Document{1: swagger}. */
static bool answer_v2(struct request *r)
{
    static const char empty[] = "\x0a\x03"
                                "2.0";
    char accept[512];

    if (!request_header(r, "Accept", accept, sizeof(accept)) ||
        !strstr(accept, "proto-openapi.spec.v2"))
        return false;
    respond(r, 200, "Content-Type: application/com.github.proto-openapi.spec.v2.v1.0+protobuf\r\n",
            empty, sizeof(empty) - 1);
    return true;
}

void openapi_answer(struct request *r)
{
    static const char core[] =
        "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Rouse\",\"version\":\"v1\"},\"paths\":{}}\n";
    cleanup_buffer struct buffer b = {0};
    cleanup_failure struct failure f = {0};
    size_t n = r->segment_count;

    if (n == 2 && strcmp(r->segments[1], "v2") == 0 && answer_v2(r))
        return;
    if (n == 2 && strcmp(r->segments[1], "v3") == 0) {
        buffer_printf(&b,
                      "{\"paths\":{\"api/v1\":{\"serverRelativeURL\":\"/openapi/v3/api/"
                      "v1\"},\"apis/rouse.dev/v1\":{"
                      "\"serverRelativeURL\":\"/openapi/v3/apis/rouse.dev/v1?hash=%s\"}}}\n",
                      r->api->openapi_hash);
        respond_json(r, 200, &b);
    } else if (n == 4 && strcmp(r->segments[1], "v3") == 0 && strcmp(r->segments[2], "api") == 0 &&
               strcmp(r->segments[3], "v1") == 0) {
        buffer_puts(&b, core);
        respond_json(r, 200, &b);
    } else if (n == 5 && strcmp(r->segments[1], "v3") == 0 && strcmp(r->segments[2], "apis") == 0 &&
               strcmp(r->segments[3], "rouse.dev") == 0 && strcmp(r->segments[4], "v1") == 0) {
        respond_json(r, 200, &r->api->openapi);
    } else {
        failure_set(&f, 404, "NotFound", "the server could not find the requested resource");
        respond_failure(r, &f);
    }
}

/* ---------------------------------------------------------------- the CRD */
static struct json_object *crd_columns(const struct schema_kind *k)
{
    struct json_object *copy = NULL;

    json_object_deep_copy(k->columns, &copy, NULL);
    return copy;
}

static struct json_object *crd_version(const struct schema_set *s, const struct schema_kind *k)
{
    struct json_object *v = json_object_new_object(), *schema, *subresources, *scale, *metadata,
                       *name, *p;
    char path[128];

    set(v, "name", s->version);
    json_object_object_add(v, "served", json_object_new_boolean(true));
    json_object_object_add(v, "storage", json_object_new_boolean(true));
    subresources = object_in(v, "subresources");
    object_in(subresources, "status");
    if (json_object_object_get_ex(k->source, "scale", &scale)) {
        snprintf(path, sizeof(path), ".%s", json_object_get_string(table_path(scale, ".spec")));
        set(object_in(subresources, "scale"), "specReplicasPath", path);
        snprintf(path, sizeof(path), ".%s", json_object_get_string(table_path(scale, ".status")));
        set(table_path(subresources, ".scale"), "statusReplicasPath", path);
    }
    json_object_object_add(v, "additionalPrinterColumns", crd_columns(k));
    schema = whole_schema(k);
    json_object_object_get_ex(schema, "properties", &p);
    metadata = object_in(p, "metadata");
    set(metadata, "type", "object");
    name = object_in(object_in(metadata, "properties"), "name");
    set(name, "type", "string");
    json_object_object_add(name, "maxLength",
                           json_object_new_int(k->kind == KIND_NODE_POOL ? POOL_NAME_MAX : 63));
    json_object_object_add(object_in(v, "schema"), "openAPIV3Schema", schema);
    return v;
}

static int put_crd(const struct schema_set *s, const struct schema_kind *k, struct buffer *out)
{
    struct json_object *crd, *spec, *names, *versions, *copy = NULL;
    char name[128];
    int r;

    crd = json_object_new_object();
    set(crd, "apiVersion", "apiextensions.k8s.io/v1");
    set(crd, "kind", "CustomResourceDefinition");
    snprintf(name, sizeof(name), "%s.%s", k->plural, s->group);
    set(object_in(crd, "metadata"), "name", name);
    spec = object_in(crd, "spec");
    set(spec, "group", s->group);
    set(spec, "scope", k->namespaced ? "Namespaced" : "Cluster");
    names = object_in(spec, "names");
    set(names, "kind", k->name);
    snprintf(name, sizeof(name), "%sList", k->name);
    set(names, "listKind", name);
    set(names, "plural", k->plural);
    set(names, "singular", k->singular);
    json_object_deep_copy(k->short_names, &copy, NULL);
    json_object_object_add(names, "shortNames", TAKE_PTR(copy));
    json_object_deep_copy(k->categories, &copy, NULL);
    json_object_object_add(names, "categories", copy);
    versions = json_object_new_array();
    json_object_array_add(versions, crd_version(s, k));
    json_object_object_add(spec, "versions", versions);
    r = yaml_write(crd, out);
    json_object_put(crd);
    return r;
}

int api_crd_yaml(struct buffer *out)
{
    static const enum object_kind applied[] = {KIND_FUNCTION, KIND_NODE_POOL};
    struct schema_set *s;
    struct err e = {0};
    int r = schema_load(&s, &e);

    if (r < 0)
        return r;
    buffer_puts(out, "# Made by `rouse-controller crd` from proto/function.schema.json. Change "
                     "that, not this.\n");
    for (size_t i = 0; i < ARRAY_LEN(applied) && r == 0; i++) {
        if (i)
            buffer_puts(out, "---\n");
        r = put_crd(s, &s->kinds[applied[i]], out);
    }
    schema_free(s);
    return r;
}
