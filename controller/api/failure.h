/* failure.h - why a request is refused, as the Status object that clients of Kubernetes' API read.
 */
#pragma once
#include "api/problems.h"
#include "api/schema.h"

struct failure {        /* zero-initialised: none */
    int code;           /* HTTP */
    const char *reason; /* static */
    char message[2048];
    struct problems problems;   /* Invalid: the causes */
    struct json_object *causes; /* server-side apply's conflicts: a ready array, or NULL */
    unsigned retry_after_s;
};
void failure_done(struct failure *f);
#define cleanup_failure __attribute__((cleanup(failure_done)))

/* All return -1, so that `return failure_set(...)` reads well. */
int failure_set(struct failure *f, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int failure_bad_request(struct failure *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int failure_not_found(struct failure *f, const char *resource, const char *group, const char *name);
int failure_conflict(struct failure *f, const char *resource, const char *group, const char *name);
int failure_exists(struct failure *f, const char *resource, const char *group, const char *name,
                   bool deleting);
/* From f->problems, which are not empty. */
int failure_invalid(struct failure *f, const char *kind, const char *group, const char *name);
/* A store's or the registry's -errno. */
int failure_errno(struct failure *f, int error, const char *message);

/* The Status. details.kind is the plural but for Invalid; `name` and `plural` may be NULL. */
int failure_json(const struct failure *f, const char *group, const char *plural, const char *kind,
                 const char *name, struct buffer *out);
