/* manifest.h - the documents of a file (or stdin), each with its kind and name looked up. */
#pragma once
#include "cli/api.h"

struct manifest {
    struct json_object *all; /* an array of objects; manifest_done() */
    char dir[4096];          /* what code.path is relative to; ends with a slash */
};

/* "-" is stdin. YAML or JSON, several documents, Lists taken apart. */
int manifest_load(const char *file, struct manifest *ret, struct err *e);
void manifest_done(struct manifest *m);
static inline void cleanup_manifest_done(struct manifest *m)
{
    manifest_done(m);
}
#define cleanup_manifest __attribute__((cleanup(cleanup_manifest_done)))
/* From text alone; what manifest_load() does after reading. */
int manifest_parse(const char *text, size_t n, struct json_object **ret, struct err *e);

struct target { /* views into the object and the settings */
    const struct resource *resource;
    const char *ns, *name;
};
/* apiVersion, kind and metadata.name are there and known; metadata.namespace, where missing, is set
 * to `ns`. */
int manifest_target(struct json_object *o, const char *ns, struct target *ret, struct err *e);
