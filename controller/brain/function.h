/* function.h - a Function as values: what admission makes of the object a user applied.
 *
 * Immutable and reference counted (atomic): any thread may hold one. */
#pragma once
#include "autoscaler/autoscaler.h"
#include "scheduler/traits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REVISION_TEXT = 17 }; /* 16 hex digits and a NUL */

struct env_var {
    char *name, *value;
};
struct http_trigger {
    char *path;     /* a pattern: http/route_pattern.h */
    char **methods; /* upper case; method_count 0: all */
    size_t method_count;
    char **hosts; /* lower case, "*." may come first; host_count 0: any */
    size_t host_count;
};
struct function_placement {
    struct trait *selector; /* spec.placement.architecture is one of them */
    size_t selector_count;
    struct toleration *tolerations;
    size_t toleration_count;
    bool pack; /* else spread; changes without a new revision */
};
struct function_lifecycle { /* names of hooks; NULL: none */
    char *initializer, *pre_freeze, *pre_stop, *after_fork;
    uint32_t initializer_timeout_ms; /* of after_fork, too; 0 without either */
};
struct function {
    _Atomic unsigned refs;
    char *key;       /* "namespace/name" */
    char *ns, *name; /* one allocation with key */
    char uid[37];
    int64_t generation;
    uint64_t created_ms; /* epoch; the older function wins a path conflict, then the smaller key */
    bool deleting;       /* marked: it must be unrouted, then finalised */
    /* the revision's part */
    char revision[REVISION_TEXT];      /* hash of what follows up to placement */
    char *runtime, *handler, *package; /* package: "sha256:HEX" */
    uint64_t memory;                   /* bytes */
    uint32_t cpu_millis, timeout_ms, concurrency;
    struct env_var *env;
    size_t env_count;
    bool network_none;
    uint16_t port; /* not 0: an HTTP server, whose program is `handler`, listens there */
    struct function_lifecycle lifecycle;
    bool fork; /* spec.start */
    struct function_placement placement;
    /* changes without a new revision */
    struct autoscaler_spec scaling;
    struct http_trigger *triggers;
    size_t trigger_count;
};
/* One reference. It has its key; the rest is 0, for whoever makes it to fill in. NULL: out of memory. */
struct function *function_new(const char *ns, const char *name);
struct function *function_ref(struct function *f);
struct function *function_unref(struct function *f); /* NULL is a no-op; returns NULL */

enum condition_status { CONDITION_FALSE, CONDITION_TRUE, CONDITION_UNKNOWN };
struct condition {    /* type: Ready, Active, Degraded, RouteConflict */
    const char *type; /* static */
    enum condition_status status;
    const char *reason; /* static CamelCase */
    char message[256];
};
/* What the autoscaler says of itself, with autoscaling/v2's conditions. Texts are static. */
struct scaling_status {
    const char *reason; /* of the last change of what is requested; NULL: there was none */
    uint64_t last_s;    /* when that was, epoch; 0: not known */
    /* reasons of AbleToScale, ScalingActive, ScalingLimited; whether they hold */
    const char *able, *active, *limited;
    bool is_able, is_active, is_limited;
};
enum { FUNCTION_CONDITIONS = 4 };
struct function_status {
    int64_t observed_generation;
    char latest_revision[REVISION_TEXT];
    char active_revision[REVISION_TEXT];
    uint32_t instances, ready_instances, desired_instances;
    struct scaling_status scaling;
    struct condition conditions[FUNCTION_CONDITIONS]; /* Ready, Active, Degraded, RouteConflict,
                                                         always in this order */
};
