/* cmd_node.c - rouse cordon, uncordon, drain: keeps new instances from a node, and moves those that
 * are there. */
#include "cli/api.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int patch(const struct settings *s, const char *node, const char *body)
{
    cleanup_response struct http_response a = {0};
    cleanup_free char *url = api_url(s, resource_find("nodes"), NULL, node);
    struct http_request q = {
        .method = "PATCH",
        .url = url,
        .headers = {"Content-Type: application/merge-patch+json", "Accept: application/json"},
        .body = body,
        .body_size = strlen(body)};

    return url ? api_do(s, &q, &a, 0) : fail("out of memory");
}

/* Instances on it; -1: it is gone. */
static int count(const struct settings *s, const char *node, int64_t *ret)
{
    cleanup_response struct http_response a = {0};
    cleanup_free char *url = api_url(s, resource_find("nodes"), NULL, node);
    struct http_request q = {.method = "GET", .url = url, .headers = {"Accept: application/json"}};
    int r = url ? api_do(s, &q, &a, 404) : fail("out of memory");
    cleanup_json struct json_object *o = r == EXIT_DONE ? api_json(&a) : NULL;

    *ret = a.status == 404 ? -1 : json_object_get_int64(json_at(o, "status.instances"));
    return r;
}

static int wait_empty(const struct settings *s, const char *node, long seconds)
{
    const struct timespec pause = {0, 100 * 1000000};
    uint64_t deadline = clock_monotonic_ns() + (uint64_t)seconds * NS_PER_S;

    for (;;) {
        int64_t left;
        int r = count(s, node, &left);

        if (r != EXIT_DONE || left <= 0)
            return r;
        if (clock_monotonic_ns() >= deadline)
            return fail("%s still has %lld instances after %ld s; it goes on draining, see "
                        "`rouse get instances` and `rouse get functions`",
                        node, (long long)left, seconds);
        nanosleep(&pause, NULL);
    }
}

static int run(const struct command *c, int argc, char **argv)
{
    bool wait = true, drains = c == &command_drain;
    long seconds = 300;
    const struct flag flags[] = {{"wait", 0, FLAG_BOOL, &wait},
                                 {"timeout", 0, FLAG_NUMBER, &seconds}};
    const char *body = drains ? "{\"spec\":{\"unschedulable\":true,\"drain\":true}}"
                       : c == &command_cordon
                           ? "{\"spec\":{\"unschedulable\":true}}"
                           : "{\"spec\":{\"unschedulable\":false,\"drain\":false}}";
    struct settings s = {0};
    struct arguments args;
    int r = flags_parse(c, flags, drains ? ARRAY_LEN(flags) : 0, argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (!args.count)
        return usage(c, "name the nodes");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    for (size_t i = 0; i < args.count; i++) {
        const char *node = args.positional[i];

        r = patch(&s, node, body);
        if (r == EXIT_DONE && drains && wait)
            r = wait_empty(&s, node, seconds);
        if (r != EXIT_DONE)
            return r;
        printf("node.rouse.dev/%s %s\n", node,
               drains                 ? wait ? "drained" : "draining"
               : c == &command_cordon ? "cordoned"
                                      : "uncordoned");
    }
    return EXIT_DONE;
}

const struct command command_cordon = {
    "cordon", "keep new instances away from nodes",
    "Usage: rouse cordon NODE...\n"
    "\n"
    "Those that are there stay. It holds until `rouse uncordon`, also over restarts of the node and "
    "the controller.\n"
    "\n"
    "Examples:\n"
    "  rouse get nodes\n"
    "  rouse cordon node-1\n",
    run};
const struct command command_uncordon = {"uncordon", "end cordon and drain of nodes",
                                         "Usage: rouse uncordon NODE...\n"
                                         "\n"
                                         "New instances may come again; what has not moved yet stays.\n"
                                         "\n"
                                         "Examples:\n"
                                         "  rouse uncordon node-1\n",
                                         run};
const struct command command_drain = {
    "drain", "move all instances away from nodes",
    "Usage: rouse drain NODE... [--timeout SECONDS]\n"
    "\n"
    "Cordons each node and moves its instances: each leaves when another one elsewhere is ready for "
    "it, and\nfinishes the requests it has. Returns when the node has none. No request fails.\n"
    "\n"
    "  --wait=false          return at once\n"
    "  --timeout SECONDS     how long to wait for each node (300)\n"
    "\n"
    "Examples:\n"
    "  rouse drain node-1 && echo it can be switched off\n",
    run};
