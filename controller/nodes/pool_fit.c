#include "nodes/pool_fit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bins_add(struct bins *b, const struct bin *one)
{
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 16;
        struct bin *to = realloc(b->all, capacity * sizeof(*to));

        if (!to)
            return -ENOMEM;
        b->all = to;
        b->capacity = capacity;
    }
    b->all[b->count++] = *one;
    return 0;
}

static double share(const struct pool_need *n, uint64_t memory, uint64_t cpu)
{
    double m = memory ? (double)n->memory / (double)memory : 0;
    double c = cpu ? (double)n->cpu / (double)cpu : 0;

    return m > c ? m : c;
}

struct of { /* qsort_r()'s */
    uint64_t memory, cpu;
};

static int larger_first(const void *a, const void *b, void *arg)
{
    const struct of *of = arg;
    double x = share(a, of->memory, of->cpu), y = share(b, of->memory, of->cpu);

    return x < y ? 1 : x > y ? -1 : 0;
}

struct pool_need *needs_sorted(const struct pool_need *needs, size_t n, uint64_t memory, uint64_t cpu)
{
    struct pool_need *copy = malloc((n + 1) * sizeof(*copy));
    struct of of = {memory, cpu};

    if (!copy)
        return NULL;
    if (n) {
        memcpy(copy, needs, n * sizeof(*copy));
        qsort_r(copy, n, sizeof(*copy), larger_first, &of);
    }
    return copy;
}

static bool suits(const struct bin *b, const struct pool_input *in, const struct pool_need *need)
{
    return b->pool ? in->suits_template(in->user, need->who, b->pool)
                   : in->suits_node(in->user, need->who, b->node);
}

static bool has_room(const struct bin *b, const struct pool_need *need)
{
    return need->memory <= b->memory && need->cpu <= b->cpu;
}

uint32_t bins_put(struct bins *b, const struct pool_input *in, struct pool_need *needs, size_t n)
{
    uint32_t put = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < b->count && needs[i].count; k++) {
            if (!has_room(&b->all[k], &needs[i]) || !suits(&b->all[k], in, &needs[i]))
                continue;
            while (needs[i].count && has_room(&b->all[k], &needs[i])) {
                b->all[k].memory -= needs[i].memory;
                b->all[k].cpu -= needs[i].cpu;
                needs[i].count--;
                put++;
            }
        }
    }
    return put;
}

bool bins_take(const struct bins *b, const struct pool_input *in, const struct pool_need *need)
{
    for (size_t k = 0; k < b->count; k++)
        if (has_room(&b->all[k], need) && suits(&b->all[k], in, need))
            return true;
    return false;
}
