/* cmd_delete.c - rouse delete: returns when the object is gone, so that what follows sees it gone.
 */
#include "cli/manifest.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Gone, or another object of that name already. */
static int wait_gone(const struct settings *s, const char *url, const char *uid, const char *name,
                     long seconds)
{
    uint64_t deadline = clock_monotonic_ns() + (uint64_t)seconds * NS_PER_S;
    long pause_ms = 10;

    for (;;) {
        cleanup_response struct http_response a = {0};
        struct http_request q = {.method = "GET", .url = url, .headers = {"Accept: application/json"}};
        int r = api_do(s, &q, &a, 404);
        cleanup_json struct json_object *o = NULL;
        struct timespec pause = {0, pause_ms * 1000000};

        if (r != EXIT_DONE || a.status == 404)
            return r;
        o = api_json(&a);
        if (*uid && strcmp(uid, json_text(o, "metadata.uid")) != 0)
            return EXIT_DONE;
        if (clock_monotonic_ns() >= deadline)
            return fail("%s is marked as deleted but still there after %ld s", name, seconds);
        nanosleep(&pause, NULL);
        pause_ms = pause_ms < 250 ? pause_ms * 2 : 250;
    }
}

static int delete_one(const struct settings *s, const struct target *t, bool wait, long seconds,
                      bool ignore)
{
    static const char body[] = "{\"propagationPolicy\":\"Background\"}";
    cleanup_response struct http_response a = {0};
    cleanup_free char *url = api_url(s, t->resource, t->ns, t->name);
    struct http_request q = {.method = "DELETE",
                             .url = url,
                             .headers = {"Content-Type: application/json", "Accept: application/json"},
                             .body = body,
                             .body_size = sizeof(body) - 1};
    cleanup_json struct json_object *o = NULL;
    const char *uid;
    int r;

    if (!url)
        return fail("out of memory");
    r = api_do(s, &q, &a, ignore ? 404 : 0);
    if (r != EXIT_DONE || a.status == 404)
        return r;
    o = api_json(&a);
    uid = json_text(o, strcmp(json_text(o, "kind"), "Status") == 0 ? "details.uid" : "metadata.uid");
    r = wait ? wait_gone(s, url, uid, t->name, seconds) : EXIT_DONE;
    if (r == EXIT_DONE)
        printf("%s.rouse.dev \"%s\" deleted\n", t->resource->singular, t->name);
    return r;
}

static int delete_file(const struct settings *s, const char *file, bool wait, long seconds,
                       bool ignore)
{
    cleanup_manifest struct manifest m = {0};
    struct err e = {0};
    int worst = EXIT_DONE;

    if (manifest_load(file, &m, &e) < 0)
        return fail("%s", e.message);
    for (size_t i = 0; i < json_object_array_length(m.all); i++) {
        struct target t;
        int r = manifest_target(json_object_array_get_idx(m.all, i), s->ns, &t, &e);

        r = r < 0 ? fail("%s", e.message) : delete_one(s, &t, wait, seconds, ignore);
        if (r != EXIT_DONE)
            worst = r;
    }
    return worst;
}

static int run_delete(const struct command *c, int argc, char **argv)
{
    const char *file = NULL;
    bool wait = true, ignore = false;
    long seconds = 60;
    const struct flag flags[] = {{"filename", 'f', FLAG_TEXT, &file},
                                 {"wait", 0, FLAG_BOOL, &wait},
                                 {"timeout", 0, FLAG_NUMBER, &seconds},
                                 {"ignore-not-found", 0, FLAG_BOOL, &ignore}};
    struct settings s = {0};
    struct arguments args;
    const struct resource *resource = resource_find("functions");
    size_t first = 0;
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args), worst = EXIT_DONE;

    if (r >= 0)
        return r;
    if (!args.count == !file)
        return usage(c, "name the functions, or a file with -f, one of both");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    if (file)
        return delete_file(&s, file, wait, seconds, ignore);
    /* As in kubectl, a word for the kind may stand before the names. */
    if (args.count > 1 && resource_find(args.positional[0]))
        resource = resource_find(args.positional[first++]);
    for (size_t i = first; i < args.count; i++) {
        struct target t = {resource, s.ns, args.positional[i]};

        r = delete_one(&s, &t, wait, seconds, ignore);
        if (r != EXIT_DONE)
            worst = r;
    }
    return worst;
}

const struct command command_delete = {
    "delete", "delete functions and wait until they are gone",
    "Usage: rouse delete [KIND] NAME... | -f FILE\n"
    "\n"
    "Deletes functions. Requests that run are finished; when the command returns, the path answers "
    "404.\n"
    "Of other kinds: a nodepool, with its nodes; a node that is gone (one whose agent is connected is refused).\n"
    "\n"
    "  -f, --filename FILE   delete what this file applies; - is stdin\n"
    "  --wait=false          return at once\n"
    "  --timeout SECONDS     how long to wait (60)\n"
    "  --ignore-not-found    what is not there is no error\n"
    "\n"
    "Examples:\n"
    "  rouse delete hello\n"
    "  rouse delete -f deploy/examples/hello.yaml\n"
    "  rouse delete node node-3\n"
    "  rouse delete hello world --ignore-not-found\n",
    run_delete};
