/* cmd_status.c - rouse status: which processes run, where, and what the API says. */
#include "cli/api.h"
#include "cli/daemons.h"
#include "cli/process.h"
#include "cli/table.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ACCEPT_TABLE "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

static bool print_process(const char *state, const char *name, const char *url)
{
    struct process p;
    bool alive = process_read(state, name, &p) == 0 && process_alive(&p);

    if (alive)
        printf("%-16s %srunning%s      %-24s pid %d\n", name, color_good(), color_off(), url,
               (int)p.pid);
    else
        printf("%-16s %snot running%s  %s\n", name, color_bad(), color_off(), url);
    return alive;
}

static struct json_object *list(const struct settings *s, const char *what, const char *accept,
                                int *ret)
{
    cleanup_response struct http_response a = {0};
    cleanup_free char *url = api_url(s, resource_find(what), NULL, NULL);
    struct http_request q = {.method = "GET", .url = url, .headers = {accept}, .timeout_ms = 5000};

    *ret = url ? api_do(s, &q, &a, 0) : fail("out of memory");
    return *ret == EXIT_DONE ? api_json(&a) : NULL;
}

static int print_api(const struct settings *s)
{
    cleanup_buffer struct buffer b = {0};
    struct table t = {0};
    int r;
    cleanup_json struct json_object *functions = list(s, "functions", "Accept: application/json", &r);
    cleanup_json struct json_object *nodes =
        r == EXIT_DONE ? list(s, "nodes", ACCEPT_TABLE, &r) : NULL;
    struct json_object *items = json_at(functions, "items");
    size_t n;

    if (r != EXIT_DONE)
        return r;
    n = json_object_is_type(items, json_type_array) ? json_object_array_length(items) : 0;
    printf("\n%zu function%s\n\n", n, n == 1 ? "" : "s");
    if (table_print(&t, nodes, &b) == 0 && buffer_size(&b))
        fwrite(buffer_bytes(&b), 1, buffer_size(&b), stdout);
    return EXIT_DONE;
}

static int run_status(const struct command *c, int argc, char **argv)
{
    static struct platform p;
    struct settings s = {0};
    struct arguments args;
    bool api, all;
    int r = flags_parse(c, NULL, 0, argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count)
        return usage(c, "unexpected \"%s\"", args.positional[0]);
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    if (!s.state || platform_load(s.state, &p) < 0) {
        printf("Nothing runs in %s. `rouse up` starts the platform.\n",
               s.state ? s.state : "(no directory)");
        return EXIT_NOT_RUNNING;
    }
    all = api = print_process(s.state, CONTROLLER_NAME, p.api);
    for (unsigned i = 0; i < p.node_count; i++) {
        char name[80];

        daemon_agent_name(&p.nodes[i], name);
        all &= print_process(s.state, name, p.nodes[i].gateway);
    }
    printf("%sstate and logs   %s%s\n", color_dim(), s.state, color_off());
    if (api && print_api(&s) != EXIT_DONE)
        return EXIT_FAILED;
    return all ? EXIT_DONE : EXIT_NOT_RUNNING;
}

const struct command command_status = {
    "status", "show what runs and where",
    "Usage: rouse status [--state DIR]\n"
    "\n"
    "Exit status 3: something of the platform does not run.\n"
    "\n"
    "Examples:\n"
    "  rouse status\n"
    "  rouse status --state /tmp/second || rouse up --state /tmp/second --port-offset 100\n",
    run_status};
