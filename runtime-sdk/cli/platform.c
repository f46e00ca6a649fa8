#include "cli/platform.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(struct json_object *o, const char *key, const char *value)
{
    json_object_object_add(o, key, json_object_new_string(value));
}

int platform_text(const struct platform *p, struct buffer *ret)
{
    struct json_object *o = json_object_new_object(), *nodes = json_object_new_array();
    int r;

    put(o, "id", p->id);
    put(o, "api", p->api);
    put(o, "local_api", p->local_api);
    put(o, "front", p->front);
    put(o, "control", p->control);
    put(o, "bridge", p->bridge);
    put(o, "runtimes", p->runtimes);
    put(o, "bin", p->bin);
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct platform_node *n = &p->nodes[i];
        struct json_object *node = json_object_new_object();

        put(node, "name", n->name);
        put(node, "gateway", n->gateway);
        put(node, "metrics", n->metrics);
        put(node, "peer", n->peer);
        put(node, "netns", n->netns);
        if (n->pool[0]) {
            put(node, "pool", n->pool);
            put(node, "flags", n->flags);
            json_object_object_add(node, "leaving", json_object_new_boolean(n->leaving));
        }
        json_object_array_add(nodes, node);
    }
    json_object_object_add(o, "nodes", nodes);
    r = buffer_printf(ret, "%s\n",
                      json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return r;
}

static bool get(struct json_object *o, const char *key, char *out, size_t size)
{
    struct json_object *v;

    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) &&
           (size_t)snprintf(out, size, "%s", json_object_get_string(v)) < size;
}
#define GET(o, to, field) get(o, #field, (to)->field, sizeof((to)->field))

static bool parse_nodes(struct json_object *nodes, struct platform *p)
{
    size_t n = json_object_is_type(nodes, json_type_array) ? json_object_array_length(nodes) : 0;

    if (!n || n > NODES_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(nodes, i);
        struct platform_node *to = &p->nodes[i];

        if (!GET(o, to, name) || !GET(o, to, gateway) || !GET(o, to, metrics) ||
            !GET(o, to, peer) || !GET(o, to, netns) || !to->name[0] || strchr(to->name, '/'))
            return false;
        if (json_object_object_get_ex(o, "pool", NULL) && (!GET(o, to, pool) || !GET(o, to, flags)))
            return false;
        to->leaving = json_object_get_boolean(json_object_object_get(o, "leaving"));
    }
    p->node_count = (unsigned)n;
    return true;
}

int platform_parse(const char *json, size_t n, struct platform *ret)
{
    struct json_tokener *t = json_tokener_new();
    struct json_object *o = n < INT_MAX ? json_tokener_parse_ex(t, json, (int)n) : NULL, *nodes;
    struct platform p = {0};
    bool ok = json_object_is_type(o, json_type_object) && GET(o, &p, id) && GET(o, &p, api) &&
              GET(o, &p, local_api) && GET(o, &p, front) && GET(o, &p, control) &&
              GET(o, &p, bridge) && GET(o, &p, runtimes) && GET(o, &p, bin) &&
              json_object_object_get_ex(o, "nodes", &nodes) && parse_nodes(nodes, &p);

    json_tokener_free(t);
    json_object_put(o);
    if (!ok)
        return -EINVAL;
    *ret = p;
    return 0;
}

int platform_load(const char *state, struct platform *ret)
{
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof(path), "%s/platform.json", state) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    r = file_read(AT_FDCWD, path, 1 << 20, &b);
    return r < 0 ? r : platform_parse((const char *)buffer_bytes(&b), buffer_size(&b), ret);
}

int platform_node_index(const struct platform *p, const char *name)
{
    for (unsigned i = 0; i < p->node_count; i++)
        if (strcmp(p->nodes[i].name, name) == 0)
            return (int)i;
    return -1;
}

int platform_save(const char *state, const struct platform *p)
{
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];
    int r = platform_text(p, &b);

    if (r == 0 && snprintf(path, sizeof(path), "%s/platform.json", state) >= (int)sizeof(path))
        r = -ENAMETOOLONG;
    return r < 0 ? r : file_write_atomic(path, buffer_bytes(&b), buffer_size(&b), 0644);
}

int platform_default_state(char *out, size_t size)
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_STATE_HOME");
    int n;

    if (geteuid() == 0)
        n = snprintf(out, size, "/var/lib/rouse");
    else if (xdg && xdg[0] == '/')
        n = snprintf(out, size, "%s/rouse", xdg);
    else if (home && home[0] == '/')
        n = snprintf(out, size, "%s/.local/state/rouse", home);
    else
        return -ENOENT;
    return n < (int)size ? 0 : -ENAMETOOLONG;
}

void platform_id(const char *state, char out[16])
{
    char digest[PACKAGE_DIGEST_TEXT];

    package_digest(state, strlen(state), digest);
    snprintf(out, 16, "%.8s", strchr(digest, ':') + 1);
}
