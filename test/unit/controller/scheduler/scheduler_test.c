#include "scheduler/scheduler.h"
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MI (1ull << 20)
enum { NODES = 200 };

static struct placement_index *x;
static struct placement_node nodes[NODES];
static struct placement_here here[NODES];
static char python[] = "python3", node_js[] = "nodejs", amd64[] = "amd64", arm64[] = "arm64";

static void setup(void)
{
    memset(nodes, 0, sizeof(nodes));
    memset(here, 0, sizeof(here));
    ck_assert_int_eq(placement_index_new(&x), 0);
}

static void teardown(void)
{
    for (size_t i = 0; i < NODES; i++)
        placement_del(x, &nodes[i]);
    ck_assert_uint_eq(placement_classes(x), 0);
    x = placement_index_free(x);
}

static struct node_traits plain(void)
{
    static char *runtimes[] = {python};

    return (struct node_traits){.architecture = amd64, .runtimes = runtimes, .runtime_count = 1};
}

static void set(size_t at, uint64_t memory, uint64_t cpu, bool open)
{
    placement_set(x, &nodes[at],
                  &(struct placement_amounts){1024 * MI, memory * MI, 4000, cpu, open});
}

static void put(size_t at, uint64_t memory)
{
    struct node_traits t = plain();

    nodes[at].order = at + 1;
    ck_assert_int_eq(placement_put(x, &nodes[at], &t), 0);
    set(at, memory, 0, true);
}

static struct placement_here is_here(void *user, const struct placement_node *n)
{
    (void)user;
    return here[n - nodes];
}

static struct placement_request small(void)
{
    return (struct placement_request){
        .memory = 128 * MI, .cpu = 500, .demand = {.runtime = python}, .here = is_here};
}

/* The node's number, or -errno. */
static long choose(const struct placement_request *q)
{
    struct placement_node *n = NULL;
    int e = placement_find(x, q, &n);

    ck_assert((e == 0) == (n != NULL));
    return e < 0 ? e : n - nodes;
}

START_TEST(filters)
{
    struct placement_request q = small();
    struct node_traits other = plain();
    char *runtimes[] = {node_js};

    setup();
    ck_assert_int_eq(choose(&q), -ENOENT);
    put(0, 0);
    set(0, 0, 0, false);
    ck_assert_int_eq(choose(&q), -ENOENT);
    put(2, 0);
    other.runtimes = runtimes;
    ck_assert_int_eq(placement_put(x, &nodes[2], &other), 0);
    set(2, 0, 0, true);
    ck_assert_int_eq(choose(&q), -ENXIO);
    put(3, 897);
    put(4, 0);
    set(4, 0, 3501, true);
    ck_assert_int_eq(choose(&q), -ENOSPC);
    set(3, 896, 3500, true);
    ck_assert_int_eq(choose(&q), 3);
    set(3, 2000, 0, true); /* more than there is: no underflow */
    ck_assert_int_eq(choose(&q), -ENOSPC);
    teardown();
}
END_TEST

START_TEST(too_large_for_any)
{
    struct placement_request q = small();

    setup();
    put(0, 0);
    put(1, 0);
    q.memory = 1025 * MI;
    ck_assert_int_eq(choose(&q), -ENXIO);
    q.memory = 1;
    q.cpu = 4001;
    ck_assert_int_eq(choose(&q), -ENXIO);
    teardown();
}
END_TEST

START_TEST(spread_and_pack)
{
    struct placement_request q = small();

    setup();
    put(0, 512);
    put(1, 0);
    put(2, 256);
    ck_assert_int_eq(choose(&q), 1);
    q.policy = PLACEMENT_PACK;
    ck_assert_int_eq(choose(&q), 0);
    set(0, 1000, 0, true);
    ck_assert_int_eq(choose(&q), 2);
    teardown();
}
END_TEST

START_TEST(locality)
{
    struct placement_request q = small();
    struct placement_node *known[] = {&nodes[1]};

    setup();
    put(0, 0);
    put(1, 128);
    put(2, 0);
    q.entry = &nodes[1];
    ck_assert_int_eq(choose(&q), 1);
    q.entry = NULL;
    here[1].code = true;
    q.known = known;
    q.known_count = 1;
    ck_assert_int_eq(choose(&q), 1);
    q.entry = &nodes[1];
    set(1, 896, 0, true); /* nearly full: not for the entry's sake */
    ck_assert_int_eq(choose(&q), 0);
    teardown();
}
END_TEST

START_TEST(instances_of_one_function_part)
{
    struct placement_request q = small();

    setup();
    put(0, 0);
    put(1, 256);
    here[0] = (struct placement_here){.code = true, .same = 100};
    ck_assert_int_eq(choose(&q), 1);
    q.policy = PLACEMENT_PACK;
    ck_assert_int_eq(choose(&q), 1);
    teardown();
}
END_TEST

/* The emptiest are full of the function; the first other one is behind them. */
START_TEST(others_are_passed_over)
{
    struct placement_request q = small();

    setup();
    for (size_t i = 0; i < PLACEMENT_LOOK; i++) {
        put(i, 0);
        here[i].same = 100;
    }
    put(PLACEMENT_LOOK, 128);
    put(PLACEMENT_LOOK + 1, 129);
    ck_assert_int_eq(choose(&q), PLACEMENT_LOOK);
    teardown();
}
END_TEST

START_TEST(one_node_alone)
{
    struct placement_request q = small();

    setup();
    put(0, 0);
    put(1, 512);
    q.pinned = true;
    ck_assert_int_eq(choose(&q), -ENXIO);
    q.only = &nodes[1];
    ck_assert_int_eq(choose(&q), 1);
    set(1, 1000, 0, true);
    ck_assert_int_eq(choose(&q), -ENOSPC);
    set(1, 0, 0, false);
    ck_assert_int_eq(choose(&q), -ENXIO);
    teardown();
}
END_TEST

/* ---- against a choice that looks at every node */

static char disk[] = "disk", ssd[] = "ssd", hdd[] = "hdd", gpu[] = "gpu", yes[] = "yes",
            arch[] = "kubernetes.io/arch";

static struct node_traits traits_of(unsigned kind)
{
    static char *both[] = {python, node_js}, *one[] = {python};
    static struct trait fast[] = {{disk, ssd}}, slow[] = {{disk, hdd}}, taints[] = {{gpu, yes}};
    struct node_traits t = {.architecture = kind & 1 ? arm64 : amd64};

    t.runtimes = kind & 2 ? both : one;
    t.runtime_count = kind & 2 ? 2 : 1;
    t.labels = kind & 4 ? fast : slow;
    t.label_count = 1;
    t.taints = taints;
    t.taint_count = kind & 8 ? 1 : 0;
    return t;
}

static bool plainly_matches(unsigned kind, unsigned wish)
{
    return (!(wish & 2) || kind & 2) && (!(wish & 4) || kind & 4) && (!(wish & 1) || kind & 1) &&
           (!(kind & 8) || wish & 8);
}

static long plainly(const struct placement_request *q, const unsigned *kinds, unsigned wish)
{
    bool open = false, possible = false;
    long best = -1;
    double score = 0;

    for (long i = 0; i < NODES; i++) {
        const struct placement_node *n = &nodes[i];
        double memory = (double)n->reserved_memory / (double)n->allocatable_memory;
        double cpu = (double)n->reserved_cpu / (double)n->allocatable_cpu;
        double s = q->policy == PLACEMENT_PACK ? fmax(memory, cpu) : 1 - fmax(memory, cpu);

        open = open || n->open;
        if (!n->open || !plainly_matches(kinds[i], wish) || q->memory > n->allocatable_memory ||
            q->cpu > n->allocatable_cpu)
            continue;
        possible = true;
        if (n->reserved_memory + q->memory > n->allocatable_memory ||
            n->reserved_cpu + q->cpu > n->allocatable_cpu)
            continue;
        s += n == q->entry ? 0.3 : 0;
        s += here[i].code ? 0.2 : 0;
        if (q->policy == PLACEMENT_SPREAD)
            s -= 0.5 * here[i].same / (here[i].same + 1);
        if (best >= 0 && s < score)
            continue;
        if (best < 0 || s > score ||
            placement_before(n, &nodes[best]) == (q->policy == PLACEMENT_SPREAD)) {
            best = i;
            score = s;
        }
    }
    return best >= 0 ? best : !open ? -ENOENT : possible ? -ENOSPC : -ENXIO;
}

static size_t some_known(struct placement_node **known, size_t most)
{
    size_t n = (size_t)rand() % (most + 1);

    memset(here, 0, sizeof(here));
    for (size_t i = 0; i < n; i++) {
        known[i] = &nodes[rand() % NODES];
        here[known[i] - nodes] = (struct placement_here){true, (uint32_t)rand() % 4};
    }
    return n;
}

static void change(unsigned *kinds, size_t i, bool again)
{
    bool large = rand() % 4 == 0;
    uint64_t memory = large ? 4096 : 1024, cpu = large ? 16000 : 4000;

    if (!again || rand() % 8 == 0) {
        struct node_traits t;

        kinds[i] = (unsigned)rand() % 16;
        t = traits_of(kinds[i]);
        ck_assert_int_eq(placement_put(x, &nodes[i], &t), 0);
    }
    placement_set(x, &nodes[i],
                  &(struct placement_amounts){memory * MI, (uint64_t)rand() % (memory + 1) * MI,
                                              cpu, (uint64_t)rand() % (cpu + 1), rand() % 16 != 0});
}

START_TEST(as_one_that_looks_at_every_node)
{
    static struct trait selector[2];
    static const struct toleration all = {gpu, yes, false};
    struct placement_node *known[PLACEMENT_LOOK];
    unsigned kinds[NODES], found = 0;

    setup();
    srand(20261123);
    for (size_t i = 0; i < NODES; i++) {
        nodes[i].order = i + 1;
        change(kinds, i, false);
    }
    ck_assert_uint_eq(placement_classes(x), 16);
    for (int round = 0; round < 20000; round++) {
        unsigned wish = (unsigned)rand() % 16;
        struct placement_request q = small();
        long got, expected;

        change(kinds, (size_t)rand() % NODES, true);
        q.memory = (1 + (uint64_t)rand() % (round % 2 ? 4200 : 512)) * MI;
        q.cpu = 1 + (uint64_t)rand() % (round % 2 ? 16400 : 1000);
        q.policy = rand() % 2 ? PLACEMENT_PACK : PLACEMENT_SPREAD;
        q.demand.runtime = wish & 2 ? node_js : python;
        if (wish & 4)
            selector[q.demand.selector_count++] = (struct trait){disk, ssd};
        if (wish & 1)
            selector[q.demand.selector_count++] = (struct trait){arch, arm64};
        q.demand.selector = selector;
        q.demand.tolerations = &all;
        q.demand.toleration_count = wish & 8 ? 1 : 0;
        q.entry = rand() % 2 ? &nodes[rand() % NODES] : NULL;
        q.known_count = some_known(known, PLACEMENT_LOOK - 1);
        q.known = known;
        got = choose(&q);
        expected = plainly(&q, kinds, wish);
        ck_assert_msg(got == expected, "round %d: %ld, but %ld", round, got, expected);
        found += got >= 0;
    }
    ck_assert_uint_gt(found, 5000);
    teardown();
}
END_TEST

/* More of its nodes than are looked at: the choice may be another, but never one without room, and
 * there is one whenever there is room. */
START_TEST(of_many_that_have_the_code)
{
    struct placement_node *known[NODES];
    unsigned kinds[NODES];

    setup();
    srand(7);
    for (size_t i = 0; i < NODES; i++) {
        nodes[i].order = i + 1;
        change(kinds, i, false);
    }
    for (int round = 0; round < 5000; round++) {
        struct placement_request q = small();
        long got, expected;

        change(kinds, (size_t)rand() % NODES, true);
        q.policy = rand() % 2 ? PLACEMENT_PACK : PLACEMENT_SPREAD;
        q.memory = (1 + (uint64_t)rand() % 4096) * MI;
        q.known_count = some_known(known, NODES);
        q.known = known;
        got = choose(&q);
        expected = plainly(&q, kinds, 0);
        ck_assert((got < 0) == (expected < 0));
        if (got < 0)
            ck_assert_int_eq(got, expected);
        else
            ck_assert(placement_fits(&q, &nodes[got]) && plainly_matches(kinds[got], 0));
    }
    teardown();
}
END_TEST

UNIT_MAIN("scheduler", filters, too_large_for_any, spread_and_pack, locality,
          instances_of_one_function_part, others_are_passed_over, one_node_alone,
          as_one_that_looks_at_every_node, of_many_that_have_the_code)
