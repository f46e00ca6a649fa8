#include "cli/api.h"
#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define GROUP "rouse.dev"

static const struct resource resources[] = {
    {"functions", "function", "fn", "Function", true, false},
    {"revisions", "revision", "rev", "Revision", true, false},
    {"instances", "instance", "inst", "Instance", true, false},
    {"nodes", "node", "no", "Node", false, false},
    {"nodepools", "nodepool", "np", "NodePool", false, false},
    {"events", "event", "ev", "Event", true, true},
};

const struct resource *resource_find(const char *name)
{
    char plain[64];

    snprintf(plain, sizeof(plain), "%s", name);
    if (strlen(plain) > strlen("." GROUP) &&
        strcmp(plain + strlen(plain) - strlen("." GROUP), "." GROUP) == 0)
        plain[strlen(plain) - strlen("." GROUP)] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        const struct resource *r = &resources[i];

        if (!strcasecmp(plain, r->plural) || !strcasecmp(plain, r->singular) ||
            !strcasecmp(plain, r->shorter))
            return r;
    }
    return NULL;
}

char *api_url(const struct settings *s, const struct resource *r, const char *ns, const char *name)
{
    cleanup_buffer struct buffer b = {0};
    int e = buffer_printf(&b, "%s%s", s->api, r->core ? "/api/v1" : "/apis/" GROUP "/v1");

    if (e == 0 && r->namespaced && ns) {
        e = buffer_puts(&b, "/namespaces/");
        if (e == 0)
            e = http_escape(&b, ns, false);
    }
    if (e == 0)
        e = buffer_printf(&b, "/%s", r->plural);
    if (e == 0 && name) {
        e = buffer_puts(&b, "/");
        if (e == 0)
            e = http_escape(&b, name, false);
    }
    return e < 0 ? NULL : buffer_take_string(&b);
}

struct json_object *api_json(const struct http_response *a)
{
    struct json_tokener *t;
    struct json_object *o;

    if (!buffer_size(&a->body) || buffer_size(&a->body) > INT_MAX)
        return NULL;
    t = json_tokener_new();
    o = json_tokener_parse_ex(t, (const char *)buffer_bytes(&a->body), (int)buffer_size(&a->body));
    json_tokener_free(t);
    return o;
}

struct json_object *json_at(struct json_object *o, const char *path)
{
    while (o && *path) {
        size_t n = strcspn(path, ".");
        char key[64];
        struct json_object *next = NULL;

        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &next))
            return NULL;
        o = next;
        path += n + (path[n] == '.');
    }
    return o;
}

const char *json_text(struct json_object *o, const char *path)
{
    struct json_object *v = json_at(o, path);
    const char *text = v ? json_object_get_string(v) : NULL;

    return text ? text : "";
}

int api_complain(const struct http_response *a)
{
    cleanup_json struct json_object *o = api_json(a);
    const char *message = json_text(o, "message"), *body = (const char *)buffer_bytes(&a->body);
    const char *reason = json_text(o, "reason");
    int line = 0;

    while ((size_t)line < buffer_size(&a->body) && body[line] != '\r' && body[line] != '\n' &&
           body[line])
        line++;

    if (a->status == 401)
        return fail("the server wants a token (--token, $ROUSE_TOKEN or STATE/token)%s%s",
                    *message ? ": " : "", message);
    if (*message)
        return fail("%s%s%s", reason, *reason ? ": " : "", message);
    return fail("the server answered %ld%s%.*s", a->status, line ? ": " : "",
                line < 200 ? line : 200, body);
}

int api_do(const struct settings *s, struct http_request *q, struct http_response *a, long also)
{
    int r;

    q->token = s->token;
    if (!q->timeout_ms && !q->on_data)
        q->timeout_ms = 60000;
    r = http_do(q, a);
    if (r == -ECONNREFUSED)
        return fail("nothing answers at %s. Is the platform running? `rouse up` starts it, `rouse "
                    "status` looks.",
                    s->api);
    if (r < 0)
        return fail("%s", a->error);
    if (a->status >= 200 && a->status < 300)
        return EXIT_DONE;
    return also && a->status == also ? EXIT_DONE : api_complain(a);
}
