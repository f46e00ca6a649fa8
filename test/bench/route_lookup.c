/* module: runtime-sdk/http */
/* Look-ups in tables of 10, 1,000 and 10,000 routes: a third of them exact, with a parameter, with a
 * prefix. The questions are asked in random order, so that the table is as cold as it is in use.
 * Prints "route_lookup_N NANOSECONDS" lines, the best of the rounds. */
#include "base/clock.h"
#include "http/route_table.h"

#include <stdio.h>
#include <stdlib.h>

enum { ASKED = 200000, ROUNDS = 5 };

static const char *const begins[] = {"/path/", "/api/v1/r", "/files/d"};
static const char *const patterns[] = {"", "/{id}", "/*"};
static const char *const asked[] = {"", "/some-id", "/x/y"};

static void fill(struct epoch_domain *d, struct route_table *t, int count)
{
    struct epoch_edit e;
    char text[64];

    epoch_edit_begin(d, &e);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "%s%d%s", begins[i % 3], i, patterns[i % 3]);
        if (route_table_add(&e, t, STR(""), str_of(text), ROUTE_METHODS_ALL, t, NULL) < 0)
            exit(1);
    }
    epoch_commit(&e);
}

static double measure(const struct route_table *t, char (*paths)[32], int count)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = clock_monotonic_ns();
        uint32_t at = 1;
        double ns;

        for (int i = 0; i < ASKED; i++) {
            struct route_match m;

            at = at * 1664525u + 1013904223u;
            if (route_table_match(t, STR("www.example.com"), STR("GET"),
                                  str_of(paths[(at >> 8) % (uint32_t)count]), &m) != ROUTE_FOUND)
                exit(1);
        }
        ns = (double)(clock_monotonic_ns() - from) / ASKED;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(void)
{
    static const int counts[] = {10, 1000, 10000};

    for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
        char(*paths)[32] = calloc((size_t)counts[k], sizeof(*paths));
        struct epoch_domain d = {0};
        struct route_table t = {0};

        if (!paths)
            return 1;
        for (int i = 0; i < counts[k]; i++)
            snprintf(paths[i], sizeof(paths[i]), "%s%d%s", begins[i % 3], i, asked[i % 3]);
        fill(&d, &t, counts[k]);
        printf("route_lookup_%d %.0f\n", counts[k], measure(&t, paths, counts[k]));
        route_table_free(&t);
        epoch_domain_done(&d);
        free(paths);
    }
    return 0;
}
