/* pool_make.h - from an admitted NodePool's JSON to the values the core works with.
 *
 * As function_make.h: what the schema guarantees is only refused (-EINVAL). */
#pragma once
#include "nodes/pool_spec.h"

struct json_object;

int pool_make(struct json_object *metadata, struct json_object *spec, struct pool_spec **ret);
