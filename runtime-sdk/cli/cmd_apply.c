/* cmd_apply.c - rouse apply: packs what code.path names, uploads it, applies on the server. */
#include "cli/apply.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PACKED_MAX = 256 << 20 }; /* package_limits' own default */

static bool is_there(const struct settings *s, const char *url)
{
    cleanup_response struct http_response a = {0};
    struct http_request q = {.method = "HEAD", .url = url, .token = s->token, .timeout_ms = 30000};

    return http_do(&q, &a) == 0 && a.status == 200;
}

static int upload(const struct settings *s, const struct buffer *package, const char *digest)
{
    cleanup_response struct http_response a = {0};
    char url[PATH_MAX];
    struct http_request q = {.method = "PUT",
                             .url = url,
                             .headers = {"Content-Type: application/octet-stream"},
                             .body = buffer_bytes(package),
                             .body_size = buffer_size(package),
                             .timeout_ms = 300000};

    if (snprintf(url, sizeof(url), "%s/packages/%s", s->api, digest) >= (int)sizeof(url))
        return fail("--api is too long");
    return is_there(s, url) ? EXIT_DONE : api_do(s, &q, &a, 0);
}

static bool has_program(const char *dir, const char *program)
{
    char file[3 * PATH_MAX];
    struct stat st;

    snprintf(file, sizeof(file), "%s/%s", dir, program);
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* A directory is packed; a file that is a package already goes as it is. */
static int make_package(const char *path, struct buffer *ret, struct err *e)
{
    struct stat st;
    int r;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return package_pack_dir(path, NULL, ret, e);
    r = file_read(AT_FDCWD, path, PACKED_MAX, ret);
    if (r == -EFBIG)
        return err_set(e, EFBIG, "%s is larger than %d MiB", path, PACKED_MAX >> 20);
    if (r < 0)
        return err_errno(e, -r, "%s", path);
    if (!package_kind(buffer_bytes(ret), buffer_size(ret)))
        return err_set(e, EINVAL,
                       "%s is neither a directory nor a zip nor a tar (plain, gzip, xz, zstd)", path);
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* spec.code {path: DIR} becomes {package: sha256:...}. */
static int resolve_code(const struct settings *s, const struct manifest *m, struct json_object *o,
                        const char *name)
{
    struct json_object *code = json_at(o, "spec.code"), *path = json_at(o, "spec.code.path");
    cleanup_buffer struct buffer package = {0};
    const char *program = json_at(o, "spec.port") ? json_text(o, "spec.handler") : "bootstrap";
    char dir[2 * PATH_MAX], digest[PACKAGE_DIGEST_TEXT];
    struct err e = {0};
    int r;

    if (!path)
        return EXIT_DONE;
    if (!json_object_is_type(path, json_type_string) || json_object_object_length(code) != 1)
        return fail(
            "%s: spec.code.path is the path of a directory or an archive, and no other field stands beside it",
            name);
    if (json_object_get_string(path)[0] == '/')
        snprintf(dir, sizeof(dir), "%s", json_object_get_string(path));
    else
        snprintf(dir, sizeof(dir), "%s%s", m->dir, json_object_get_string(path));
    if (make_package(dir, &package, &e) < 0)
        return fail("%s: spec.code.path: %s", name, e.message);
    if (strcmp(json_text(o, "spec.runtime"), "provided") == 0 && is_directory(dir) &&
        !has_program(dir, program))
        return fail("%s: spec.code.path: %s has no executable file `%s`, which is what is "
                    "started. Is it built?",
                    name, dir, program);
    package_digest(buffer_bytes(&package), buffer_size(&package), digest);
    r = upload(s, &package, digest);
    if (r != EXIT_DONE)
        return r;
    json_object_object_del(code, "path");
    json_object_object_add(code, "package", json_object_new_string(digest));
    return EXIT_DONE;
}

/* The object's resourceVersion now; "" where there is none. */
static int version_now(const struct settings *s, const char *url, char *out, size_t size)
{
    cleanup_response struct http_response a = {0};
    struct http_request q = {.method = "GET", .url = url, .headers = {"Accept: application/json"}};
    int r = api_do(s, &q, &a, 404);
    cleanup_json struct json_object *o = r == EXIT_DONE && a.status == 200 ? api_json(&a) : NULL;

    snprintf(out, size, "%s", json_text(o, "metadata.resourceVersion"));
    return r;
}

static int apply_one(const struct settings *s, const struct manifest *m, struct json_object *o)
{
    cleanup_response struct http_response a = {0};
    cleanup_free char *url = NULL;
    cleanup_json struct json_object *answer = NULL;
    char before[64], full[2 * PATH_MAX];
    struct http_request q = {
        .method = "PATCH",
        .url = full,
        .headers = {"Content-Type: application/apply-patch+yaml", "Accept: application/json"}};
    struct target t;
    struct err e = {0};
    const char *what;
    int r;

    if (manifest_target(o, s->ns, &t, &e) < 0)
        return fail("%s", e.message);
    r = resolve_code(s, m, o, t.name);
    if (r != EXIT_DONE)
        return r;
    url = api_url(s, t.resource, t.ns, t.name);
    if (!url || snprintf(full, sizeof(full), "%s?fieldManager=rouse&force=true&fieldValidation=Strict",
                         url) >= (int)sizeof(full))
        return fail("the name of %s is too long", t.name);
    r = version_now(s, url, before, sizeof(before));
    if (r != EXIT_DONE)
        return r;
    q.body =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    q.body_size = strlen(q.body);
    r = api_do(s, &q, &a, 0);
    if (r != EXIT_DONE)
        return r;
    answer = api_json(&a);
    if (a.status == 201)
        what = "created";
    else
        what = strcmp(before, json_text(answer, "metadata.resourceVersion")) == 0 ? "unchanged"
                                                                                  : "configured";
    printf("%s.rouse.dev/%s %s\n", t.resource->singular, t.name, what);
    return EXIT_DONE;
}

int apply_manifest(const struct settings *s, const struct manifest *m)
{
    int worst = EXIT_DONE;

    for (size_t i = 0; i < json_object_array_length(m->all); i++) {
        int r = apply_one(s, m, json_object_array_get_idx(m->all, i));

        if (r != EXIT_DONE)
            worst = r;
    }
    return worst;
}

static int run_apply(const struct command *c, int argc, char **argv)
{
    const char *file = NULL;
    const struct flag flags[] = {{"filename", 'f', FLAG_TEXT, &file}};
    cleanup_manifest struct manifest m = {0};
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count)
        return usage(c, "unexpected \"%s\": a file is given with -f", args.positional[0]);
    if (!file)
        return usage(c, "name the file: -f FILE, or -f - for stdin; `rouse deploy` builds and applies a "
                        "function's directory");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    if (manifest_load(file, &m, &e) < 0)
        return fail("%s", e.message);
    return apply_manifest(&s, &m);
}

const struct command command_apply = {
    "apply", "create or change functions from a file",
    "Usage: rouse apply -f FILE|-\n"
    "\n"
    "Applies every document of a YAML or JSON file: what is not there is created, what differs is "
    "changed.\n"
    "A directory named by spec.code.path (relative to the file) is packed and uploaded first; a zip or\n"
    "tar (plain, gzip, xz or zstd) is uploaded as it is.\n"
    "\n"
    "  -f, --filename FILE   the file; - is stdin\n"
    "\n"
    "Examples:\n"
    "  rouse apply -f deploy/examples/hello.yaml\n"
    "  sed 's/python3/nodejs/' function.yaml | rouse apply -f -\n"
    "  rouse apply -n staging -f function.yaml\n",
    run_apply};
