/* cmd_get.c - rouse get: one page after the other as a Table, or the objects themselves; -w goes on
 * watching. */
#include "cli/api.h"
#include "cli/table.h"
#include "cli/yaml.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ACCEPT_TABLE "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

enum output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_YAML, OUTPUT_JSON, OUTPUT_NAME };
struct get {
    const struct settings *s;
    const struct resource *resource;
    const char *name;
    const char *selector;
    bool all_namespaces, watch;
    enum output output;
    struct table table;
    char version[64];   /* resourceVersion of the list, where the watch begins */
    struct buffer line; /* of a watch, as far as it has come */
    int failed;
};

static int flush(struct buffer *b)
{
    if (buffer_size(b))
        fwrite(buffer_bytes(b), 1, buffer_size(b), stdout);
    buffer_clear(b);
    return fflush(stdout) == 0 ? EXIT_DONE : fail("cannot write: %s", strerror(errno));
}

static void print_name(const struct resource *r, struct json_object *o)
{
    printf("%s%s/%s\n", r->singular, r->core ? "" : ".rouse.dev", json_text(o, "metadata.name"));
}

static int print_names(struct get *g, struct json_object *o)
{
    struct json_object *items = json_at(o, "items");

    if (!json_object_is_type(items, json_type_array)) {
        print_name(g->resource, o);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < json_object_array_length(items); i++)
        print_name(g->resource, json_object_array_get_idx(items, i));
    return EXIT_DONE;
}

/* Who set which field is for `kubectl get --show-managed-fields`: people would not find the rest.
 */
static void drop_managed_fields(struct json_object *o)
{
    struct json_object *items = json_at(o, "items"), *metadata = json_at(o, "metadata");

    if (json_object_is_type(metadata, json_type_object))
        json_object_object_del(metadata, "managedFields");
    for (size_t i = 0;
         json_object_is_type(items, json_type_array) && i < json_object_array_length(items); i++)
        drop_managed_fields(json_object_array_get_idx(items, i));
}

static int print_object(struct get *g, struct json_object *o)
{
    cleanup_buffer struct buffer b = {0};
    int r = 0;

    if (g->output == OUTPUT_NAME)
        return print_names(g, o);
    if (g->output == OUTPUT_YAML || g->output == OUTPUT_JSON)
        drop_managed_fields(o);
    if (g->output == OUTPUT_YAML) {
        r = g->watch ? buffer_puts(&b, "---\n") : 0;
        if (r == 0)
            r = yaml_emit(o, &b);
    } else if (g->output == OUTPUT_JSON) {
        r = buffer_printf(&b, "%s\n",
                          json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
                                                                JSON_C_TO_STRING_SPACED |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        r = table_print(&g->table, o, &b);
    }
    if (r == -EINVAL)
        return fail("the server answered with something that is no Table");
    return r < 0 ? fail("out of memory") : flush(&b);
}

static char *url_of(const struct get *g, bool one, const char *query)
{
    cleanup_free char *base =
        api_url(g->s, g->resource, g->all_namespaces ? NULL : g->s->ns, one ? g->name : NULL);
    cleanup_buffer struct buffer b = {0};
    int r = base ? buffer_printf(&b, "%s?%s", base, query) : -ENOMEM;

    if (r == 0 && g->name && !one) {
        r = buffer_puts(&b, "&fieldSelector=metadata.name%3D");
        if (r == 0)
            r = http_escape(&b, g->name, false);
    }
    if (r == 0 && g->selector) {
        r = buffer_puts(&b, "&labelSelector=");
        if (r == 0)
            r = http_escape(&b, g->selector, false);
    }
    return r < 0 ? NULL : buffer_take_string(&b);
}

static const char *accept_header(const struct get *g)
{
    return g->output <= OUTPUT_WIDE ? ACCEPT_TABLE : "Accept: application/json";
}

static int get_page(struct get *g, const char *url, char *next, size_t size)
{
    cleanup_response struct http_response a = {0};
    struct http_request q = {.method = "GET", .url = url, .headers = {accept_header(g)}};
    cleanup_json struct json_object *o = NULL;
    int r = api_do(g->s, &q, &a, 0);

    if (r != EXIT_DONE)
        return r;
    o = api_json(&a);
    if (!o)
        return fail("%s answered with something that is no JSON", g->s->api);
    snprintf(g->version, sizeof(g->version), "%s", json_text(o, "metadata.resourceVersion"));
    snprintf(next, size, "%s", json_text(o, "metadata.continue"));
    return print_object(g, o);
}

/* For people in pages; as one document, which pages would not be, where a program reads it. */
static int get_list(struct get *g)
{
    bool one_namespace = g->resource->namespaced && !g->all_namespaces;
    char next[2048] = "";
    int r;

    do {
        cleanup_buffer struct buffer query = {0};
        cleanup_free char *text = NULL, *url = NULL;

        buffer_puts(&query, g->output == OUTPUT_YAML || g->output == OUTPUT_JSON ? "" : "limit=500");
        if (next[0]) {
            buffer_puts(&query, "&continue=");
            http_escape(&query, next, false);
        }
        text = buffer_take_string(&query);
        url = text ? url_of(g, false, text) : NULL;
        if (!url)
            return fail("out of memory");
        r = get_page(g, url, next, sizeof(next));
    } while (r == EXIT_DONE && next[0]);
    if (r == EXIT_DONE && !g->table.header_done && g->output <= OUTPUT_WIDE && !g->watch)
        fprintf(stderr, "No %s found%s%s.\n", g->resource->plural,
                one_namespace ? " in namespace " : "", one_namespace ? g->s->ns : "");
    return r;
}

static int get_one(struct get *g)
{
    cleanup_free char *url = url_of(g, true, "");
    char next[16];

    return url ? get_page(g, url, next, sizeof(next)) : fail("out of memory");
}

static bool watch_event(struct get *g, const char *text, size_t n)
{
    struct json_tokener *t = json_tokener_new();
    cleanup_json struct json_object *o = json_tokener_parse_ex(t, text, (int)n);
    const char *type = json_text(o, "type");

    json_tokener_free(t);
    if (strcmp(type, "ERROR") == 0) {
        g->failed = fail("%s", json_text(o, "object.message"));
        return false;
    }
    if (strcmp(type, "BOOKMARK") != 0 && *type)
        g->failed = print_object(g, json_at(o, "object"));
    return g->failed == EXIT_DONE;
}

static bool on_watch(void *user, const char *data, size_t n)
{
    struct get *g = user;

    if (buffer_append(&g->line, data, n) < 0) {
        g->failed = fail("an event of the watch is larger than 16 MiB");
        return false;
    }
    for (;;) {
        const char *p = (const char *)buffer_bytes(&g->line);
        const char *end = buffer_size(&g->line) ? memchr(p, '\n', buffer_size(&g->line)) : NULL;

        if (!end)
            return true;
        if (!watch_event(g, p, (size_t)(end - p)))
            return false;
        buffer_consume(&g->line, (size_t)(end - p) + 1);
    }
}

static int watch(struct get *g)
{
    cleanup_response struct http_response a = {0};
    cleanup_buffer struct buffer query = {0};
    cleanup_free char *text = NULL, *url = NULL;
    struct http_request q = {
        .method = "GET", .headers = {accept_header(g)}, .on_data = on_watch, .user = g};
    int r;

    buffer_puts(&query, "watch=true&allowWatchBookmarks=true&resourceVersion=");
    http_escape(&query, g->version, false);
    text = buffer_take_string(&query);
    url = text ? url_of(g, false, text) : NULL;
    if (!url)
        return fail("out of memory");
    q.url = url;
    g->line.limit = 16 << 20;
    r = api_do(g->s, &q, &a, 0);
    buffer_done(&g->line);
    return r != EXIT_DONE ? r : g->failed;
}

static int parse_output(const struct command *c, const char *text, enum output *ret)
{
    static const char *const names[] = {"", "wide", "yaml", "json", "name"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum output)i;
            return -1;
        }
    return usage(c, "-o is wide, yaml, json or name, not \"%s\"", text);
}

static int run_get(const struct command *c, int argc, char **argv)
{
    const char *output = "";
    struct settings s = {0};
    struct get g = {.s = &s};
    const struct flag flags[] = {{"output", 'o', FLAG_TEXT, &output},
                                 {"watch", 'w', FLAG_BOOL, &g.watch},
                                 {"selector", 'l', FLAG_TEXT, &g.selector},
                                 {"all-namespaces", 'A', FLAG_BOOL, &g.all_namespaces}};
    struct arguments args;
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r < 0)
        r = parse_output(c, output, &g.output);
    if (r >= 0)
        return r;
    if (args.count > 2)
        return usage(c, "one name at most, \"%s\" is too many", args.positional[2]);
    g.resource = resource_find(args.count ? args.positional[0] : "functions");
    g.name = args.count > 1 ? args.positional[1] : NULL;
    if (!g.resource)
        return usage(
            c, "there is no \"%s\": functions, revisions, instances, nodes, nodepools and events are",
            args.positional[0]);
    if (g.name && g.all_namespaces)
        return usage(c, "a name lives in one namespace: -A does not go with it");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    g.table.wide = g.output == OUTPUT_WIDE;
    g.table.namespaces = g.all_namespaces && g.resource->namespaced;
    r = g.name ? get_one(&g) : get_list(&g);
    if (r != EXIT_DONE || !g.watch)
        return r;
    return watch(&g);
}

const struct command command_get = {
    "get", "list functions, revisions, instances, nodes, node pools or events",
    "Usage: rouse get [functions|revisions|instances|nodes|nodepools|events] [NAME]\n"
    "\n"
    "  -o, --output FORMAT    wide, yaml, json or name\n"
    "  -w, --watch            go on and print what changes\n"
    "  -l, --selector LABELS  only those with these labels: team=a,tier!=test\n"
    "  -A, --all-namespaces   of all namespaces\n"
    "\n"
    "Examples:\n"
    "  rouse get\n"
    "  rouse get function hello -o yaml\n"
    "  rouse get instances -A -o wide\n"
    "  rouse get nodes -w\n"
    "  rouse get events\n",
    run_get};
