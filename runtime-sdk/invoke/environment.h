/* environment.h - what a function finds in its environment: defaults, then what it asked for, then the
 * platform's own variables, which win. Pure. */
#pragma once
#include <stdint.h>

struct environment { /* zero-initialise */
    char **all;      /* "NAME=value", NULL-terminated once environment_finish() returned 0 */
    unsigned count;
    int error;
};
/* The function and its instance, as the platform's variables tell of them. */
struct environment_facts {
    const char *function, *namespace, *revision, *instance, *node, *handler, *runtime;
    const char *task_root, *runtime_dir; /* where code and bootstrap lie */
    const char *runtime_socket;
    const char *api_address; /* of the Lambda Runtime API */
    uint64_t memory;         /* bytes */
    uint32_t cpu_millis;     /* its quota in thousandths of a cpu; 0: none is known */
    uint32_t timeout_ms, concurrency;
    uint16_t port; /* not 0: it is an HTTP server there, and the interfaces are none of its business */
};
/* Later ones win. A failure is kept and told by environment_finish(). */
void environment_set(struct environment *e, const char *name, const char *value);
void environment_set_text(struct environment *e, const char *assignment); /* "NAME=value" */
/* What a function may well want otherwise. */
void environment_set_defaults(struct environment *e, const struct environment_facts *f);
void environment_set_platform(struct environment *e, const struct environment_facts *f);
/* -ENOMEM, -E2BIG: more than 1024 variables, -EINVAL: a text without '='. */
int environment_finish(struct environment *e);
void environment_done(struct environment *e);
