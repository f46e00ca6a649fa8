/* api.h - the Kubernetes-style API as the commands use it. */
#pragma once
#include "cli/http.h"

#include <json-c/json.h>

struct resource {
    const char *plural, *singular, *shorter, *kind;
    bool namespaced, core; /* core: of Kubernetes' own group, below /api/v1 */
};
/* By any of its names ("functions", "fn", "functions.rouse.dev", "Function"); NULL. */
const struct resource *resource_find(const char *name);

/* "API/apis/rouse.dev/v1[/namespaces/NS]/PLURAL[/NAME]", or "API/api/v1...". `ns` NULL: all namespaces. The caller
 * frees; NULL: no memory. */
char *api_url(const struct settings *s, const struct resource *r, const char *ns, const char *name);
/* Sends with the token and says what went wrong (no connection; the message of a Status).
 * EXIT_DONE, or EXIT_FAILED after it has been said. `also`: one status that is no error, or 0. */
int api_do(const struct settings *s, struct http_request *q, struct http_response *a, long also);
/* The message of a Status object, else the body's first line. Said on stderr; returns EXIT_FAILED.
 */
int api_complain(const struct http_response *a);
/* NULL where the body is no JSON; json_object_put() it. */
struct json_object *api_json(const struct http_response *a);
/* A text field by its path ("metadata.name"), "" if it is not there. */
const char *json_text(struct json_object *o, const char *path);
struct json_object *json_at(struct json_object *o, const char *path);
static inline void cleanup_json_put(struct json_object **o)
{
    json_object_put(*o);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_put)))
