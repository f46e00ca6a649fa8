/* target.h - what a request's path asks for: a trigger's path, or a function by its name.
 *
 * Pure. Two prefixes belong to the platform: /function/NAMESPACE/NAME/... and
 * Lambda's /2015-03-31/functions/NAME/invocations, where NAME is "name" (in
 * namespace default) or "namespace:name". Names that cannot be a function's are
 * TARGET_PATH too, and so are paths that reach none (http/route_pattern.h): the
 * activator says what is unknown. */
#pragma once
#include "http/message.h"

enum target_kind { TARGET_PATH, TARGET_FUNCTION, TARGET_INVOKE };
enum { FUNCTION_KEY_MAX = 320 };

struct target {
    enum target_kind kind;
    char function_key[FUNCTION_KEY_MAX]; /* "" for TARGET_PATH */
    struct str raw_path; /* what the function sees; a view into the path, or static */
};

void target_parse(struct str path, struct target *ret);
/* [a-z0-9] and '-' inside, at most 253 (names) bytes; namespaces at most 63. */
bool target_name_ok(struct str name, size_t max);
