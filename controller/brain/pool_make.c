/* pool_make.c - reads an admitted NodePool. */
#include "brain/pool_make.h"

#include "base/json.h"
#include "base/quantity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int duration(struct json_object *o, const char *name, uint64_t *ret)
{
    const char *text = json_scalar(o, name);

    return text ? quantity_duration(text, ret) : -EINVAL;
}

static int u32(struct json_object *o, const char *name, uint32_t *ret)
{
    struct json_object *v = json_get(o, name);
    int64_t n = json_object_get_int64(v);

    if (!json_object_is_type(v, json_type_int) || n < 0 || n > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)n;
    return 0;
}

static int copy(const char *text, char **ret)
{
    *ret = strdup(text ? text : "");
    return *ret ? 0 : -ENOMEM;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct trait *)a)->key, ((const struct trait *)b)->key);
}

static int read_labels(struct json_object *o, struct pool_template *t)
{
    int r = 0;

    if (!json_object_is_type(o, json_type_object))
        return 0;
    t->labels = calloc((size_t)json_object_object_length(o) + 1, sizeof(*t->labels));
    if (!t->labels)
        return -ENOMEM;
    json_object_object_foreach(o, name, value)
    {
        struct trait *l = &t->labels[t->label_count++];

        r = r < 0 ? r : copy(name, &l->key);
        r = r < 0 ? r : copy(json_object_get_string(value), &l->value);
    }
    if (r == 0)
        qsort(t->labels, t->label_count, sizeof(*t->labels), by_key);
    return r;
}

static int read_taints(struct json_object *list, struct pool_template *t)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    int r = 0;

    t->taints = calloc(n + 1, sizeof(*t->taints));
    if (!t->taints)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct trait *to = &t->taints[t->taint_count++];

        r = copy(json_scalar(o, "key"), &to->key);
        r = r < 0 ? r : copy(json_scalar(o, "value"), &to->value);
    }
    return r;
}

static int read_template(struct json_object *o, struct pool_spec *s)
{
    struct pool_template *t = &s->template;
    const char *memory = json_scalar(o, "memory"), *cpu = json_scalar(o, "cpu");
    uint32_t millis;
    int r = memory && cpu ? quantity_memory(memory, &t->memory) : -EINVAL;

    if (r == 0)
        r = quantity_cpu(cpu, &millis);
    if (r < 0)
        return r;
    t->cpu = millis;
    r = copy(json_scalar(o, "architecture"), &t->architecture);
    if (r == 0)
        r = read_labels(json_get(o, "labels"), t);
    if (r == 0)
        r = read_taints(json_get(o, "taints"), t);
    if (r == 0)
        r = copy(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE),
                 &s->template_json);
    return r;
}

static int read_provider(struct json_object *spec, struct pool_spec *s)
{
    const char *provider = json_scalar(spec, "provider"), *command;
    uint64_t ns;
    int r;

    if (!provider || strcmp(provider, "hook") != 0) {
        s->provider = POOL_PROCESS;
        s->hook_timeout_ms = 60000;
        return provider && !strcmp(provider, "process") ? 0 : -EINVAL;
    }
    s->provider = POOL_HOOK;
    command = json_scalar(json_get(spec, "hook"), "command");
    if (!command || strlen(command) > POOL_HOOK_MAX)
        return -EINVAL;
    strcpy(s->hook, command);
    r = duration(json_get(spec, "hook"), "timeout", &ns);
    s->hook_timeout_ms = (uint32_t)(ns / 1000000);
    return r;
}

static int read_scaling(struct json_object *spec, struct pool_spec *s)
{
    struct json_object *up = json_get(spec, "scaleUp"), *down = json_get(spec, "scaleDown");
    int r = u32(up, "utilization", &s->up.utilization);

    r = r < 0 ? r : duration(up, "window", &s->up.window_ns);
    r = r < 0 ? r : duration(up, "provisionTimeout", &s->up.provision_timeout_ns);
    r = r < 0 ? r : duration(up, "backoff", &s->up.backoff_ns);
    r = r < 0 ? r : duration(up, "backoffMax", &s->up.backoff_max_ns);
    r = r < 0 ? r : duration(up, "backoffReset", &s->up.backoff_reset_ns);
    r = r < 0 ? r : u32(down, "threshold", &s->down.threshold);
    r = r < 0 ? r : duration(down, "after", &s->down.after_ns);
    r = r < 0 ? r : duration(down, "delayAfterAdd", &s->down.delay_after_add_ns);
    r = r < 0 ? r : duration(down, "delayAfterFailure", &s->down.delay_after_failure_ns);
    r = r < 0 ? r : duration(down, "drainTimeout", &s->down.drain_timeout_ns);
    return r < 0 ? r : duration(down, "unreadyAfter", &s->down.unready_after_ns);
}

int pool_make(struct json_object *metadata, struct json_object *spec, struct pool_spec **ret)
{
    struct pool_spec *s = calloc(1, sizeof(*s));
    const char *name = json_scalar(metadata, "name");
    int r = -EINVAL;

    if (!s)
        return -ENOMEM;
    s->refs = 1;
    if (name && *name && strlen(name) <= POOL_NAME_MAX) {
        strcpy(s->name, name);
        r = read_provider(spec, s);
    }
    s->generation = json_get(metadata, "generation")
                        ? json_object_get_int64(json_get(metadata, "generation"))
                        : 1;
    s->deleting = json_scalar(metadata, "deletionTimestamp") != NULL;
    if (r == 0)
        r = u32(spec, "min", &s->min);
    if (r == 0)
        r = u32(spec, "max", &s->max);
    if (r == 0)
        r = read_template(json_get(spec, "template"), s);
    if (r == 0)
        r = read_scaling(spec, s);
    if (r < 0) {
        pool_spec_unref(s);
        return r;
    }
    *ret = s;
    return 0;
}
