/* control_place.c - the choice of a node alone: `control_place NODES DECISIONS`.
 *
 * Nodes of four classes and three sizes, half full; each decision is for one of many functions that have their code on
 * a few nodes, and reserves what it chose; the oldest reservations are given back. Prints ns a decision: median, 99th
 * percentile. Under callgrind, collect in decide(). */
/* module: controller/scheduler */
#include "base/clock.h"
#include "scheduler/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN = 4 };
static const uint64_t mi = 1 << 20;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "control_place: %s\n", what);
        exit(1);
    }
}

/* xorshift64 (Marsaglia 2003) */
static uint64_t random_u64(void)
{
    static uint64_t x = 88172645463325252ull;

    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static void set(struct placement_index *x, struct placement_node *n, uint64_t size, int64_t by)
{
    uint64_t memory = n->of && n->open ? n->reserved_memory : size * mi / 2;

    placement_set(x, n,
                  &(struct placement_amounts){size * mi, memory + (uint64_t)(by * 128 * (int64_t)mi),
                                              size * 16, (memory / mi + (uint64_t)(by * 128)) * 8,
                                              true});
}

static uint64_t size_of(size_t k)
{
    return 16384ull << k % 3;
}

static __attribute__((noinline)) int decide(struct placement_index *x,
                                            const struct placement_request *q,
                                            struct placement_node *all, struct placement_node **ret)
{
    int r = placement_find(x, q, ret);

    if (r == 0)
        set(x, *ret, size_of((size_t)(*ret - all)), 1);
    return r;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
    static char amd64[] = "amd64", python[] = "python3", zone[] = "zone",
                zones[4][2] = {"a", "b", "c", "d"};
    static char *runtimes[] = {python};
    size_t nodes = argc > 1 ? (size_t)atoi(argv[1]) : 0,
           decisions = argc > 2 ? (size_t)atoi(argv[2]) : 0;
    struct placement_node *all = calloc(nodes + 1, sizeof(*all)),
                          **chosen = calloc(decisions + 1, sizeof(*chosen));
    uint64_t *took = calloc(decisions + 1, sizeof(*took));
    struct placement_index *x;

    must(nodes && decisions, "usage: control_place NODES DECISIONS");
    must(all && chosen && took && placement_index_new(&x) == 0, "out of memory");
    for (size_t k = 0; k < nodes; k++) {
        struct trait label = {zone, zones[k % 4]};
        struct node_traits t = {amd64, &label, 1, NULL, 0, runtimes, 1};

        all[k].order = k + 1;
        must(placement_put(x, &all[k], &t) == 0, "out of memory");
        set(x, &all[k], size_of(k), 0);
        set(x, &all[k], size_of(k), (int64_t)(random_u64() % 32));
    }
    for (size_t k = 0; k < decisions; k++) {
        struct placement_node *known[KNOWN];
        struct trait selector = {zone, zones[k % 4]};
        struct placement_request q = {.memory = 128 * mi,
                                      .cpu = 500,
                                      .demand = {python, &selector, k % 3 == 0, NULL, 0},
                                      .known = known,
                                      .known_count = KNOWN};
        uint64_t began;

        for (size_t i = 0; i < KNOWN; i++)
            known[i] = &all[random_u64() % nodes];
        q.entry = &all[random_u64() % nodes];
        began = clock_monotonic_ns();
        must(decide(x, &q, all, &chosen[k]) == 0, "no room");
        took[k] = clock_monotonic_ns() - began;
        if (k >= 100)
            set(x, chosen[k - 100], size_of((size_t)(chosen[k - 100] - all)), -1);
    }
    qsort(took, decisions, sizeof(*took), by_value);
    printf("%llu %llu\n", (unsigned long long)took[decisions / 2],
           (unsigned long long)took[decisions * 99 / 100]);
    for (size_t k = 0; k < nodes; k++)
        placement_del(x, &all[k]);
    placement_index_free(x);
    free(all);
    free(chosen);
    free(took);
    return 0;
}
