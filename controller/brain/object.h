/* object.h - one version of an API object: immutable, reference counted, any thread may hold it.
 *
 * What a user stored (the content) is shared by all the versions that differ
 * in status alone. The JSON text is put together when somebody asks. */
#pragma once
#include "base/buffer.h"
#include "brain/function.h"
#include "brain/registry.h"

/* Held by a deleted function until every live agent has unrouted it, and by a deleted pool until its
 * nodes are gone. */
#define FINALIZER_UNROUTE "rouse.dev/unroute"
#define FINALIZER_NODES   "rouse.dev/nodes"

struct label {
    char *name, *value;
};

/* What is stored of an object. Admission fills it in, nobody changes it afterwards. */
struct content {
    _Atomic unsigned refs;
    char *ns, *name; /* ns NULL: cluster-scoped */
    char *key;       /* "ns/name", or "name" */
    char uid[37];
    char *metadata; /* JSON object without resourceVersion, never empty */
    char *spec;     /* JSON object */
    char *row;      /* what the store keeps; NULL for kinds that are not stored */
    struct label *labels;
    size_t label_count;
    bool deleting;             /* metadata has a deletionTimestamp */
    bool finalizers;           /* of users: the object stays until they are gone */
    struct function *function; /* KIND_FUNCTION, else NULL */
    struct pool_spec *pool;    /* KIND_NODE_POOL, else NULL */
    size_t size;               /* bytes of text, for bounds */
};
struct content *content_ref(struct content *c);
struct content *content_unref(struct content *c); /* NULL is a no-op */
/* `metadata` is a JSON object with name, namespace, uid, labels...: the fields above are read from
 * it. Texts are copied; `row` may be NULL; `f` is taken over on success. -EINVAL, -ENOMEM. */
int content_new(const char *metadata, const char *spec, const char *row, struct function *f,
                struct content **ret);

struct object {
    _Atomic unsigned refs;
    enum object_kind kind;
    uint64_t rv;
    uint64_t stored; /* changes with each stored write, not with status: a write's precondition */
    struct content *content;
    char *status; /* JSON object */
    size_t size;
};
struct object *object_ref(struct object *o);
struct object *object_unref(struct object *o); /* NULL is a no-op */
/* `content` is referenced, `status` copied. */
int object_new(enum object_kind kind, uint64_t rv, uint64_t stored, struct content *content,
               const char *status, struct object **ret);
/* Appends the whole object: {"apiVersion":...,"kind":...,"metadata":...,"spec":...,"status":...}.
 * -errno. */
int object_json(const struct object *o, struct buffer *out);
const char *object_kind_name(enum object_kind kind); /* "Function" */
/* "2026-11-23T10:00:00Z" */
void time_text(uint64_t epoch_s, char out[32]);

static inline void cleanup_object_unref(struct object **o)
{
    object_unref(*o);
}
static inline void cleanup_content_unref(struct content **c)
{
    content_unref(*c);
}
#define cleanup_object  __attribute__((cleanup(cleanup_object_unref)))
#define cleanup_content __attribute__((cleanup(cleanup_content_unref)))
