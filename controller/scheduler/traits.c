#include "scheduler/traits.h"
#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void list_done(struct trait *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(t[i].key);
        free(t[i].value);
    }
    free(t);
}

void node_traits_done(struct node_traits *t)
{
    free(t->architecture);
    list_done(t->labels, t->label_count);
    list_done(t->taints, t->taint_count);
    for (size_t i = 0; i < t->runtime_count; i++)
        free(t->runtimes[i]);
    free(t->runtimes);
    *t = (struct node_traits){0};
}

static int list_copy(const struct trait *from, size_t n, struct trait **ret, size_t *ret_n)
{
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (*ret_n = 0; *ret_n < n;) {
        struct trait *t = &(*ret)[(*ret_n)++];

        t->key = strdup(from[*ret_n - 1].key);
        t->value = strdup(from[*ret_n - 1].value);
        if (!t->key || !t->value)
            return -ENOMEM;
    }
    return 0;
}

static int runtimes_copy(const struct node_traits *from, struct node_traits *to)
{
    to->runtimes = calloc(from->runtime_count + 1, sizeof(char *));
    if (!to->runtimes)
        return -ENOMEM;
    while (to->runtime_count < from->runtime_count) {
        char *s = strdup(from->runtimes[to->runtime_count]);

        if (!s)
            return -ENOMEM;
        to->runtimes[to->runtime_count++] = s;
    }
    return 0;
}

int node_traits_copy(const struct node_traits *from, struct node_traits *ret)
{
    struct node_traits to = {.architecture = strdup(from->architecture ? from->architecture : "")};
    int r = to.architecture ? runtimes_copy(from, &to) : -ENOMEM;

    if (r == 0)
        r = list_copy(from->labels, from->label_count, &to.labels, &to.label_count);
    if (r == 0)
        r = list_copy(from->taints, from->taint_count, &to.taints, &to.taint_count);
    if (r < 0) {
        node_traits_done(&to);
        return r;
    }
    *ret = to;
    return 0;
}

int node_traits_text(const struct node_traits *t, struct buffer *out)
{
    int r = buffer_printf(out, "%s\n", t->architecture ? t->architecture : "");

    for (size_t i = 0; i < t->runtime_count && r >= 0; i++)
        r = buffer_printf(out, "r%zu:%s\n", strlen(t->runtimes[i]), t->runtimes[i]);
    for (size_t i = 0; i < t->label_count && r >= 0; i++)
        r = buffer_printf(out, "l%s=%s\n", t->labels[i].key, t->labels[i].value);
    for (size_t i = 0; i < t->taint_count && r >= 0; i++)
        r = buffer_printf(out, "t%s=%s\n", t->taints[i].key, t->taints[i].value);
    return r < 0 ? r : 0;
}

static int by_key(const void *key, const void *trait)
{
    return strcmp(key, ((const struct trait *)trait)->key);
}

const char *node_traits_label(const struct node_traits *t, const char *key)
{
    const struct trait *at;

    if (strcmp(key, "kubernetes.io/arch") == 0)
        return t->architecture;
    if (strcmp(key, "kubernetes.io/os") == 0)
        return "linux";
    at = t->label_count ? bsearch(key, t->labels, t->label_count, sizeof(*t->labels), by_key) : NULL;
    return at ? at->value : NULL;
}

bool trait_names_node(const char *key)
{
    return strcmp(key, "kubernetes.io/hostname") == 0 || strcmp(key, "rouse.dev/node") == 0;
}

bool trait_reserved(const char *key)
{
    return trait_names_node(key) || strcmp(key, "kubernetes.io/arch") == 0 ||
           strcmp(key, "kubernetes.io/os") == 0;
}

static bool tolerated(const struct trait *taint, const struct placement_demand *d)
{
    for (size_t i = 0; i < d->toleration_count; i++) {
        const struct toleration *t = &d->tolerations[i];

        if (t->exists ? !*t->key || strcmp(t->key, taint->key) == 0
                      : strcmp(t->key, taint->key) == 0 && strcmp(t->value, taint->value) == 0)
            return true;
    }
    return false;
}

bool traits_match(const struct node_traits *t, const struct placement_demand *d)
{
    bool runtime = false;

    for (size_t i = 0; i < t->runtime_count && !runtime; i++)
        runtime = strcmp(t->runtimes[i], d->runtime) == 0;
    if (!runtime)
        return false;
    for (size_t i = 0; i < d->selector_count; i++) {
        const struct trait *s = &d->selector[i];
        const char *value = trait_names_node(s->key) ? s->value : node_traits_label(t, s->key);

        if (!value || strcmp(value, s->value) != 0)
            return false;
    }
    for (size_t i = 0; i < t->taint_count; i++)
        if (!tolerated(&t->taints[i], d))
            return false;
    return true;
}

static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* "qualified name": alphanumeric at both ends; '-', '_' and '.' between. */
static bool qualified(const char *s, size_t n)
{
    if (!n || n > 63 || !strchr(alnum, s[0]) || !strchr(alnum, s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!s[i] || (!strchr(alnum, s[i]) && !strchr("-_.", s[i])))
            return false;
    return true;
}

const char *trait_key_problem(const char *key)
{
    const char *slash = strchr(key, '/');
    size_t prefix = slash ? (size_t)(slash - key) : 0;

    if (slash && (!prefix || prefix > 253 ||
                  strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-.") != prefix || key[0] == '-' ||
                  key[0] == '.' || key[prefix - 1] == '-' || key[prefix - 1] == '.'))
        return "the prefix must be a lower-case DNS name of at most 253 characters";
    if (!qualified(slash ? slash + 1 : key, strlen(slash ? slash + 1 : key)))
        return "a key must be 1 to 63 of [A-Za-z0-9-_.], alphanumeric at both ends, with an optional "
               "\"prefix/\"";
    return NULL;
}

const char *trait_value_problem(const char *value)
{
    return !*value || qualified(value, strlen(value))
               ? NULL
               : "a value must be at most 63 of [A-Za-z0-9-_.], alphanumeric at both ends";
}
