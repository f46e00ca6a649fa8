/* yaml.h - YAML to JSON and back, as kubectl reads it: YAML 1.1's words, anchors, merge keys. Pure.
 *
 * Bounded: 8 MiB of text, 64 levels, 200,000 values after anchors are
 * expanded (a document of nested aliases ends there). Tags of YAML itself (!!str)
 * change nothing: quotes make a text. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

#include <json-c/json.h>

enum { YAML_TEXT_MAX = 8 << 20, YAML_DEPTH_MAX = 64, YAML_VALUES_MAX = 200000 };

/* All documents (JSON too) as a json array; empty ones are left out. Errors name the line. */
int yaml_parse(const char *text, size_t n, struct json_object **ret, struct err *e);
int yaml_emit(struct json_object *o, struct buffer *ret);
