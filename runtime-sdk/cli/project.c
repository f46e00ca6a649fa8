#include "cli/project.h"
#include "cli/template.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- code in the manifest */

/* Below the code and nowhere else. */
static bool name_ok(const char *name)
{
    for (const char *at = name;; at++) {
        size_t n = strcspn(at, "/");

        if (!n || (n == 1 && at[0] == '.') || (n == 2 && !strncmp(at, "..", 2)))
            return false;
        at += n;
        if (!*at)
            return true;
    }
}

static int unpack_one(const char *dir, const char *name, struct json_object *text, bool executable,
                      struct err *e)
{
    char path[2 * PATH_MAX];
    int r;

    if (!name_ok(name) || !json_object_is_type(text, json_type_string) ||
        snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX)
        return err_set(e, EINVAL, "spec.code.inline: \"%.100s\" is no file below the code", name);
    *strrchr(path, '/') = '\0';
    r = file_mkdirs(path, 0700);
    path[strlen(path)] = '/';
    if (r == 0)
        r = file_write_atomic(path, json_object_get_string(text),
                              (size_t)json_object_get_string_len(text), executable ? 0700 : 0600);
    return r < 0 ? err_errno(e, -r, "%s", path) : 0;
}

static int unpack_archive(const char *archive, const char *dir, struct err *e)
{
    cleanup_fd int from = open(archive, O_RDONLY | O_CLOEXEC);
    cleanup_fd int to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (from < 0 || to < 0)
        return err_errno(e, errno, "%s", from < 0 ? archive : dir);
    return package_unpack(from, to, NULL, e) < 0 ? err_wrap(e, "%s", archive) : 0;
}

int project_unpack(struct project *p, const char *dir, struct err *e)
{
    const char *program = project_program(p);
    int r = *p->archive ? unpack_archive(p->archive, dir, e) : 0;

    if (p->inline_code) {
        json_object_object_foreach(p->inline_code, name, text)
        {
            if (r == 0)
                r = unpack_one(dir, name, text, !strcmp(name, program), e);
        }
    }
    if (r == 0)
        snprintf(p->code_dir, sizeof(p->code_dir), "%s", dir);
    return r;
}

/* ---------------------------------------------------------------- all of it */

static int find_manifest(const char *where, struct project *p, struct err *e)
{
    char path[2 * PATH_MAX];
    struct stat st;

    if (stat(where, &st) < 0)
        return err_errno(e, errno, "%s", where);
    snprintf(path, sizeof(path), "%s%s", where, S_ISDIR(st.st_mode) ? "/function.yaml" : "");
    if (!realpath(path, p->file)) {
        if (errno != ENOENT)
            return err_errno(e, errno, "%s", path);
        return err_set(e, ENOENT,
                       "%s has no function.yaml: is it a function's directory? `rouse new` makes one",
                       where);
    }
    snprintf(p->dir, sizeof(p->dir), "%.*s", (int)(strrchr(p->file, '/') - p->file), p->file);
    return 0;
}

static int find_function(struct project *p, const char *ns, struct err *e)
{
    struct target t;
    int r = 0;

    for (size_t i = 0; i < json_object_array_length(p->manifest.all) && r == 0; i++) {
        struct json_object *o = json_object_array_get_idx(p->manifest.all, i);

        r = manifest_target(o, ns, &t, e);
        if (r < 0 || strcmp(t.resource->kind, "Function") != 0)
            continue;
        if (p->object)
            return err_set(e, EINVAL,
                           "it has several functions: one at a time is built and run here");
        r = template_name_check(t.name, e);
        if (r == 0)
            r = template_name_check(t.ns, e);
        p->object = o;
        p->function.name = t.name;
        p->function.namespace = t.ns;
    }
    return r == 0 && !p->object ? err_set(e, EINVAL, "there is no Function in it") : r;
}

int project_load(const char *where, const char *ns, struct project *p, struct err *e)
{
    int r;

    memset(p, 0, sizeof(*p));
    r = find_manifest(where ? where : ".", p, e);
    if (r < 0)
        return r;
    r = manifest_load(p->file, &p->manifest, e);
    if (r < 0)
        return r;
    r = find_function(p, ns, e);
    if (r == 0)
        r = project_read_spec(p, e);
    return r < 0 ? err_wrap(e, "%s", p->file) : 0;
}

int project_set_env(struct project *p, const char *assignment, struct err *e)
{
    const char *eq = strchr(assignment, '='), *ours = eq ? NULL : getenv(assignment);
    char *text;
    int n;

    if (!eq && !ours)
        return err_set(e, EINVAL, "%s is not in the environment; NAME=value sets it", assignment);
    if (p->env_count == PROJECT_ENV_MAX)
        return err_set(e, E2BIG, "more than %d environment variables", PROJECT_ENV_MAX);
    n = eq ? asprintf(&text, "%s", assignment) : asprintf(&text, "%s=%s", assignment, ours);
    if (n < 0)
        return err_set(e, ENOMEM, "out of memory");
    p->env[p->env_count++] = text;
    return 0;
}

void project_done(struct project *p)
{
    for (size_t i = 0; i < p->env_count; i++)
        free(p->env[i]);
    free(p->triggers);
    manifest_done(&p->manifest);
}

const char *project_program(const struct project *p)
{
    return p->function.port ? p->function.handler : "bootstrap";
}
