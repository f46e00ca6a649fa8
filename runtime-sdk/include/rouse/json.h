/* json.h - fields of a JSON event, with their types. Link -ljson-c.
 *
 *     const char *name;
 *     int64_t times;
 *
 *     if (rouse_json_string(event, "queryStringParameters.name", "World", &name) < 0 ||
 *         rouse_json_int(event, "times", 1, &times) < 0)
 *         return NULL;
 *
 * A path is member names and array indexes with dots between them: "items.0.id".
 * What is not there, or null, has the default. What is there with another type
 * is an error that names the path, what was wanted and what was found; in a
 * handler's task the invocation fails with it, as by rouse_fail(), with the type
 * "InvalidEvent". The rouse_json_need_*() have no default: what is missing is an
 * error too. Any thread, if nobody changes the object meanwhile. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_object; /* of json-c */

/* The value at `path`, which `o` goes on owning; NULL: there is none, or it is null. */
struct json_object *rouse_json_at(struct json_object *o, const char *path);

/* 0; -EINVAL: another type (an integer is a double too); -ERANGE: an integer beyond 64 bits;
 * -ENOENT: missing. Strings are `o`'s; one with a NUL inside is another type. */
int rouse_json_string(struct json_object *o, const char *path, const char *otherwise,
                      const char **ret);
int rouse_json_int(struct json_object *o, const char *path, int64_t otherwise, int64_t *ret);
int rouse_json_double(struct json_object *o, const char *path, double otherwise, double *ret);
int rouse_json_bool(struct json_object *o, const char *path, bool otherwise, bool *ret);
int rouse_json_need_string(struct json_object *o, const char *path, const char **ret);
int rouse_json_need_int(struct json_object *o, const char *path, int64_t *ret);
int rouse_json_need_double(struct json_object *o, const char *path, double *ret);
int rouse_json_need_bool(struct json_object *o, const char *path, bool *ret);

#ifdef __cplusplus
}
#endif
