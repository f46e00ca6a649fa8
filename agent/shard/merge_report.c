/* merge_report.c - see the header. */
#include "shard/merge_report.h"
#include "base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Report Report;
typedef Rouse__Control__V1__FunctionLoad Load;

struct known {
    struct map_node node;
    Load *load;
    char *key;
};

static int know(struct map *m, struct known *k, Load *l)
{
    int n = asprintf(&k->key, "%s@%s", l->function_key, l->revision);

    if (n < 0) {
        k->key = NULL;
        return -ENOMEM;
    }
    k->load = l;
    return map_put(m, &k->node, k->key, (size_t)n);
}

static Load *find(const struct map *m, const Load *l)
{
    struct map_node *n;
    char *key;
    int size = asprintf(&key, "%s@%s", l->function_key, l->revision);

    if (size < 0)
        return NULL;
    n = map_get(m, key, (size_t)size);
    free(key);
    return n ? map_entry(n, struct known, node)->load : NULL;
}

static int grow(void *list, size_t count, size_t more)
{
    void **at = list, *bigger = realloc(*at, (count + more + 1) * sizeof(void *));

    if (!bigger)
        return -ENOMEM;
    *at = bigger;
    return 0;
}

static int add_functions(Report *to, Report *part)
{
    size_t had = to->n_functions;
    struct known *known = calloc(had + 1, sizeof(*known));
    struct map m = {0};
    int r = known ? grow(&to->functions, had, part->n_functions) : -ENOMEM;

    for (size_t i = 0; r == 0 && i < had; i++)
        r = know(&m, &known[i], to->functions[i]);
    for (size_t i = 0; r == 0 && i < part->n_functions; i++) {
        const Load *l = part->functions[i];
        Load *same = find(&m, l);

        if (same) {
            same->concurrency += l->concurrency;
            same->requests += l->requests;
        } else {
            to->functions[to->n_functions++] = part->functions[i];
            part->functions[i] = part->functions[--part->n_functions];
            i--;
        }
    }
    for (size_t i = 0; known && i < had; i++)
        free(known[i].key);
    map_done(&m);
    free(known);
    return r;
}

static int add_instances(Report *to, Report *part)
{
    int r = grow(&to->instances, to->n_instances, part->n_instances);

    if (r < 0)
        return r;
    while (part->n_instances)
        to->instances[to->n_instances++] = part->instances[--part->n_instances];
    return 0;
}

static void add_reserved(Report *to, Report *part)
{
    if (!to->reserved) {
        to->reserved = part->reserved;
        part->reserved = NULL;
    } else if (part->reserved) {
        to->reserved->memory += part->reserved->memory;
        to->reserved->cpu += part->reserved->cpu;
    }
}

int merge_report(Report *to, Report *part, bool fresh)
{
    int r;

    for (size_t i = 0; !fresh && i < part->n_functions; i++)
        part->functions[i]->requests = 0;
    if (fresh && part->interval_ms > to->interval_ms)
        to->interval_ms = part->interval_ms;
    add_reserved(to, part);
    r = add_functions(to, part);
    return r < 0 ? r : add_instances(to, part);
}
