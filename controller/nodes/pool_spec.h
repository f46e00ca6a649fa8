/* pool_spec.h - a NodePool as values: what admission makes of the object an operator applied.
 *
 * Immutable and reference counted (atomic): any thread may hold one. */
#pragma once
#include "scheduler/traits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POOL_NAME_MAX = 50, /* a node's name is the pool's and a suffix */
    POOL_HOOK_MAX = 64,
};
enum pool_provider { POOL_PROCESS, POOL_HOOK };

struct pool_template {    /* what a node of the pool has */
    uint64_t memory;      /* bytes for instances */
    uint64_t cpu;         /* thousandths */
    char *architecture;   /* "": that of the other nodes */
    struct trait *labels; /* sorted by key */
    size_t label_count;
    struct trait *taints; /* NoSchedule, all of them */
    size_t taint_count;
};

struct pool_spec {
    _Atomic unsigned refs;
    char name[POOL_NAME_MAX + 1];
    int64_t generation;
    bool deleting;
    enum pool_provider provider;
    char hook[POOL_HOOK_MAX + 1]; /* a program in the controller's directory of hooks */
    uint32_t hook_timeout_ms;
    uint32_t min, max;
    struct pool_template template;
    char *template_json; /* the same, for providers */
    struct {
        uint32_t utilization; /* percent of allocatable */
        uint64_t window_ns, provision_timeout_ns;
        uint64_t backoff_ns, backoff_max_ns, backoff_reset_ns;
    } up;
    struct {
        uint32_t threshold; /* percent; 0: never for being little used */
        uint64_t after_ns, delay_after_add_ns, delay_after_failure_ns;
        uint64_t drain_timeout_ns, unready_after_ns;
    } down;
};
struct pool_spec *pool_spec_ref(struct pool_spec *s);
struct pool_spec *pool_spec_unref(struct pool_spec *s); /* NULL is a no-op; returns NULL */
