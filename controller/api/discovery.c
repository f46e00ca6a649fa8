/* discovery.c - /version, /api, /apis and their resources: both the legacy and the aggregated form.
 */
#include "api/api_internal.h"

#include "base/cleanup.h"

#include <string.h>

#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

static const char version[] =
    "{\"major\":\"1\",\"minor\":\"32\",\"gitVersion\":\"v1.32.0-rouse.0.1\",\"gitCommit\":\"\","
    "\"gitTreeState\":\"\","
    "\"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"cc\",\"platform\":\"linux\"}\n";

static const char *verbs_of(const struct schema_kind *k)
{
    return k->writable ? "[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\","
                         "\"update\",\"watch\"]"
           : k->kind == KIND_NODE ? "[\"delete\",\"get\",\"list\",\"patch\",\"watch\"]"
                                  : "[\"get\",\"list\",\"watch\"]";
}

static void add_json(struct buffer *b, const char *name, struct json_object *o)
{
    if (o && json_object_array_length(o) > 0)
        buffer_printf(b, ",\"%s\":%s", name,
                      json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

/* ---------------------------------------------------------------- legacy */
static void add_legacy(struct buffer *b, const struct schema_kind *k)
{
    buffer_printf(
        b, "{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\",\"verbs\":%s",
        k->plural, k->singular, k->namespaced ? "true" : "false", k->name, verbs_of(k));
    add_json(b, "shortNames", k->short_names);
    add_json(b, "categories", k->categories);
    buffer_puts(b, "}");
    if (k->writable)
        buffer_printf(b,
                      ",{\"name\":\"%s/status\",\"singularName\":\"\",\"namespaced\":%s,\"kind\":\"%s\","
                      "\"verbs\":[\"get\",\"patch\",\"update\"]}",
                      k->plural, k->namespaced ? "true" : "false", k->name);
    if (k->scale)
        buffer_printf(b,
                      ",{\"name\":\"%s/"
                      "scale\",\"singularName\":\"\",\"namespaced\":true,\"group\":\"autoscaling\","
                      "\"version\":\"v1\",\"kind\":\"Scale\",\"verbs\":[\"get\",\"patch\",\"update\"]}",
                      k->plural);
}

static void resource_list(struct request *r, struct buffer *b)
{
    const struct schema_set *s = r->api->schema;

    buffer_printf(b,
                  "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"%s/"
                  "%s\",\"resources\":[",
                  s->group, s->version);
    for (int k = 0; k < KIND_COUNT; k++) {
        if (k)
            buffer_puts(b, ",");
        add_legacy(b, &s->kinds[k]);
    }
    buffer_puts(b, "]}\n");
}

static void add_group(struct buffer *b, const struct schema_set *s)
{
    buffer_printf(b,
                  "\"name\":\"%s\",\"versions\":[{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}],"
                  "\"preferredVersion\":{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}}",
                  s->group, s->group, s->version, s->version, s->group, s->version, s->version);
}

/* ---------------------------------------------------------------- aggregated */
static void add_aggregated(struct buffer *b, const struct schema_set *s, const struct schema_kind *k)
{
    buffer_printf(b,
                  "{\"resource\":\"%s\",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\","
                  "\"kind\":\"%s\"},"
                  "\"scope\":\"%s\",\"singularResource\":\"%s\",\"verbs\":%s",
                  k->plural, s->group, s->version, k->name,
                  k->namespaced ? "Namespaced" : "Cluster", k->singular, verbs_of(k));
    add_json(b, "shortNames", k->short_names);
    add_json(b, "categories", k->categories);
    if (k->writable)
        buffer_printf(b,
                      ",\"subresources\":[{\"subresource\":\"status\",\"responseKind\":{\"group\":\"%s\","
                      "\"version\":"
                      "\"%s\",\"kind\":\"%s\"},\"verbs\":[\"get\",\"patch\",\"update\"]}",
                      s->group, s->version, k->name);
    if (k->scale)
        buffer_puts(b, ",{\"subresource\":\"scale\",\"responseKind\":{\"group\":\"autoscaling\","
                       "\"version\":\"v1\",\"kind\":\"Scale\"},"
                       "\"verbs\":[\"get\",\"patch\",\"update\"]}");
    buffer_puts(b, k->writable ? "]}" : "}");
}

static void groups_aggregated(const struct schema_set *s, struct buffer *b)
{
    buffer_printf(b,
                  "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"
                  "v2\",\"metadata\":{},"
                  "\"items\":[{\"metadata\":{\"name\":\"%s\"},\"versions\":[{\"version\":\"%s\","
                  "\"freshness\":"
                  "\"Current\",\"resources\":[",
                  s->group, s->version);
    for (int k = 0; k < KIND_COUNT; k++) {
        if (k)
            buffer_puts(b, ",");
        add_aggregated(b, s, &s->kinds[k]);
    }
    buffer_puts(b, "]}]}]}\n");
}

static const char core_aggregated[] =
    "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"
    "v2\",\"metadata\":{},\"items\":[{"
    "\"metadata\":{},\"versions\":[{\"version\":\"v1\",\"freshness\":\"Current\",\"resources\":["
    "{\"resource\":\"namespaces\",\"responseKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":"
    "\"Namespace\"},"
    "\"scope\":\"Cluster\",\"singularResource\":\"namespace\",\"verbs\":[\"get\",\"list\"],"
    "\"shortNames\":[\"ns\"]},"
    "{\"resource\":\"events\",\"responseKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":"
    "\"Event\"},"
    "\"scope\":\"Namespaced\",\"singularResource\":\"event\",\"verbs\":[\"get\",\"list\",\"watch\"],\"shortNames\":["
    "\"ev\"]}]}]}]}\n";

static bool wants_aggregated(struct request *r)
{
    char accept[512];

    return request_header(r, "Accept", accept, sizeof(accept)) &&
           strstr(accept, "v=v2;as=APIGroupDiscoveryList");
}

static void answer_aggregated(struct request *r, const char *text, size_t n)
{
    respond(r, 200, "Content-Type: " AGGREGATED "\r\nVary: Accept\r\n", text, n);
}

void discovery_answer(struct request *r)
{
    static const char core[] =
        "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}\n";
    const struct schema_set *s = r->api->schema;
    cleanup_buffer struct buffer b = {0};
    cleanup_failure struct failure f = {0};
    const char *first = r->segments[0];

    if (strcmp(first, "version") == 0) {
        buffer_puts(&b, version);
    } else if (strcmp(first, "api") == 0) {
        if (wants_aggregated(r)) {
            answer_aggregated(r, core_aggregated, strlen(core_aggregated));
            return;
        }
        buffer_puts(&b, core);
    } else if (r->segment_count == 1 && wants_aggregated(r)) {
        groups_aggregated(s, &b);
        answer_aggregated(r, (const char *)buffer_bytes(&b), buffer_size(&b));
        return;
    } else if (r->segment_count == 1) {
        buffer_puts(&b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[{");
        add_group(&b, s);
        buffer_puts(&b, "]}\n");
    } else if (strcmp(r->segments[1], s->group) == 0 && r->segment_count == 2) {
        buffer_puts(&b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
        add_group(&b, s);
        buffer_puts(&b, "\n");
    } else if (strcmp(r->segments[1], s->group) == 0 && strcmp(r->segments[2], s->version) == 0) {
        resource_list(r, &b);
    } else {
        failure_set(&f, 404, "NotFound", "the server could not find the requested resource");
        respond_failure(r, &f);
        return;
    }
    respond_json(r, 200, &b);
}
