/* function_make.h - from an admitted object's JSON to the values the core works with.
 *
 * The spec must have passed the schema with its defaults filled in; what the
 * schema guarantees is not explained again here, only refused (-EINVAL). */
#pragma once
#include "brain/function.h"

struct json_object;

/* `package` is the digest of the code. The revision is the hash over what a new revision is made
 * for. */
int function_make(struct json_object *metadata, struct json_object *spec, const char *package,
                  uint64_t created_ms, struct function **ret);
