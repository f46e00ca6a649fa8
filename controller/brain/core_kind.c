/* core_kind.c - revisions between which no node can tell: of the same size, runtime and placement. There are few kinds
 * even of very many functions. */
#include "brain/core_internal.h"

static bool same_placement(const struct function_placement *a, const struct function_placement *b)
{
    if (a->selector_count != b->selector_count || a->toleration_count != b->toleration_count)
        return false;
    for (size_t k = 0; k < a->selector_count; k++)
        if (strcmp(a->selector[k].key, b->selector[k].key) != 0 ||
            strcmp(a->selector[k].value, b->selector[k].value) != 0)
            return false;
    for (size_t k = 0; k < a->toleration_count; k++)
        if (strcmp(a->tolerations[k].key, b->tolerations[k].key) != 0 ||
            strcmp(a->tolerations[k].value, b->tolerations[k].value) != 0 ||
            a->tolerations[k].exists != b->tolerations[k].exists)
            return false;
    return true;
}

struct kind {
    struct map_node by_size; /* of those of a size the first */
    uint64_t size[2];
    struct kind *next;
    const struct revision *like;
};

static bool alike(const struct revision *a, const struct revision *b)
{
    return !strcmp(a->spec->runtime, b->spec->runtime) &&
           same_placement(&a->spec->placement, &b->spec->placement);
}

bool kind_is_new(struct map *kinds, const struct revision *r)
{
    const uint64_t size[2] = {r->spec->memory, r->spec->cpu_millis};
    struct map_node *n = map_get(kinds, size, sizeof(size));
    struct kind *first = n ? map_entry(n, struct kind, by_size) : NULL, *k;

    for (k = first; k; k = k->next)
        if (alike(k->like, r))
            return false;
    k = calloc(1, sizeof(*k));
    if (!k)
        abort();
    k->like = r;
    if (first) {
        k->next = first->next;
        first->next = k;
        return true;
    }
    memcpy(k->size, size, sizeof(size));
    if (map_put(kinds, &k->by_size, (const char *)k->size, sizeof(k->size)) < 0)
        abort();
    return true;
}

void kinds_done(struct map *kinds)
{
    map_for_each(n, kinds)
    {
        struct kind *k = map_entry(n, struct kind, by_size), *next;

        for (; k; k = next) {
            next = k->next;
            free(k);
        }
    }
    map_done(kinds);
}
