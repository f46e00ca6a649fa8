/* scaling_make.h - from an admitted spec.scaling to the values that the autoscaler works with. */
#pragma once
#include "brain/function.h"

struct json_object;

/* f->cpu_millis, f->memory are read. What the schema guarantees is not explained again: -EINVAL. */
int scaling_make(struct json_object *scaling, struct function *f);
