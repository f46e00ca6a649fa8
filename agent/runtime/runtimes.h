/* runtimes.h - the Runtimes this node can mount: one directory each with rootfs/ and runtime.json.
 */
#pragma once
#include "base/error.h"
#include <stddef.h>

enum runtime_protocol {
    RUNTIME_FRAMES,
    RUNTIME_ANY
}; /* any: frames or the Lambda Runtime API, whichever speaks first */
/* What of an instance is started ahead of its function: nothing, the interpreter (it waits in its sandbox
 * for the function's name and environment, proto/frames.md), or the interpreter as a fork of one that has
 * its modules loaded. */
enum runtime_park { RUNTIME_PARK_NONE, RUNTIME_PARK_INTERPRETER, RUNTIME_PARK_ZYGOTE };
struct runtime {
    char *name, *version, *digest;
    char *rootfs;       /* absolute */
    char **argv, **env; /* NULL-terminated */
    char **syscalls;   /* that it needs beside what all have (sandbox/syscall_list.h); NULL: none */
    char **parked_env; /* what its interpreter is started with ahead */
    enum runtime_protocol protocol;
    enum runtime_park park;
};
struct runtimes;
/* Reads every DIR/NAME/runtime.json; a broken one is logged and left out. */
int runtimes_load(const char *dir, struct runtimes **ret, struct err *e);
struct runtimes *runtimes_free(struct runtimes *r);
const struct runtime *runtimes_get(const struct runtimes *r, const char *name); /* NULL if absent */
size_t runtimes_count(const struct runtimes *r);
const struct runtime *runtimes_at(const struct runtimes *r, size_t i);
