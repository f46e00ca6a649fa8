#include "cli/manifest.h"
#include "cli/yaml.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* White space and the "---" lines between documents. */
static size_t skip_separators(const char *text, size_t n, size_t at)
{
    for (;;) {
        while (at < n && strchr(" \t\r\n", text[at]))
            at++;
        if (n - at < 3 || memcmp(text + at, "---", 3) != 0)
            return at;
        at += 3;
    }
}

static size_t line_of(const char *text, size_t at)
{
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* JSON documents, one after the other. */
static int parse_json(const char *text, size_t n, struct json_object **ret, struct err *e)
{
    struct json_tokener *t = json_tokener_new_ex(YAML_DEPTH_MAX);
    cleanup_json struct json_object *all = json_object_new_array();
    size_t at = skip_separators(text, n, 0);
    int r = 0;

    if (!t)
        return err_set(e, ENOMEM, "no memory");
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
                                  JSON_TOKENER_ALLOW_TRAILING_CHARS);
    while (at < n && r == 0) {
        struct json_object *o = json_tokener_parse_ex(t, text + at, (int)(n - at));
        enum json_tokener_error why = json_tokener_get_error(t);

        at += json_tokener_get_parse_end(t);
        if (!o)
            r = err_set(e, EINVAL, "line %zu: %s", line_of(text, at < n ? at : n),
                        why == json_tokener_continue ? "the JSON ends too early"
                                                     : json_tokener_error_desc(why));
        else
            json_object_array_add(all, o);
        json_tokener_reset(t);
        at = skip_separators(text, n, at);
    }
    json_tokener_free(t);
    if (r == 0)
        *ret = TAKE_PTR(all);
    return r;
}

/* An object of kind List stands for its items. */
static int add_object(struct json_object *all, struct json_object *o, struct err *e)
{
    struct json_object *items = json_at(o, "items");
    const char *kind = json_text(o, "kind");
    size_t n = strlen(kind);

    if (!json_object_is_type(o, json_type_object))
        return err_set(e, EINVAL,
                       "a document is no object: it wants apiVersion, kind, metadata and spec");
    if (n < 4 || strcmp(kind + n - 4, "List") != 0 || !json_object_is_type(items, json_type_array)) {
        json_object_array_add(all, json_object_get(o));
        return 0;
    }
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *item = json_object_array_get_idx(items, i);

        if (!json_object_is_type(item, json_type_object))
            return err_set(e, EINVAL, "items[%zu] is no object", i);
        json_object_array_add(all, json_object_get(item));
    }
    return 0;
}

int manifest_parse(const char *text, size_t n, struct json_object **ret, struct err *e)
{
    cleanup_json struct json_object *docs = NULL;
    struct json_object *all;
    size_t first = 0;
    int r;

    if (n > YAML_TEXT_MAX)
        return err_set(e, EFBIG, "larger than 8 MiB");
    while (first < n && strchr(" \t\r\n", text[first]))
        first++;
    r = first < n && text[first] == '{' ? parse_json(text, n, &docs, e)
                                        : yaml_parse(text, n, &docs, e);
    if (r < 0)
        return r;
    if (!json_object_array_length(docs))
        return err_set(e, EINVAL, "there is no document in it");
    all = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(docs) && r == 0; i++)
        r = add_object(all, json_object_array_get_idx(docs, i), e);
    if (r < 0)
        json_object_put(all);
    else
        *ret = all;
    return r;
}

int manifest_load(const char *file, struct manifest *ret, struct err *e)
{
    cleanup_buffer struct buffer b = {0};
    bool in = strcmp(file, "-") == 0;
    const char *slash = strrchr(file, '/');
    int r = file_read(AT_FDCWD, in ? "/dev/stdin" : file, YAML_TEXT_MAX, &b);

    if (r == -EFBIG)
        return err_set(e, EFBIG, "%s: larger than 8 MiB", file);
    if (r < 0)
        return err_errno(e, -r, "%s", file);
    *ret = (struct manifest){0};
    if (in || !slash)
        snprintf(ret->dir, sizeof(ret->dir), "./");
    else if (snprintf(ret->dir, sizeof(ret->dir), "%.*s", (int)(slash - file + 1), file) >=
             (int)sizeof(ret->dir))
        return err_set(e, ENAMETOOLONG, "%.100s...: the path is too long", file);
    if (!buffer_size(&b))
        return err_set(e, EINVAL, "%s: is empty", file);
    r = manifest_parse((const char *)buffer_bytes(&b), buffer_size(&b), &ret->all, e);
    return r < 0 ? err_wrap(e, "%s", in ? "stdin" : file) : 0;
}

void manifest_done(struct manifest *m)
{
    json_object_put(m->all);
    m->all = NULL;
}

int manifest_target(struct json_object *o, const char *ns, struct target *ret, struct err *e)
{
    const char *version = json_text(o, "apiVersion"), *kind = json_text(o, "kind");
    struct json_object *metadata = json_at(o, "metadata"), *name = json_at(o, "metadata.name");
    const struct resource *r = resource_find(kind);

    if (strcmp(version, "rouse.dev/v1") != 0)
        return err_set(e, EINVAL, "apiVersion must be rouse.dev/v1, not \"%.64s\"", version);
    if (!r || strcmp(r->kind, kind) != 0)
        return err_set(e, EINVAL, "kind \"%.64s\" is not known; Function and NodePool are", kind);
    if (!json_object_is_type(metadata, json_type_object) ||
        !json_object_is_type(name, json_type_string) || !json_object_get_string_len(name))
        return err_set(e, EINVAL, "%s: metadata.name is required", kind);
    if (r->namespaced && !*json_text(o, "metadata.namespace"))
        json_object_object_add(metadata, "namespace", json_object_new_string(ns));
    *ret = (struct target){r, json_text(o, "metadata.namespace"), json_object_get_string(name)};
    return 0;
}
