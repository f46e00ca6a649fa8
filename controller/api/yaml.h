/* yaml.h - a JSON value as block-style YAML. Enough for manifests: no comments, no anchors. */
#pragma once
#include "base/buffer.h"
#include <json-c/json.h>

int yaml_write(struct json_object *o, struct buffer *out);
