/* project.h - a function's directory (or its manifest alone) as building and running it here need it.
 *
 * Only what is used is checked, with the field's path in the error: the API
 * checks the rest when it is applied. Texts are views into the manifest. */
#pragma once
#include "cli/manifest.h"
#include "local/function.h"

#include <limits.h>

enum { PROJECT_ENV_MAX = 512 };
struct project {
    struct manifest manifest;
    struct json_object *object;
    char file[PATH_MAX], dir[PATH_MAX]; /* the manifest and its directory, absolute */
    char code_dir[PATH_MAX]; /* of spec.code.path; absolute, may not exist yet; "": one of these: */
    char archive[PATH_MAX];  /* code.path, where that is a file; or "" */
    struct json_object *inline_code; /* or NULL */
    /* All but argv, code_dir and runtime_dir, which say how it is run. */
    struct local_function function;
    struct local_trigger *triggers;
    char *env[PROJECT_ENV_MAX + 1];
    size_t env_count;
};
/* `where` is a directory with a function.yaml, or a manifest; NULL: here. */
int project_load(const char *where, const char *ns, struct project *ret, struct err *e);
/* "NAME=value", or "NAME": as it is in our environment. Over what is there. */
int project_set_env(struct project *p, const char *assignment, struct err *e);
void project_done(struct project *p);
static inline void cleanup_project_done(struct project *p)
{
    project_done(p);
}
#define cleanup_project __attribute__((cleanup(cleanup_project_done)))

/* The file that is executed, below the code: `bootstrap`, or a server's handler. */
const char *project_program(const struct project *p);
/* Writes code.inline, or what the archive holds, below `dir` (empty) and makes that the code_dir. */
int project_unpack(struct project *p, const char *dir, struct err *e);

/* ---- project_spec.c: fills `function`, code and environment from the object; project_load() calls it */
int project_read_spec(struct project *p, struct err *e);
