/* patch.h - RFC 7386 and RFC 6902 over json-c trees. Pure; the target is changed in place. */
#pragma once
#include "base/error.h"
#include <json-c/json.h>

/* 0, or -ENOMEM. *target may be replaced by another value. */
int patch_merge(struct json_object **target, struct json_object *patch);
/* -EINVAL: not a patch; -ENOENT: a path or a test does not hold. Half-applied changes remain in
 * *target. */
int patch_json(struct json_object **target, struct json_object *operations, struct err *e);
/* A copy; NULL stays NULL. */
int patch_copy(struct json_object *from, struct json_object **ret);
/* RFC 6901: the value at `pointer`, NULL if there is none. `*ret_found` tells null from absent. */
struct json_object *patch_at(struct json_object *root, const char *pointer, int *ret_found);
/* One reference token, "~1" and "~0" undone, into out. Moves *at behind it. -EINVAL, -ENAMETOOLONG.
 */
int pointer_token(const char **at, char *out, size_t n);
