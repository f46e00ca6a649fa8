/* core.c - as much of /api/v1 as kubectl needs: namespaces, which are names and nothing more, and
 * Events (notes.c). */
#include "api/api_internal.h"

#include "api/validate.h"
#include "base/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char resources[] =
    "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"v1\",\"resources\":["
    "{\"name\":\"namespaces\",\"singularName\":\"namespace\",\"namespaced\":false,\"kind\":"
    "\"Namespace\","
    "\"verbs\":[\"get\",\"list\"],\"shortNames\":[\"ns\"]},"
    "{\"name\":\"events\",\"singularName\":\"event\",\"namespaced\":true,\"kind\":\"Event\","
    "\"verbs\":[\"get\",\"list\",\"watch\"],"
    "\"shortNames\":[\"ev\"]}]}\n";

#define TABLE_OF_NAMES                                                                             \
    "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"                                            \
    "v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},"                                     \
    "\"columnDefinitions\":[{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\","           \
    "\"description\":\"\","                                                                        \
    "\"priority\":0},{\"name\":\"Status\",\"type\":\"string\",\"format\":\"\",\"description\":"    \
    "\"\",\"priority\":0}],"                                                                       \
    "\"rows\":["

static void add_namespace(struct buffer *b, const char *name, bool table)
{
    if (table)
        buffer_printf(b,
                      "{\"cells\":[\"%s\",\"Active\"],\"object\":{\"kind\":"
                      "\"PartialObjectMetadata\",\"apiVersion\":"
                      "\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"%s\"}}}",
                      name, name);
    else
        buffer_printf(b,
                      "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\","
                      "\"labels\":{"
                      "\"kubernetes.io/"
                      "metadata.name\":\"%s\"}},\"spec\":{},\"status\":{\"phase\":\"Active\"}}",
                      name, name);
}

/* Those that hold functions, and default. The list is sorted by "namespace/name". */
static void on_functions(struct access_request *q)
{
    struct request *r = request_of(q);
    cleanup_buffer struct buffer b = {0};
    const char *last = "";
    bool have_default = false;
    size_t n = 0;

    if (r->table)
        buffer_printf(&b, TABLE_OF_NAMES, q->rv);
    else
        buffer_printf(&b,
                      "{\"kind\":\"NamespaceList\",\"apiVersion\":\"v1\",\"metadata\":{"
                      "\"resourceVersion\":\"%" PRIu64 "\"},\"items\":[",
                      q->rv);
    for (size_t i = 0; i <= q->count; i++) {
        const char *ns = i < q->count ? q->items[i]->content->ns : "default";

        if (strcmp(ns, last) == 0 || (i == q->count && have_default))
            continue;
        have_default = have_default || strcmp(ns, "default") == 0;
        if (n++)
            buffer_puts(&b, ",");
        add_namespace(&b, ns, r->table);
        last = ns;
    }
    buffer_puts(&b, "]}\n");
    respond_json(r, 200, &b);
    access_request_done(q);
    request_release(r);
}

static void one_namespace(struct request *r, const char *name)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_failure struct failure f = {0};

    if (!validate_dns_label(name)) {
        failure_set(&f, 404, "NotFound", "namespaces \"%.253s\" not found", name);
        respond_failure(r, &f);
        return;
    }
    if (r->table)
        buffer_printf(&b, TABLE_OF_NAMES, (uint64_t)0);
    add_namespace(&b, name, r->table);
    buffer_puts(&b, r->table ? "]}\n" : "\n");
    respond_json(r, 200, &b);
}

/* /api/v1/events, /api/v1/namespaces/NS/events[/NAME] */
static bool is_events(struct request *r)
{
    size_t n = r->segment_count;

    if (n == 3 && strcmp(r->segments[2], "events") == 0)
        return true;
    if (n < 5 || n > 6 || strcmp(r->segments[2], "namespaces") != 0 ||
        strcmp(r->segments[4], "events") != 0)
        return false;
    r->ns = r->segments[3];
    r->name = n == 6 ? r->segments[5] : NULL;
    return true;
}

void core_answer(struct request *r)
{
    cleanup_failure struct failure f = {0};
    cleanup_buffer struct buffer b = {0};
    char accept[512] = "";
    size_t n = r->segment_count;

    request_header(r, "Accept", accept, sizeof(accept));
    r->table = strstr(accept, "as=Table") != NULL;
    if (strcmp(r->segments[1], "v1") != 0 || (n > 2 && strcmp(r->segments[2], "namespaces") != 0 &&
                                              strcmp(r->segments[2], "events") != 0))
        failure_set(&f, 404, "NotFound", "the server could not find the requested resource");
    else if (!request_method(r, "GET"))
        failure_set(&f, 405, "MethodNotAllowed",
                    "the server does not allow this method on the requested resource");
    if (f.code) {
        respond_failure(r, &f);
    } else if (n == 2) {
        buffer_puts(&b, resources);
        respond_json(r, 200, &b);
    } else if (n == 3 && strcmp(r->segments[2], "namespaces") == 0) {
        r->access = (struct access_request){.verb = ACCESS_LIST};
        request_ask(r, on_functions);
    } else if (n == 4 && strcmp(r->segments[2], "namespaces") == 0) {
        one_namespace(r, r->segments[3]);
    } else if (is_events(r)) {
        notes_answer(r);
    } else {
        failure_set(&f, 404, "NotFound", "the server could not find the requested resource");
        respond_failure(r, &f);
    }
}
