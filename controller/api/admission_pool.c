/* admission_pool.c - names that leave room for those of nodes, a provider that is there and stays. */
#include "api/admission_pool.h"
#include "base/json.h"

#include "scheduler/traits.h"

#include <stdio.h>
#include <string.h>

static void check_provider(struct admission *a, const char *provider, struct problems *p)
{
    static const char *const names[] = {[POOL_PROCESS] = "process", [POOL_HOOK] = "hook"};
    const struct pool_spec *was = a->old ? a->old->content->pool : NULL;
    bool hook = !strcmp(provider, "hook");

    if (was && strcmp(names[was->provider], provider) != 0)
        problems_add(p, PROBLEM_INVALID, "spec.provider",
                     "Invalid value: \"%s\": the pool's nodes are of the provider %s, which cannot be "
                     "changed; delete the pool, or make another",
                     provider, names[was->provider]);
    else if (!hook && a->no_process_pools)
        problems_add(p, PROBLEM_FORBIDDEN, "spec.provider",
                     "Forbidden: this controller starts no agents on its own machine (its flag --platform "
                     "is not set; `rouse up` sets it for several nodes)");
    else if (hook && a->no_hook_pools)
        problems_add(
            p, PROBLEM_FORBIDDEN, "spec.provider",
            "Forbidden: this controller has no directory of hooks (its flag --node-hooks is not set)");
    if (hook && !json_get(a->spec, "hook"))
        problems_add(p, PROBLEM_REQUIRED, "spec.hook",
                     "Required value: the program of provider hook");
    if (!hook && json_get(a->spec, "hook"))
        problems_add(p, PROBLEM_FORBIDDEN, "spec.hook", "Forbidden: the provider is process");
}

static void check_pair(const char *field, const char *key, const char *value, struct problems *p)
{
    const char *why = trait_key_problem(key);

    if (!why && trait_reserved(key))
        why = "it is given by the platform";
    if (!why)
        why = trait_value_problem(value ? value : "");
    if (why)
        problems_add(p, PROBLEM_INVALID, field, "Invalid value: \"%.100s\": %s", key, why);
}

static void check_labels(struct json_object *labels, struct problems *p)
{
    if (!labels)
        return;
    json_object_object_foreach(labels, name, value)
        check_pair("spec.template.labels", name, json_object_get_string(value), p);
}

static void check_taints(struct json_object *taints, struct problems *p)
{
    for (size_t i = 0; taints && i < json_object_array_length(taints); i++) {
        struct json_object *o = json_object_array_get_idx(taints, i);

        check_pair("spec.template.taints", json_object_get_string(json_get(o, "key")),
                   json_object_get_string(json_get(o, "value")), p);
    }
}

void admission_check_pool(struct admission *a, struct problems *p)
{
    if (strlen(a->name_text) > POOL_NAME_MAX)
        problems_add(p, PROBLEM_TOO_LONG, "metadata.name",
                     "Too long: may not be more than %d bytes: the names of its nodes begin with it",
                     POOL_NAME_MAX);
    /* What goes on when the pool is on its way out must not be refused for a flag that changed. */
    if (!a->old || !a->old->content->deleting)
        check_provider(a, json_object_get_string(json_get(a->spec, "provider")), p);
    check_labels(json_get(json_get(a->spec, "template"), "labels"), p);
    check_taints(json_get(json_get(a->spec, "template"), "taints"), p);
}
