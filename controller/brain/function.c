/* function.c - the life of a struct function: counted references, freed by the last one. Any
 * thread. */
#include "brain/function.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct function *function_new(const char *ns, const char *name)
{
    struct function *f = calloc(1, sizeof(*f));
    size_t n = strlen(ns);

    if (!f)
        return NULL;
    f->refs = 1;
    /* key, ns and name in one block: "ns/name\0" "ns\0"; the name is the key's tail. */
    f->key = malloc(2 * n + strlen(name) + 3);
    if (!f->key)
        return function_unref(f);
    sprintf(f->key, "%s/%s", ns, name);
    f->name = f->key + n + 1;
    f->ns = f->name + strlen(name) + 1;
    memcpy(f->ns, ns, n + 1);
    return f;
}

struct function *function_ref(struct function *f)
{
    if (f)
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

struct function *function_unref(struct function *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < f->env_count; i++) {
        free(f->env[i].name);
        free(f->env[i].value);
    }
    for (size_t i = 0; i < f->trigger_count; i++) {
        for (size_t m = 0; m < f->triggers[i].method_count; m++)
            free(f->triggers[i].methods[m]);
        for (size_t h = 0; h < f->triggers[i].host_count; h++)
            free(f->triggers[i].hosts[h]);
        free(f->triggers[i].methods);
        free(f->triggers[i].hosts);
        free(f->triggers[i].path);
    }
    for (size_t i = 0; i < f->scaling.metric_count; i++)
        free(f->scaling.metrics[i].query);
    free(f->scaling.metrics);
    free(f->scaling.behavior);
    free(f->scaling.provisioned);
    for (size_t i = 0; i < f->placement.selector_count; i++) {
        free(f->placement.selector[i].key);
        free(f->placement.selector[i].value);
    }
    for (size_t i = 0; i < f->placement.toleration_count; i++) {
        free(f->placement.tolerations[i].key);
        free(f->placement.tolerations[i].value);
    }
    free(f->placement.selector);
    free(f->placement.tolerations);
    free(f->env);
    free(f->triggers);
    free(f->runtime);
    free(f->handler);
    free(f->package);
    free(f->lifecycle.initializer);
    free(f->lifecycle.pre_freeze);
    free(f->lifecycle.pre_stop);
    free(f->lifecycle.after_fork);
    free(f->key);
    free(f);
    return NULL;
}
