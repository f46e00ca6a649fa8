/* target.c - parses the platform's own paths. Pure. */
#include "invoke/target.h"
#include "http/route_pattern.h"

#include <stdio.h>
#include <string.h>

static const char function_prefix[] = "/function/";
static const char invoke_prefix[] = "/2015-03-31/functions/";
static const char invoke_suffix[] = "/invocations";

enum { NAMESPACE_MAX = 63, NAME_MAX_BYTES = 253 };

bool target_name_ok(struct str name, size_t max)
{
    if (!name.n || name.n > max || name.at[0] == '-' || name.at[name.n - 1] == '-')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              (c == '.' && i && i + 1 < name.n)))
            return false;
    }
    return true;
}

static bool key_set(struct target *t, struct str ns, struct str name)
{
    if (!target_name_ok(ns, NAMESPACE_MAX) || !target_name_ok(name, NAME_MAX_BYTES))
        return false;
    snprintf(t->function_key, sizeof(t->function_key), "%.*s/%.*s", (int)ns.n, ns.at, (int)name.n,
             name.at);
    return true;
}

/* Cuts what lies before the first `at` off `s`; false without one. `s` begins with `at` after. */
static bool cut(struct str *s, char at, struct str *ret_before)
{
    const char *p = memchr(s->at, at, s->n);

    if (!p)
        return false;
    *ret_before = (struct str){s->at, (size_t)(p - s->at)};
    *s = (struct str){p, s->n - ret_before->n};
    return true;
}

static bool take_prefix(struct str *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s->n < n || memcmp(s->at, prefix, n) != 0)
        return false;
    *s = (struct str){s->at + n, s->n - n};
    return true;
}

static bool parse_function(struct str rest, struct target *t)
{
    struct str ns, name;

    if (!cut(&rest, '/', &ns))
        return false;
    rest = (struct str){rest.at + 1, rest.n - 1};
    if (!cut(&rest, '/', &name)) {
        name = rest;
        rest = STR("/");
    }
    t->raw_path = rest;
    return key_set(t, ns, name);
}

static bool parse_invoke(struct str rest, struct target *t)
{
    char text[FUNCTION_KEY_MAX];
    struct str ns = STR("default"), name;
    int n;

    if (!cut(&rest, '/', &name) || !str_eq(rest, invoke_suffix))
        return false;
    n = http_percent_decode(name, text, sizeof(text));
    if (n < 0)
        return false;
    name = (struct str){text, (size_t)n};
    if (cut(&name, ':', &ns))
        name = (struct str){name.at + 1, name.n - 1};
    t->raw_path = STR("/");
    return key_set(t, ns, name);
}

/* What no route may have (dot segments, ...) leads to no function by its name either. */
static bool is_passed_on(struct str path)
{
    char buffer[HTTP_TARGET_MAX];
    struct str canonical;

    return path.n <= sizeof(buffer) && route_path_canonical(path, buffer, &canonical) == 0;
}

void target_parse(struct str path, struct target *ret)
{
    struct str rest = path;

    *ret = (struct target){.kind = TARGET_PATH, .raw_path = path};
    if (take_prefix(&rest, function_prefix)) {
        if (is_passed_on(path) && parse_function(rest, ret))
            ret->kind = TARGET_FUNCTION;
    } else if (take_prefix(&rest, invoke_prefix)) {
        if (is_passed_on(path) && parse_invoke(rest, ret))
            ret->kind = TARGET_INVOKE;
    }
    if (ret->kind == TARGET_PATH) {
        ret->function_key[0] = '\0';
        ret->raw_path = path;
    }
}
