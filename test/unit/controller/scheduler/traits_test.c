#include "scheduler/traits.h"
#include "base/buffer.h"
#include "unit.h"

#include <string.h>

static char python[] = "python3", amd64[] = "amd64", zone[] = "topology.kubernetes.io/zone",
            a[] = "a", b[] = "b", gpu[] = "nvidia.com/gpu", numa[] = "numa.nodes", two[] = "2",
            empty[] = "", hostname[] = "kubernetes.io/hostname", me[] = "rouse.dev/node",
            os[] = "kubernetes.io/os", arch[] = "kubernetes.io/arch", linux_[] = "linux";
static char *runtimes[] = {python};
static struct trait labels[] = {{numa, two}, {zone, a}};
static struct trait taints[] = {{gpu, a}, {zone, b}};

static struct node_traits node(size_t taint_count)
{
    return (struct node_traits){.architecture = amd64,
                                .labels = labels,
                                .label_count = 2,
                                .taints = taints,
                                .taint_count = taint_count,
                                .runtimes = runtimes,
                                .runtime_count = 1};
}

START_TEST(selectors)
{
    struct {
        struct trait s[2];
        size_t n;
        bool matches;
    } cases[] = {
        {{{0}}, 0, true},
        {{{zone, a}}, 1, true},
        {{{zone, b}}, 1, false},
        {{{zone, a}, {numa, two}}, 2, true},
        {{{zone, a}, {numa, a}}, 2, false},
        {{{gpu, a}}, 1, false}, /* a taint is no label */
        {{{arch, amd64}, {os, linux_}}, 2, true},
        {{{arch, a}}, 1, false},
        {{{hostname, a}, {me, b}}, 2, true}, /* the caller's */
    };
    struct node_traits t = node(0);

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct placement_demand d = {
            .runtime = python, .selector = cases[i].s, .selector_count = cases[i].n};

        ck_assert_msg(traits_match(&t, &d) == cases[i].matches, "case %zu", i);
    }
    ck_assert(!traits_match(&t, &(struct placement_demand){.runtime = "nodejs"}));
}
END_TEST

START_TEST(tolerations)
{
    struct {
        struct toleration t[2];
        size_t n, taints;
        bool matches;
    } cases[] = {
        {{{0}}, 0, 0, true},
        {{{0}}, 0, 1, false},
        {{{gpu, a, false}}, 1, 1, true},
        {{{gpu, b, false}}, 1, 1, false},
        {{{gpu, empty, true}}, 1, 1, true},
        {{{zone, empty, true}}, 1, 1, false},
        {{{empty, empty, true}}, 1, 2, true},
        {{{gpu, a, false}}, 1, 2, false}, /* each taint needs one */
        {{{gpu, a, false}, {zone, b, false}}, 2, 2, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct node_traits t = node(cases[i].taints);
        struct placement_demand d = {
            .runtime = python, .tolerations = cases[i].t, .toleration_count = cases[i].n};

        ck_assert_msg(traits_match(&t, &d) == cases[i].matches, "case %zu", i);
    }
}
END_TEST

static const char *text(const struct node_traits *t, struct buffer *out)
{
    buffer_clear(out);
    ck_assert_int_eq(node_traits_text(t, out), 0);
    buffer_append(out, "", 1);
    return (const char *)buffer_bytes(out);
}

START_TEST(copies_and_texts)
{
    struct node_traits t = node(2), copy, other = node(1);
    cleanup_buffer struct buffer one = {0}, two_ = {0};

    ck_assert_int_eq(node_traits_copy(&t, &copy), 0);
    ck_assert_ptr_ne(copy.labels, t.labels);
    ck_assert_str_eq(text(&copy, &one), text(&t, &two_));
    ck_assert_str_ne(text(&copy, &one), text(&other, &two_));
    ck_assert_str_eq(node_traits_label(&copy, zone), "a");
    ck_assert_ptr_null(node_traits_label(&copy, gpu));
    node_traits_done(&copy);
    ck_assert_uint_eq(copy.label_count, 0);
    node_traits_done(&copy);
}
END_TEST

START_TEST(names)
{
    static const char *const good[] = {"a", "A-b_c.d", "example.com/x",
                                       "topology.kubernetes.io/zone"};
    static const char *const bad[] = {"",     "-a", "a-", "a b", "/x", "x/", "Example.com/x",
                                      ".a/x", "a\n"};
    char longer[65];

    memset(longer, 'a', 64);
    longer[64] = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        ck_assert_msg(!trait_key_problem(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(trait_key_problem(bad[i]) != NULL, "%s", bad[i]);
    ck_assert_ptr_nonnull(trait_key_problem(longer));
    ck_assert_ptr_nonnull(trait_value_problem(longer));
    ck_assert_ptr_null(trait_value_problem(longer + 1));
    ck_assert_ptr_null(trait_value_problem(""));
    ck_assert_ptr_nonnull(trait_value_problem("a=b"));
}
END_TEST

UNIT_MAIN("traits", selectors, tolerations, copies_and_texts, names)
