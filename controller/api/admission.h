/* admission.h - from what a client sent to what is stored: the one gate of every write. Pure but
 * for random ids. */
#pragma once
#include "api/failure.h"
#include "api/problems.h"
#include "api/schema.h"
#include "base/buffer.h"
#include "brain/object.h"

enum field_validation { FIELDS_WARN, FIELDS_STRICT, FIELDS_IGNORE };

struct admission {
    /* given */
    const struct schema_set *schema;
    const struct schema_kind *kind;
    const char *ns, *name;      /* of the URL; name NULL: create */
    const struct object *old;   /* NULL: create */
    struct json_object *body;   /* the whole new object; changed here */
    struct json_object *owners; /* as left by apply, or NULL: `manager` owns what it changed */
    const char *manager;
    enum field_validation fields;
    uint64_t now_ms;
    bool no_process_pools, no_hook_pools; /* this controller has no such provider */
    bool no_external;                     /* ... and asks no Prometheus */
    /* found */
    struct field_list unknown;           /* for warnings */
    struct json_object *metadata, *spec; /* in body */
    char name_text[64];
    bool changed; /* false: a no-op */
    bool has_inline;
    char package[72];
    struct buffer archive; /* of inline code */
};
#define cleanup_admission __attribute__((cleanup(admission_done)))
void admission_done(struct admission *a); /* `body` and `owners` are the caller's */

/* Checks shape and fields, fills defaults and the server's metadata, packs inline code. -1 with the
 * failure. */
int admission_check(struct admission *a, struct failure *f);
/* The content to store; the package must exist by then. */
int admission_content(struct admission *a, struct content **ret, struct failure *f);
/* The content that begins the object's deletion. */
int admission_mark(const struct object *o, uint64_t now_ms, struct content **ret, struct failure *f);
/* The stored owners of fields; a new array if there are none. */
struct json_object *admission_owners(const struct object *o);
/* JSON of at most 64 levels, valid UTF-8, nothing behind it. */
int admission_parse(const void *data, size_t n, struct json_object **ret, struct failure *f);
/* The object as a tree, as a client sees it. */
int admission_tree(const struct object *o, struct json_object **ret);
