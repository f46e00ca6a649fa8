#include "api/admission_function.h"
#include "api/admission_scaling.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "package/package.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A path below the code: what the agent joins to the directory of it. */
static bool is_path_below(const char *path)
{
    for (const char *at = path;; at++) {
        size_t n = strcspn(at, "/");

        if (!n || (n <= 2 && !strncmp(at, "..", n)))
            return false;
        at += n;
        if (!*at)
            return true;
    }
}

static void check_server(struct admission *a, struct problems *p)
{
    const char *handler = json_object_get_string(json_get(a->spec, "handler"));

    if (json_get(a->spec, "port") && !is_path_below(handler))
        problems_add(p, PROBLEM_INVALID, "spec.handler",
                     "Invalid value: \"%s\": with spec.port it must be the program's path below the "
                     "code, without \".\" and \"..\"",
                     handler);
}

/* Hooks come as frames, and such a program speaks HTTP alone. */
static void check_lifecycle(struct admission *a, struct problems *p)
{
    struct json_object *l = json_get(a->spec, "lifecycle");

    if (json_get(a->spec, "port") &&
        (json_get(l, "initializer") || json_get(l, "preFreeze") || json_get(l, "preStop")))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.lifecycle",
                     "Forbidden: a program that listens on spec.port is not called by hooks");
}

/* A fork is asked for by a frame, which a program that speaks HTTP alone does not read, and only some
 * interpreters come out of it whole. */
static void check_start(struct admission *a, struct problems *p)
{
    static const char *const can_fork[] = {"python3"};
    const char *runtime = json_object_get_string(json_get(a->spec, "runtime"));
    bool forks = !strcmp(json_object_get_string(json_get(a->spec, "start")), "fork"), can = false;

    for (size_t i = 0; i < ARRAY_LEN(can_fork); i++)
        can = can || !strcmp(can_fork[i], runtime);
    if (forks && !can)
        problems_add(p, PROBLEM_FORBIDDEN, "spec.start",
                     "Forbidden: instances of the runtime %s cannot be forked: \"fork\" needs python3",
                     runtime);
    if (forks && json_get(a->spec, "port"))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.start",
                     "Forbidden: a program that listens on spec.port cannot be forked");
    if (!forks && json_get(json_get(a->spec, "lifecycle"), "afterFork"))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.lifecycle.afterFork",
                     "Forbidden: it is called with spec.start: fork only");
}

static void check_selector(struct json_object *selector, struct problems *p)
{
    if (!selector)
        return;
    json_object_object_foreach(selector, key, value)
    {
        const char *why = trait_key_problem(key);

        if (why)
            problems_add(p, PROBLEM_INVALID, "spec.placement.nodeSelector",
                         "Invalid value: \"%.100s\": %s", key, why);
        why = trait_value_problem(json_object_get_string(value));
        if (why)
            problems_add(p, PROBLEM_INVALID, "spec.placement.nodeSelector",
                         "Invalid value: \"%.100s\": %s", json_object_get_string(value), why);
    }
}

static void check_toleration(struct json_object *o, size_t at, struct problems *p)
{
    const char *key = json_object_get_string(json_get(o, "key"));
    bool exists = strcmp(json_object_get_string(json_get(o, "operator")), "Exists") == 0;
    const char *why = key && *key ? trait_key_problem(key) : NULL;
    char path[64];

    snprintf(path, sizeof(path), "spec.placement.tolerations[%zu]", at);
    if (why)
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: \"%.100s\": %s", key, why);
    if ((!key || !*key) && !exists)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: operator must be Exists when there is no key");
    if (exists && json_get(o, "value"))
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: there must be no value with operator Exists");
}

static void check_placement(struct admission *a, struct problems *p)
{
    struct json_object *o = json_get(a->spec, "placement"),
                       *list = o ? json_get(o, "tolerations") : NULL;

    check_selector(o ? json_get(o, "nodeSelector") : NULL, p);
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        check_toleration(json_object_array_get_idx(list, i), i, p);
}

/* The program that is started must be executable; a file in a manifest has no mode. */
static bool is_program(const struct admission *a, const char *name)
{
    return !strcmp(name, "bootstrap") ||
           (json_get(a->spec, "port") &&
            !strcmp(name, json_object_get_string(json_get(a->spec, "handler"))));
}

static int pack_inline(struct admission *a, struct json_object *code)
{
    struct package_file *files = calloc((size_t)json_object_object_length(code) + 1, sizeof(*files));
    struct err e = {0};
    size_t n = 0;
    int r;

    if (!files)
        return -ENOMEM;
    json_object_object_foreach(code, name, value)
    {
        files[n++] = (struct package_file){.name = name,
                                           .data = json_object_get_string(value),
                                           .size = (size_t)json_object_get_string_len(value),
                                           .executable = is_program(a, name)};
    }
    r = package_pack_files(files, n, &a->archive, &e);
    free(files);
    if (r == 0) {
        a->has_inline = true;
        package_digest(buffer_bytes(&a->archive), buffer_size(&a->archive), a->package);
    }
    return r < 0 ? r : 0;
}

static int find_package(struct admission *a, struct problems *p)
{
    struct json_object *code = json_get(a->spec, "code"), *v;

    if ((v = json_get(code, "package"))) {
        snprintf(a->package, sizeof(a->package), "%s", json_object_get_string(v));
        return 0;
    }
    v = json_get(code, "inline");
    if (v && pack_inline(a, v) < 0)
        problems_add(p, PROBLEM_INVALID, "spec.code.inline",
                     "Invalid value: names must be relative, without \"..\", at most 1024 bytes, "
                     "and no name may be "
                     "the folder of another");
    return 0;
}

void admission_check_function(struct admission *a, struct problems *p)
{
    check_server(a, p);
    check_lifecycle(a, p);
    check_start(a, p);
    check_placement(a, p);
    check_scaling(json_get(a->spec, "scaling"), a->no_external, json_get(a->spec, "port"), p);
    if (!p->count)
        find_package(a, p);
}
