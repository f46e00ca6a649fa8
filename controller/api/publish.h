/* publish.h - the schema file's schemas as others may read them: OpenAPI v3 with Kubernetes'
 * extensions. */
#pragma once
#include <json-c/json.h>

/* A copy without the x-rouse- keywords. What this version refuses stays, bounded to nothing and
 * described so; rules that plain OpenAPI has no word for become x-kubernetes-validations. */
struct json_object *publish_schema(struct json_object *source);
