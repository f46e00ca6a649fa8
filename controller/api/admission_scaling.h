/* admission_scaling.h - what of spec.scaling the schema cannot say. */
#pragma once
#include "api/problems.h"

#include <stdbool.h>

struct json_object;

/* `scaling` has passed the schema. `no_external`: this controller asks no Prometheus. */
void check_scaling(struct json_object *scaling, bool no_external, struct json_object *port,
                   struct problems *p);
