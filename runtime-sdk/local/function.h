/* function.h - a function as its manifest tells of it, as far as running it on this machine needs. */
#pragma once
#include "http/route_pattern.h"

struct local_trigger {
    const char *path, *host; /* patterns; host NULL: any */
    uint32_t methods;        /* bits of http/route_pattern.h */
};
struct local_function { /* all of it outlives the run */
    const char *name, *namespace, *runtime, *handler;
    const char *code_dir;    /* absolute */
    const char *runtime_dir; /* where the bootstrap lies */
    const char *const *argv; /* what is executed, NULL-terminated; argv[0] is a path */
    const char *const *env;  /* "NAME=value", over the defaults, NULL-terminated */
    uint64_t memory;         /* bytes: told to the function, not enforced */
    uint32_t cpu_millis;     /* likewise */
    uint32_t timeout_ms, concurrency;
    uint16_t port;                                   /* not 0: it is an HTTP server there */
    const char *initializer, *after_fork, *pre_stop; /* of spec.lifecycle; NULL: none */
    uint32_t initializer_timeout_ms;
    const struct local_trigger *triggers;
    size_t trigger_count;
};
