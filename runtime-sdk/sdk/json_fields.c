/* json_fields.c - see rouse/json.h. */
#include "rouse/json.h"
#include "rouse/rouse.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <string.h>

static struct json_object *member(struct json_object *o, const char *name, size_t n)
{
    struct json_object *v = NULL;
    size_t index = 0;
    char key[256];

    if (json_object_is_type(o, json_type_object)) {
        if (n >= sizeof(key))
            return NULL;
        memcpy(key, name, n);
        key[n] = '\0';
        json_object_object_get_ex(o, key, &v);
        return v;
    }
    if (!json_object_is_type(o, json_type_array) || !n)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < '0' || name[i] > '9' || index > INT_MAX)
            return NULL;
        index = index * 10 + (size_t)(name[i] - '0');
    }
    return json_object_array_get_idx(o, index);
}

struct json_object *rouse_json_at(struct json_object *o, const char *path)
{
    while (o) {
        size_t n = strcspn(path, ".");

        o = member(o, path, n);
        if (!path[n])
            break;
        path += n + 1;
    }
    return o;
}

static int fail(int result, const char *path, const char *wanted, struct json_object *found)
{
    struct rouse_context *ctx = rouse_context_current();

    if (!ctx)
        return result;
    if (result == -ENOENT)
        rouse_fail(ctx, "InvalidEvent", "%s: %s is missing", path, wanted);
    else if (result == -ERANGE)
        rouse_fail(ctx, "InvalidEvent", "%s: the integer is out of range", path);
    else
        rouse_fail(ctx, "InvalidEvent", "%s: wanted %s, found %s", path, wanted,
                   json_type_to_name(json_object_get_type(found)));
    return result;
}

/* ---- one type each: 0 or -errno */

static int take_string(struct json_object *v, const char **ret)
{
    const char *s;

    if (!json_object_is_type(v, json_type_string))
        return -EINVAL;
    s = json_object_get_string(v);
    if (strlen(s) != (size_t)json_object_get_string_len(v))
        return -EINVAL;
    *ret = s;
    return 0;
}

/* json-c keeps what does not fit as the nearest that does, and what does not fit into a signed one as
 * an unsigned one. */
static int take_int(struct json_object *v, int64_t *ret)
{
    int64_t n;

    if (!json_object_is_type(v, json_type_int))
        return -EINVAL;
    n = json_object_get_int64(v);
    if (n == INT64_MAX && json_object_get_uint64(v) > INT64_MAX)
        return -ERANGE;
    *ret = n;
    return 0;
}

static int take_double(struct json_object *v, double *ret)
{
    if (!json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int))
        return -EINVAL;
    *ret = json_object_get_double(v);
    return 0;
}

static int take_bool(struct json_object *v, bool *ret)
{
    if (!json_object_is_type(v, json_type_boolean))
        return -EINVAL;
    *ret = json_object_get_boolean(v);
    return 0;
}

/* ---- with a default, and without */

#define FIELD(name, type, wanted)                                                                  \
    static int get_##name(struct json_object *o, const char *path,                                 \
                          const __typeof__(type) *otherwise, type *ret)                            \
    {                                                                                              \
        struct json_object *v = rouse_json_at(o, path);                                            \
        int r = v ? take_##name(v, ret) : -ENOENT;                                                 \
                                                                                                   \
        if (r == -ENOENT && otherwise) {                                                           \
            *ret = *otherwise;                                                                     \
            r = 0;                                                                                 \
        }                                                                                          \
        return r < 0 ? fail(r, path, wanted, v) : 0;                                               \
    }                                                                                              \
    int rouse_json_need_##name(struct json_object *o, const char *path, type *ret)                 \
    {                                                                                              \
        return get_##name(o, path, NULL, ret);                                                     \
    }                                                                                              \
    int rouse_json_##name(struct json_object *o, const char *path, type otherwise, type *ret)      \
    {                                                                                              \
        return get_##name(o, path, &otherwise, ret);                                               \
    }

FIELD(string, const char *, "a string")
FIELD(int, int64_t, "an integer")
FIELD(double, double, "a number")
FIELD(bool, bool, "a boolean")
