/* runtimes.c - reads DIR/NAME/runtime.json. At start, on the agent's main thread. */
#include "runtime/runtimes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/syscall_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 64 << 10, RUNTIMES_MAX = 64, STRINGS_MAX = 256, NAME_MAX_CHARS = 63 };

struct runtimes {
    struct runtime *all[RUNTIMES_MAX];
    size_t count;
};

static void strings_free(char **s)
{
    for (size_t i = 0; s && s[i]; i++)
        free(s[i]);
    free(s);
}

static struct runtime *runtime_free(struct runtime *r)
{
    if (r) {
        free(r->name);
        free(r->version);
        free(r->digest);
        free(r->rootfs);
        strings_free(r->argv);
        strings_free(r->env);
        strings_free(r->syscalls);
        strings_free(r->parked_env);
        free(r);
    }
    return NULL;
}

static int string_of(struct json_object *o, const char *field, bool needed, char **ret, struct err *e)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, field, &v)) {
        if (needed)
            return err_set(e, EINVAL, "%s: missing", field);
        *ret = strdup("");
        return *ret ? 0 : err_set(e, ENOMEM, "out of memory");
    }
    if (!json_object_is_type(v, json_type_string) || !json_object_get_string_len(v))
        return err_set(e, EINVAL, "%s: must be a string that is not empty", field);
    *ret = strdup(json_object_get_string(v));
    return *ret ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int strings_of(struct json_object *v, const char *field, char ***ret, struct err *e)
{
    size_t n = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;

    if (!n || n > STRINGS_MAX)
        return err_set(e, EINVAL, "%s: must be an array of 1 to %d strings", field, STRINGS_MAX);
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct json_object *s = json_object_array_get_idx(v, i);

        if (!json_object_is_type(s, json_type_string))
            return err_set(e, EINVAL, "%s[%zu]: must be a string", field, i);
        (*ret)[i] = strdup(json_object_get_string(s));
        if (!(*ret)[i])
            return err_set(e, ENOMEM, "out of memory");
    }
    return 0;
}

static int argv_of(struct json_object *o, char ***ret, struct err *e)
{
    struct json_object *v = NULL;
    int r;

    json_object_object_get_ex(o, "argv", &v);
    r = strings_of(v, "argv", ret, e);
    if (r == 0 && (*ret)[0][0] != '/')
        return err_set(e, EINVAL, "argv[0]: must be an absolute path");
    return r;
}

static int syscalls_of(struct json_object *o, char ***ret, struct err *e)
{
    struct json_object *v;
    int r;

    if (!json_object_object_get_ex(o, "syscalls", &v))
        return 0;
    r = strings_of(v, "syscalls", ret, e);
    for (size_t i = 0; r == 0 && (*ret)[i]; i++)
        if ((r = syscall_list_check((*ret)[i], e)) < 0)
            return err_wrap(e, "syscalls[%zu]", i);
    return r;
}

static int env_of(struct json_object *o, char ***ret, struct err *e)
{
    struct json_object *v = NULL;
    size_t n = 0, at = 0;

    if (json_object_object_get_ex(o, "env", &v)) {
        if (!json_object_is_type(v, json_type_object))
            return err_set(e, EINVAL, "env: must be an object of strings");
        n = (size_t)json_object_object_length(v);
        if (n > STRINGS_MAX)
            return err_set(e, EINVAL, "env: must have at most %d entries", STRINGS_MAX);
    }
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        return err_set(e, ENOMEM, "out of memory");
    if (!n)
        return 0;
    json_object_object_foreach(v, key, value)
    {
        if (!json_object_is_type(value, json_type_string) || !*key || strchr(key, '='))
            return err_set(e, EINVAL, "env.%s: must be a string", key);
        if (asprintf(&(*ret)[at], "%s=%s", key, json_object_get_string(value)) < 0) {
            (*ret)[at] = NULL;
            return err_set(e, ENOMEM, "out of memory");
        }
        at++;
    }
    return 0;
}

static int protocol_of(struct json_object *o, enum runtime_protocol *ret, struct err *e)
{
    struct json_object *v;
    const char *s =
        json_object_object_get_ex(o, "protocol", &v) ? json_object_get_string(v) : "frames";

    if (s && !strcmp(s, "frames"))
        *ret = RUNTIME_FRAMES;
    else if (s && !strcmp(s, "any"))
        *ret = RUNTIME_ANY;
    else
        return err_set(e, EINVAL, "protocol: must be \"frames\" or \"any\"");
    return 0;
}

static int park_of(struct json_object *o, enum runtime_park *ret, struct err *e)
{
    struct json_object *v;
    const char *s;

    *ret = RUNTIME_PARK_NONE;
    if (!json_object_object_get_ex(o, "park", &v))
        return 0;
    s = json_object_get_string(v);
    if (s && !strcmp(s, "interpreter"))
        *ret = RUNTIME_PARK_INTERPRETER;
    else if (s && !strcmp(s, "zygote"))
        *ret = RUNTIME_PARK_ZYGOTE;
    else
        return err_set(e, EINVAL, "park: must be \"interpreter\" or \"zygote\"");
    return 0;
}

static int parked_env_of(struct runtime *r, struct err *e)
{
    size_t n = 0;

    while (r->env[n])
        n++;
    r->parked_env = calloc(n + 2, sizeof(*r->parked_env));
    for (size_t i = 0; r->parked_env && i <= n; i++)
        if (!(r->parked_env[i] = strdup(i < n ? r->env[i] : "ROUSE_PARKED=1")))
            return err_set(e, ENOMEM, "out of memory");
    return r->parked_env ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int runtime_fill(struct runtime *r, struct json_object *o, const char *dir, const char *name,
                        struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    int n;

    if (!json_object_is_type(o, json_type_object))
        return err_set(e, EINVAL, "must be a JSON object");
    n = string_of(o, "name", true, &r->name, e);
    if (n == 0)
        n = string_of(o, "version", false, &r->version, e);
    if (n == 0)
        n = string_of(o, "digest", false, &r->digest, e);
    if (n == 0)
        n = argv_of(o, &r->argv, e);
    if (n == 0)
        n = env_of(o, &r->env, e);
    if (n == 0)
        n = protocol_of(o, &r->protocol, e);
    if (n == 0)
        n = park_of(o, &r->park, e);
    if (n == 0)
        n = syscalls_of(o, &r->syscalls, e);
    if (n == 0)
        n = parked_env_of(r, e);
    if (n == 0 && r->park && r->protocol != RUNTIME_FRAMES)
        n = err_set(e, EINVAL, "park: needs the protocol \"frames\"");
    if (n < 0)
        return n;
    if (strcmp(r->name, name))
        return err_set(e, EINVAL, "name: is \"%.64s\" in the directory \"%s\"", r->name, name);
    if (snprintf(path, sizeof(path), "%s/%s/rootfs", dir, name) >= (int)sizeof(path))
        return err_set(e, ENAMETOOLONG, "rootfs: path too long");
    r->rootfs = realpath(path, NULL);
    if (!r->rootfs)
        return err_errno(e, errno, "rootfs");
    if (stat(r->rootfs, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "rootfs: not a directory");
    return 0;
}

static int runtime_read(const char *dir, const char *name, struct runtime **ret, struct err *e)
{
    char path[PATH_MAX];
    cleanup_buffer struct buffer text = {0};
    struct json_object *o;
    struct runtime *r;
    int n;

    if (snprintf(path, sizeof(path), "%s/%s/runtime.json", dir, name) >= (int)sizeof(path))
        return err_set(e, ENAMETOOLONG, "path too long");
    n = file_read(AT_FDCWD, path, FILE_MAX, &text);
    if (n < 0)
        return err_errno(e, -n, "read");
    if (buffer_append(&text, "", 1) < 0)
        return err_set(e, ENOMEM, "out of memory");
    o = json_tokener_parse((const char *)buffer_bytes(&text));
    if (!o)
        return err_set(e, EINVAL, "not JSON");
    r = calloc(1, sizeof(*r));
    n = r ? runtime_fill(r, o, dir, name, e) : err_set(e, ENOMEM, "out of memory");
    json_object_put(o);
    if (n < 0) {
        runtime_free(r);
        return n;
    }
    *ret = r;
    return 0;
}

/* A directory that has no runtime.json is none of ours (lost+found, a half-built one): left out
 * silently. */
static bool is_runtime(const char *dir, const char *name)
{
    char path[PATH_MAX];

    return name[0] != '.' && strlen(name) <= NAME_MAX_CHARS &&
           snprintf(path, sizeof(path), "%s/%s/runtime.json", dir, name) < (int)sizeof(path) &&
           access(path, F_OK) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct runtime *const *)a)->name, (*(struct runtime *const *)b)->name);
}

int runtimes_load(const char *dir, struct runtimes **ret, struct err *e)
{
    struct runtimes *all = calloc(1, sizeof(*all));
    struct dirent *entry;
    DIR *d;

    if (!all)
        return err_set(e, ENOMEM, "out of memory");
    d = opendir(dir);
    if (!d) {
        free(all);
        return err_errno(e, errno, "runtimes: %s", dir);
    }
    while ((entry = readdir(d))) {
        struct runtime *r = NULL;
        struct err why = {0};

        if (!is_runtime(dir, entry->d_name))
            continue;
        if (all->count == RUNTIMES_MAX) {
            log_warn("runtimes: more than %d in %s, the rest is left out", RUNTIMES_MAX, dir);
            break;
        }
        if (runtime_read(dir, entry->d_name, &r, &why) < 0)
            log_warn("runtimes: %s/%s/runtime.json is left out: %s", dir, entry->d_name, why.message);
        else
            all->all[all->count++] = r;
    }
    closedir(d);
    qsort(all->all, all->count, sizeof(struct runtime *), by_name);
    *ret = all;
    return 0;
}

struct runtimes *runtimes_free(struct runtimes *r)
{
    for (size_t i = 0; r && i < r->count; i++)
        runtime_free(r->all[i]);
    free(r);
    return NULL;
}

const struct runtime *runtimes_get(const struct runtimes *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->all[i]->name, name))
            return r->all[i];
    return NULL;
}

size_t runtimes_count(const struct runtimes *r)
{
    return r->count;
}

const struct runtime *runtimes_at(const struct runtimes *r, size_t i)
{
    return r->all[i];
}
