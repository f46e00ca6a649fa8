/* project_spec.c - the fields of a manifest's spec that building and running here need. */
#include "base/cleanup.h"
#include "base/quantity.h"
#include "cli/project.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- fields */

static int bad(struct err *e, const char *field, const char *what)
{
    return err_set(e, EINVAL, "spec.%s: %s", field, what);
}

static const char *text_of(struct json_object *spec, const char *field, const char *otherwise)
{
    struct json_object *v = json_at(spec, field);

    if (!v)
        return otherwise;
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

/* A text, or a plain number as one. */
static const char *quantity_of(struct json_object *spec, const char *field, const char *otherwise)
{
    struct json_object *v = json_at(spec, field);

    if (json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double))
        return json_object_get_string(v);
    return text_of(spec, field, otherwise);
}

/* An integer from `least` to `most`, or what it is where there is none. */
static int number_of(struct json_object *spec, const char *field, int64_t least, int64_t most,
                     int64_t *value, struct err *e)
{
    struct json_object *v = json_at(spec, field);

    if (!v)
        return 0;
    if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < least ||
        json_object_get_int64(v) > most)
        return err_set(e, EINVAL, "spec.%s: a number from %lld to %lld", field, (long long)least,
                       (long long)most);
    *value = json_object_get_int64(v);
    return 0;
}

/* "module.function"; NULL where there is none. */
static int read_hook(struct json_object *spec, const char *field, const char **ret, struct err *e)
{
    *ret = text_of(spec, field, "");
    if (!*ret)
        return bad(e, field, "the name of a function of the code");
    *ret = **ret ? *ret : NULL;
    return 0;
}

static int read_lifecycle(struct json_object *spec, struct local_function *f, struct err *e)
{
    const char *limit = text_of(spec, "lifecycle.initializerTimeout", "10s"),
               *start = text_of(spec, "start", "exec");
    uint64_t ns;
    int r = read_hook(spec, "lifecycle.initializer", &f->initializer, e);

    if (r == 0)
        r = read_hook(spec, "lifecycle.preStop", &f->pre_stop, e);
    if (r == 0)
        r = read_hook(spec, "lifecycle.afterFork", &f->after_fork, e);
    if (r < 0)
        return r;
    if (!start || (strcmp(start, "exec") != 0 && strcmp(start, "fork") != 0))
        return bad(e, "start", "exec or fork");
    if (f->after_fork && strcmp(start, "fork") != 0)
        return bad(e, "lifecycle.afterFork", "with start: fork only");
    if (!limit || quantity_duration(limit, &ns) < 0 || ns < 100000000ull || ns > 600000000000ull)
        return bad(e, "lifecycle.initializerTimeout", "a duration from 100ms to 10m");
    f->initializer_timeout_ms = (uint32_t)(ns / 1000000);
    return 0;
}

static int read_limits(struct json_object *spec, struct local_function *f, struct err *e)
{
    const char *timeout = text_of(spec, "timeout", "3s"),
               *memory = quantity_of(spec, "memory", "128Mi"),
               *cpu = quantity_of(spec, "cpu", "500m");
    int64_t concurrency = 1, port = 0;
    uint64_t ns;
    int r;

    if (!timeout || quantity_duration(timeout, &ns) < 0 || ns < 100000000ull || ns > 3600000000000ull)
        return bad(e, "timeout", "a duration from 100ms to 1h");
    f->timeout_ms = (uint32_t)(ns / 1000000);
    if (!memory || quantity_memory(memory, &f->memory) < 0)
        return bad(e, "memory", "a quantity such as 128Mi");
    if (!cpu || quantity_cpu(cpu, &f->cpu_millis) < 0)
        return bad(e, "cpu", "a quantity such as 500m");
    r = number_of(spec, "concurrency", 1, 1000, &concurrency, e);
    if (r == 0)
        r = number_of(spec, "port", 1024, 65535, &port, e);
    f->concurrency = (uint32_t)concurrency;
    f->port = (uint16_t)port;
    return r;
}

static int read_env(struct json_object *spec, struct project *p, struct err *e)
{
    struct json_object *env = json_at(spec, "env");
    size_t n = json_object_is_type(env, json_type_array) ? json_object_array_length(env) : 0;

    if (env && !json_object_is_type(env, json_type_array))
        return bad(e, "env", "a list of {name, value}");
    for (size_t i = 0; i < n; i++) {
        struct json_object *v = json_object_array_get_idx(env, i);
        cleanup_free char *text = NULL;
        int r;

        if (!*json_text(v, "name"))
            return err_set(e, EINVAL, "spec.env[%zu]: a name is required", i);
        if (asprintf(&text, "%s=%s", json_text(v, "name"), json_text(v, "value")) < 0)
            return err_set(e, ENOMEM, "out of memory");
        r = project_set_env(p, text, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---------------------------------------------------------------- triggers */

static int read_methods(struct json_object *methods, size_t at, uint32_t *ret, struct err *e)
{
    size_t n = json_object_is_type(methods, json_type_array) ? json_object_array_length(methods) : 0;

    *ret = n ? 0 : ROUTE_METHODS_ALL;
    for (size_t i = 0; i < n; i++) {
        struct json_object *m = json_object_array_get_idx(methods, i);

        if (!json_object_is_type(m, json_type_string))
            return err_set(e, EINVAL, "spec.triggers[%zu].http.methods: a list of methods", at);
        *ret |= route_method(str_of(json_object_get_string(m)));
    }
    return 0;
}

/* One a host. */
static int read_trigger(struct json_object *http, size_t at, struct project *p, struct err *e)
{
    struct json_object *hosts = json_at(http, "hosts");
    size_t n = json_object_is_type(hosts, json_type_array) ? json_object_array_length(hosts) : 0;
    struct local_function *f = &p->function;
    struct local_trigger t = {.path = json_text(http, "path")}, *more;
    char why[ROUTE_WHY_MAX];
    int r = read_methods(json_at(http, "methods"), at, &t.methods, e);

    if (r < 0)
        return r;
    if (route_pattern_check(str_of(t.path), why) < 0)
        return err_set(e, EINVAL, "spec.triggers[%zu].http.path: %s", at, why);
    more = reallocarray(p->triggers, f->trigger_count + n + 1, sizeof(*more));
    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    f->triggers = p->triggers = more;
    if (!n)
        more[f->trigger_count++] = t;
    for (size_t i = 0; i < n; i++) {
        t.host = json_object_get_string(json_object_array_get_idx(hosts, i));
        if (!t.host || route_host_check(str_of(t.host), why) < 0)
            return err_set(e, EINVAL, "spec.triggers[%zu].http.hosts: %s", at, why);
        more[f->trigger_count++] = t;
    }
    return 0;
}

static int read_triggers(struct json_object *spec, struct project *p, struct err *e)
{
    struct json_object *all = json_at(spec, "triggers");
    size_t n = json_object_is_type(all, json_type_array) ? json_object_array_length(all) : 0;
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        struct json_object *http = json_at(json_object_array_get_idx(all, i), "http");

        if (http)
            r = read_trigger(http, i, p, e);
    }
    return r;
}

/* ---------------------------------------------------------------- code */

static int read_code(struct json_object *spec, struct project *p, struct err *e)
{
    struct json_object *path = json_at(spec, "code.path");
    char joined[2 * PATH_MAX];
    const char *given;
    struct stat st;
    int n;

    p->inline_code = json_at(spec, "code.inline");
    if (json_object_is_type(p->inline_code, json_type_object))
        return 0;
    if (!json_object_is_type(path, json_type_string))
        return bad(e, "code", "path or inline: nothing else can be built or run here");
    given = json_object_get_string(path);
    while (!strncmp(given, "./", 2))
        given += 2;
    if (!*given || !strcmp(given, "."))
        n = snprintf(joined, sizeof(joined), "%s", p->dir);
    else
        n = snprintf(joined, sizeof(joined), "%s%s%s", given[0] == '/' ? "" : p->dir,
                     given[0] == '/' ? "" : "/", given);
    if (n >= PATH_MAX)
        return bad(e, "code.path", "too long");
    memcpy(stat(joined, &st) == 0 && S_ISREG(st.st_mode) ? p->archive : p->code_dir, joined,
           (size_t)n + 1);
    return 0;
}

/* ---------------------------------------------------------------- all of it */

int project_read_spec(struct project *p, struct err *e)
{
    struct json_object *spec = json_at(p->object, "spec");
    struct local_function *f = &p->function;
    int r;

    if (!json_object_is_type(spec, json_type_object))
        return err_set(e, EINVAL, "spec: is required");
    f->runtime = text_of(spec, "runtime", NULL);
    f->handler = text_of(spec, "handler", NULL);
    if (!f->runtime || !*f->runtime)
        return bad(e, "runtime", "is required: provided, python3 or nodejs");
    if (!f->handler || !*f->handler)
        return bad(e, "handler", "is required");
    r = read_limits(spec, f, e);
    if (r == 0)
        r = read_lifecycle(spec, f, e);
    if (r == 0)
        r = read_code(spec, p, e);
    if (r == 0)
        r = read_env(spec, p, e);
    if (r == 0)
        r = read_triggers(spec, p, e);
    f->env = (const char *const *)p->env;
    return r;
}
