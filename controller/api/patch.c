/* patch.c - merge patch (RFC 7386) and JSON patch (RFC 6902). */
#include "api/patch.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { OPERATIONS_MAX = 10000, TOKEN_MAX = 512, DEPTH_MAX = 64, COPIED_MAX = 4 << 20 };

int patch_copy(struct json_object *from, struct json_object **ret)
{
    *ret = NULL;
    if (!from)
        return 0;
    return json_object_deep_copy(from, ret, NULL) < 0 ? -ENOMEM : 0;
}

/* ---------------------------------------------------------------- RFC 7386 */
static int merge_member(struct json_object *target, const char *name, struct json_object *value)
{
    struct json_object *now = NULL;
    int r;

    if (!value) {
        json_object_object_del(target, name);
        return 0;
    }
    json_object_object_get_ex(target, name, &now);
    now = json_object_get(now);
    r = patch_merge(&now, value);
    if (r == 0 && json_object_object_add(target, name, now) < 0)
        r = -ENOMEM;
    if (r < 0)
        json_object_put(now);
    return r;
}

int patch_merge(struct json_object **target, struct json_object *patch)
{
    int r;

    if (!json_object_is_type(patch, json_type_object)) {
        struct json_object *copy;

        r = patch_copy(patch, &copy);
        if (r == 0) {
            json_object_put(*target);
            *target = copy;
        }
        return r;
    }
    if (!json_object_is_type(*target, json_type_object)) {
        json_object_put(*target);
        *target = json_object_new_object();
        if (!*target)
            return -ENOMEM;
    }
    json_object_object_foreach(patch, name, value)
    {
        r = merge_member(*target, name, value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---------------------------------------------------------------- RFC 6901 */
int pointer_token(const char **at, char *out, size_t n)
{
    const char *s = *at;
    size_t i = 0;

    if (*s++ != '/')
        return -EINVAL;
    for (; *s && *s != '/'; s++) {
        char c = *s;

        if (c == '~') {
            s++;
            if (*s != '0' && *s != '1')
                return -EINVAL;
            c = *s == '0' ? '~' : '/';
        }
        if (i + 1 >= n)
            return -ENAMETOOLONG;
        out[i++] = c;
    }
    out[i] = '\0';
    *at = s;
    return 0;
}

/* 0 and *ret, "-" being the length; -EINVAL for what is no index. */
static int array_index(struct json_object *array, const char *token, size_t *ret)
{
    size_t v = 0;

    if (strcmp(token, "-") == 0) {
        *ret = json_object_array_length(array);
        return 0;
    }
    if (!token[0] || (token[0] == '0' && token[1]) || strlen(token) > 9)
        return -EINVAL;
    for (const char *s = token; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        v = v * 10 + (size_t)(*s - '0');
    }
    *ret = v;
    return 0;
}

/* The member `token` of `in`; *found says whether it is there. */
static struct json_object *member(struct json_object *in, const char *token, int *found)
{
    struct json_object *v = NULL;
    size_t i;

    *found = 0;
    if (json_object_is_type(in, json_type_object))
        *found = json_object_object_get_ex(in, token, &v);
    else if (json_object_is_type(in, json_type_array) && array_index(in, token, &i) == 0 &&
             i < json_object_array_length(in)) {
        v = json_object_array_get_idx(in, i);
        *found = 1;
    }
    return v;
}

struct json_object *patch_at(struct json_object *root, const char *pointer, int *ret_found)
{
    char token[TOKEN_MAX];

    *ret_found = 1;
    while (*pointer && *ret_found) {
        if (pointer_token(&pointer, token, sizeof(token)) < 0) {
            *ret_found = 0;
            return NULL;
        }
        root = member(root, token, ret_found);
    }
    return *ret_found ? root : NULL;
}

/* Walks to the parent of the pointer's last token. */
static int find_parent(struct json_object *root, const char *pointer, struct json_object **ret,
                       char token[TOKEN_MAX])
{
    int found, r = pointer_token(&pointer, token, TOKEN_MAX);

    while (r == 0 && *pointer) {
        root = member(root, token, &found);
        r = found ? pointer_token(&pointer, token, TOKEN_MAX) : -ENOENT;
    }
    if (r == 0)
        *ret = root;
    return r;
}

/* ---------------------------------------------------------------- RFC 6902 */
static int insert_at(struct json_object *array, size_t at, struct json_object *value)
{
    size_t n = json_object_array_length(array);

    if (at > n)
        return -ENOENT;
    if (json_object_array_add(array, NULL) < 0)
        return -ENOMEM;
    for (size_t i = n; i > at; i--)
        json_object_array_put_idx(array, i, json_object_get(json_object_array_get_idx(array, i - 1)));
    json_object_array_put_idx(array, at, value);
    return 0;
}

/* Takes over `value` on success. */
static int add(struct json_object **root, const char *path, struct json_object *value)
{
    char token[TOKEN_MAX];
    struct json_object *in;
    size_t i;
    int r;

    if (!path[0]) {
        json_object_put(*root);
        *root = value;
        return 0;
    }
    r = find_parent(*root, path, &in, token);
    if (r < 0)
        return r;
    if (json_object_is_type(in, json_type_object))
        return json_object_object_add(in, token, value) < 0 ? -ENOMEM : 0;
    if (!json_object_is_type(in, json_type_array) || array_index(in, token, &i) < 0)
        return -ENOENT;
    return insert_at(in, i, value);
}

static int remove_at(struct json_object **root, const char *path)
{
    char token[TOKEN_MAX];
    struct json_object *in;
    int found, r;
    size_t i;

    if (!path[0])
        return -EINVAL;
    r = find_parent(*root, path, &in, token);
    if (r < 0)
        return r;
    member(in, token, &found);
    if (!found)
        return -ENOENT;
    if (json_object_is_type(in, json_type_object)) {
        json_object_object_del(in, token);
        return 0;
    }
    if (array_index(in, token, &i) < 0)
        return -ENOENT;
    return json_object_array_del_idx(in, i, 1) < 0 ? -ENOENT : 0;
}

/* Levels of a value; *size grows by what a copy of it costs. Trees are at most DEPTH_MAX deep, so
 * it ends. */
static size_t measure(struct json_object *o, size_t *size)
{
    size_t deepest = 0, d;

    *size += 16;
    if (json_object_is_type(o, json_type_string))
        *size += (size_t)json_object_get_string_len(o);
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, name, value)
        {
            *size += strlen(name);
            d = measure(value, size);
            deepest = d > deepest ? d : deepest;
        }
    }
    for (size_t i = 0; json_object_is_type(o, json_type_array) && i < json_object_array_length(o);
         i++) {
        d = measure(json_object_array_get_idx(o, i), size);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + 1;
}

static size_t tokens(const char *pointer)
{
    size_t n = 0;

    for (; *pointer; pointer++)
        n += *pointer == '/';
    return n;
}

static int add_copy(struct json_object **root, const char *path, struct json_object *value)
{
    struct json_object *copy;
    size_t size = 0;
    int r;

    if (tokens(path) + measure(value, &size) > DEPTH_MAX)
        return -EINVAL;
    r = patch_copy(value, &copy);

    if (r == 0)
        r = add(root, path, copy);
    if (r < 0)
        json_object_put(copy);
    return r;
}

static int replace(struct json_object **root, const char *path, struct json_object *value)
{
    int found;

    patch_at(*root, path, &found);
    if (!found)
        return -ENOENT;
    if (path[0]) {
        int r = remove_at(root, path);

        if (r < 0)
            return r;
    }
    return add_copy(root, path, value);
}

/* `copied` counts the bytes of all copies: a few of them could otherwise double the document each.
 */
static int transfer(struct json_object **root, const char *from, const char *path, bool take,
                    size_t *copied)
{
    struct json_object *value;
    int found, r;
    size_t n = strlen(from);

    if (take && strncmp(path, from, n) == 0 && path[n] == '/')
        return -EINVAL; /* into itself */
    value = patch_at(*root, from, &found);
    if (!found)
        return -ENOENT;
    if (take && strcmp(from, path) == 0)
        return 0;
    measure(value, copied);
    if (*copied > COPIED_MAX)
        return -EINVAL;
    value = json_object_get(value);
    r = take ? remove_at(root, from) : 0;
    if (r == 0)
        r = add_copy(root, path, value);
    json_object_put(value);
    return r;
}

static int operate(struct json_object **root, struct json_object *operation, size_t *copied)
{
    const char *op = json_text(operation, "op"), *path = json_text(operation, "path"),
               *from = json_text(operation, "from");
    struct json_object *value = NULL;
    bool has_value = json_object_object_get_ex(operation, "value", &value);
    int found;

    if (!op || !path)
        return -EINVAL;
    if (strcmp(op, "remove") == 0)
        return remove_at(root, path);
    if (strcmp(op, "move") == 0)
        return from ? transfer(root, from, path, true, copied) : -EINVAL;
    if (strcmp(op, "copy") == 0)
        return from ? transfer(root, from, path, false, copied) : -EINVAL;
    if (!has_value)
        return -EINVAL;
    if (strcmp(op, "add") == 0)
        return add_copy(root, path, value);
    if (strcmp(op, "replace") == 0)
        return replace(root, path, value);
    if (strcmp(op, "test") == 0) {
        struct json_object *there = patch_at(*root, path, &found);

        return found && (there == value || (there && value && json_object_equal(there, value)))
                   ? 0
                   : -ENOENT;
    }
    return -EINVAL;
}

int patch_json(struct json_object **target, struct json_object *operations, struct err *e)
{
    size_t n, copied = 0;

    if (!json_object_is_type(operations, json_type_array))
        return err_set(e, EINVAL, "a JSON patch is an array of operations");
    n = json_object_array_length(operations);
    if (n > OPERATIONS_MAX)
        return err_set(e, EINVAL, "a JSON patch has at most %d operations, not %zu", OPERATIONS_MAX,
                       n);
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(operations, i);
        int r = json_object_is_type(o, json_type_object) ? operate(target, o, &copied) : -EINVAL;

        if (r == -ENOENT && json_text(o, "op") && strcmp(json_text(o, "op"), "test") == 0)
            return err_set(e, ENOENT, "operation %zu: testing path \"%.200s\" failed", i,
                           json_text(o, "path"));
        if (r == -ENOENT)
            return err_set(e, ENOENT, "operation %zu: path \"%.200s\" does not exist", i,
                           json_text(o, "path"));
        if (r < 0)
            return err_set(e, -r,
                           "operation %zu is not one of add, remove, replace, move, copy, test "
                           "with its fields",
                           i);
    }
    return 0;
}
