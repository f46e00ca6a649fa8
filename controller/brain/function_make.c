/* function_make.c - reads an admitted object and computes its revision.
 *
 * The revision is the first 16 hex digits of SHA-256 over lines "field=length:value"
 * in a fixed order, so that no two different specs have the same text. Env keeps its
 * order: a later variable may refer to nothing, but a handler may list them. */
#include "brain/function_make.h"
#include "brain/scaling_make.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy_text(struct json_object *o, const char *name, char **ret)
{
    const char *text = json_scalar(o, name);

    if (!text)
        return -EINVAL;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int read_u32(struct json_object *o, const char *name, uint32_t *ret)
{
    struct json_object *v;
    int64_t n;

    if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_int))
        return -EINVAL;
    n = json_object_get_int64(v);
    if (n < 0 || n > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)n;
    return 0;
}

static int read_metadata(struct json_object *metadata, struct function **ret)
{
    const char *ns = json_scalar(metadata, "namespace"), *name = json_scalar(metadata, "name");
    const char *uid = json_scalar(metadata, "uid");
    struct json_object *v;
    struct function *f;

    if (!ns || !name || !uid || strlen(uid) >= sizeof(f->uid))
        return -EINVAL;
    f = function_new(ns, name);
    if (!f)
        return -ENOMEM;
    memcpy(f->uid, uid, strlen(uid) + 1);
    f->generation =
        json_object_object_get_ex(metadata, "generation", &v) ? json_object_get_int64(v) : 1;
    f->deleting = json_scalar(metadata, "deletionTimestamp") != NULL;
    *ret = f;
    return 0;
}

static int read_env(struct json_object *spec, struct function *f)
{
    struct json_object *list;
    size_t n;
    int r = 0;

    if (!json_object_object_get_ex(spec, "env", &list) || !json_object_is_type(list, json_type_array))
        return 0;
    n = json_object_array_length(list);
    f->env = calloc(n + 1, sizeof(*f->env));
    if (!f->env)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct json_object *v = json_object_array_get_idx(list, i);
        struct env_var *e = &f->env[f->env_count++];

        r = copy_text(v, "name", &e->name);
        if (r == 0 && !(e->value = strdup(json_scalar(v, "value") ?: "")))
            r = -ENOMEM;
    }
    return r;
}

static int read_texts(struct json_object *o, const char *name, char ***ret, size_t *ret_count)
{
    struct json_object *list;
    size_t n;

    if (!json_object_object_get_ex(o, name, &list) || !json_object_is_type(list, json_type_array))
        return 0;
    n = json_object_array_length(list);
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        (*ret)[i] = strdup(json_object_get_string(json_object_array_get_idx(list, i)) ?: "");
        if (!(*ret)[i])
            return -ENOMEM;
        ++*ret_count;
    }
    return 0;
}

static int read_http(struct json_object *http, struct http_trigger *t)
{
    int r = copy_text(http, "path", &t->path);

    if (r == 0)
        r = read_texts(http, "methods", &t->methods, &t->method_count);
    return r < 0 ? r : read_texts(http, "hosts", &t->hosts, &t->host_count);
}

static int read_triggers(struct json_object *spec, struct function *f)
{
    struct json_object *list, *http;
    size_t n;
    int r = 0;

    if (!json_object_object_get_ex(spec, "triggers", &list) ||
        !json_object_is_type(list, json_type_array))
        return 0;
    n = json_object_array_length(list);
    f->triggers = calloc(n + 1, sizeof(*f->triggers));
    if (!f->triggers)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        if (json_object_object_get_ex(json_object_array_get_idx(list, i), "http", &http))
            r = read_http(http, &f->triggers[f->trigger_count++]);
    return r;
}

static int read_sizes(struct json_object *spec, struct function *f)
{
    struct json_object *scaling;
    uint64_t timeout_ns;
    int r;

    if (!json_object_object_get_ex(spec, "scaling", &scaling))
        return -EINVAL;
    r = quantity_memory(json_scalar(spec, "memory") ?: "", &f->memory);
    if (r == 0)
        r = quantity_cpu(json_scalar(spec, "cpu") ?: "", &f->cpu_millis);
    if (r == 0)
        r = quantity_duration(json_scalar(spec, "timeout") ?: "", &timeout_ns);
    if (r == 0)
        r = read_u32(spec, "concurrency", &f->concurrency);
    if (r == 0)
        r = scaling_make(scaling, f);
    if (r == 0 && timeout_ns / NS_PER_MS > UINT32_MAX)
        r = -ERANGE;
    if (r == 0)
        f->timeout_ms = (uint32_t)(timeout_ns / NS_PER_MS);
    return r;
}

static int read_port(struct json_object *spec, struct function *f)
{
    uint32_t port;
    int r;

    if (!json_object_object_get_ex(spec, "port", NULL))
        return 0;
    r = read_u32(spec, "port", &port);
    if (r < 0 || port > UINT16_MAX)
        return r < 0 ? r : -ERANGE;
    f->port = (uint16_t)port;
    return 0;
}

static int copy_optional(struct json_object *o, const char *name, char **ret)
{
    return json_object_object_get_ex(o, name, NULL) ? copy_text(o, name, ret) : 0;
}

static int read_lifecycle(struct json_object *spec, struct function *f)
{
    struct function_lifecycle *l = &f->lifecycle;
    struct json_object *o;
    uint64_t ns;
    int r;

    if (!json_object_object_get_ex(spec, "lifecycle", &o))
        return 0;
    r = copy_optional(o, "initializer", &l->initializer);
    if (r == 0)
        r = copy_optional(o, "preFreeze", &l->pre_freeze);
    if (r == 0)
        r = copy_optional(o, "preStop", &l->pre_stop);
    if (r == 0)
        r = copy_optional(o, "afterFork", &l->after_fork);
    if (r < 0 || (!l->initializer && !l->after_fork))
        return r;
    r = quantity_duration(json_scalar(o, "initializerTimeout") ?: "", &ns);
    if (r == 0 && ns / NS_PER_MS > UINT32_MAX)
        r = -ERANGE;
    if (r == 0)
        l->initializer_timeout_ms = (uint32_t)(ns / NS_PER_MS);
    return r;
}

/* ---- placement */

static int add_term(struct function_placement *p, const char *key, const char *value)
{
    struct trait *t = &p->selector[p->selector_count++];

    t->key = strdup(key);
    t->value = strdup(value);
    return t->key && t->value ? 0 : -ENOMEM;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct trait *)a)->key, ((const struct trait *)b)->key);
}

static int read_selector(struct json_object *o, struct function_placement *p)
{
    const char *architecture = json_scalar(o, "architecture");
    struct json_object *terms = NULL;
    int r = 0;

    json_object_object_get_ex(o, "nodeSelector", &terms);
    p->selector =
        calloc((terms ? (size_t)json_object_object_length(terms) : 0) + 2, sizeof(*p->selector));
    if (!p->selector)
        return -ENOMEM;
    if (architecture)
        r = add_term(p, "kubernetes.io/arch", architecture);
    if (terms) {
        json_object_object_foreach(terms, key, value)
        {
            r = r < 0 ? r : add_term(p, key, json_object_get_string(value) ?: "");
        }
    }
    if (r == 0) /* the same terms in another order are the same revision */
        qsort(p->selector, p->selector_count, sizeof(*p->selector), by_key);
    return r;
}

static int read_tolerations(struct json_object *o, struct function_placement *p)
{
    struct json_object *list;
    size_t n;

    if (!json_object_object_get_ex(o, "tolerations", &list))
        return 0;
    n = json_object_array_length(list);
    p->tolerations = calloc(n + 1, sizeof(*p->tolerations));
    if (!p->tolerations)
        return -ENOMEM;
    while (p->toleration_count < n) {
        struct json_object *from = json_object_array_get_idx(list, p->toleration_count);
        struct toleration *t = &p->tolerations[p->toleration_count++];
        const char *operator= json_scalar(from, "operator");

        t->exists = operator&& strcmp(operator, "Exists") == 0;
        t->key = strdup(json_scalar(from, "key") ?: "");
        t->value = strdup(json_scalar(from, "value") ?: "");
        if (!t->key || !t->value)
            return -ENOMEM;
    }
    return 0;
}

static int read_placement(struct json_object *spec, struct function *f)
{
    struct json_object *o;
    const char *policy;
    int r;

    if (!json_object_object_get_ex(spec, "placement", &o))
        return 0;
    policy = json_scalar(o, "policy");
    f->placement.pack = policy && strcmp(policy, "pack") == 0;
    r = read_selector(o, &f->placement);
    return r < 0 ? r : read_tolerations(o, &f->placement);
}

static void add_field(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, "%s=%zu:%s\n", name, strlen(value), value);
}

/* What is not there adds nothing: the text, and so the revision, is what it was before there were hooks. */
static int add_lifecycle(struct buffer *b, const struct function_lifecycle *l)
{
    int r = 0;

    if (l->initializer) {
        add_field(b, "initializer", l->initializer);
        r = buffer_printf(b, "initializerTimeout=%u\n", l->initializer_timeout_ms);
    }
    if (l->after_fork)
        r |= buffer_printf(b, "afterFork=%zu:%s\nafterForkTimeout=%u\n", strlen(l->after_fork),
                           l->after_fork, l->initializer_timeout_ms);
    if (l->pre_freeze)
        r |= buffer_printf(b, "preFreeze=%zu:%s\n", strlen(l->pre_freeze), l->pre_freeze);
    if (l->pre_stop)
        r |= buffer_printf(b, "preStop=%zu:%s\n", strlen(l->pre_stop), l->pre_stop);
    return r < 0 ? -ENOMEM : 0;
}

/* As with the hooks. The policy says nothing of what an instance is. */
static void add_placement(struct buffer *b, const struct function_placement *p)
{
    for (size_t i = 0; i < p->selector_count; i++) {
        add_field(b, "selector", p->selector[i].key);
        add_field(b, "value", p->selector[i].value);
    }
    for (size_t i = 0; i < p->toleration_count; i++) {
        add_field(b, p->tolerations[i].exists ? "tolerates" : "toleration", p->tolerations[i].key);
        add_field(b, "value", p->tolerations[i].value);
    }
}

static int compute_revision(struct function *f)
{
    cleanup_buffer struct buffer b = {0};
    uint8_t digest[SHA256_DIGEST_LENGTH];

    add_field(&b, "runtime", f->runtime);
    add_field(&b, "handler", f->handler);
    add_field(&b, "package", f->package);
    buffer_printf(&b, "memory=%" PRIu64 "\ncpu=%u\ntimeout=%u\nconcurrency=%u\n", f->memory,
                  f->cpu_millis, f->timeout_ms, f->concurrency);
    for (size_t i = 0; i < f->env_count; i++) {
        add_field(&b, "env", f->env[i].name);
        add_field(&b, "value", f->env[i].value);
    }
    if (buffer_printf(&b, "network=%s\n", f->network_none ? "none" : "egress") < 0)
        return -ENOMEM;
    /* Without one the text is what it was before there were ports, and so are the revisions. */
    if (f->port && buffer_printf(&b, "port=%u\n", f->port) < 0)
        return -ENOMEM;
    if (add_lifecycle(&b, &f->lifecycle) < 0)
        return -ENOMEM;
    add_placement(&b, &f->placement);
    if (f->fork && buffer_puts(&b, "start=fork\n") < 0)
        return -ENOMEM;
    SHA256(buffer_bytes(&b), buffer_size(&b), digest);
    hex_encode(f->revision, digest, (REVISION_TEXT - 1) / 2);
    return 0;
}

int function_make(struct json_object *metadata, struct json_object *spec, const char *package,
                  uint64_t created_ms, struct function **ret)
{
    const char *network, *start;
    struct function *f;
    int r = read_metadata(metadata, &f);

    if (r < 0)
        return r;
    f->created_ms = created_ms;
    network = json_scalar(spec, "network");
    f->network_none = network && strcmp(network, "none") == 0;
    start = json_scalar(spec, "start");
    f->fork = start && strcmp(start, "fork") == 0;
    r = copy_text(spec, "runtime", &f->runtime);
    if (r == 0)
        r = copy_text(spec, "handler", &f->handler);
    if (r == 0 && !(f->package = strdup(package)))
        r = -ENOMEM;
    if (r == 0)
        r = read_sizes(spec, f);
    if (r == 0)
        r = read_port(spec, f);
    if (r == 0)
        r = read_lifecycle(spec, f);
    if (r == 0)
        r = read_env(spec, f);
    if (r == 0)
        r = read_triggers(spec, f);
    if (r == 0)
        r = read_placement(spec, f);
    if (r == 0)
        r = compute_revision(f);
    if (r < 0) {
        function_unref(f);
        return r;
    }
    *ret = f;
    return 0;
}
