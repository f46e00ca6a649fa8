#include "base/cleanup.h"
#include "cgroup/cgroup.h"
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define V2_MOUNT "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static size_t trees_of(const char *cgroup, const char *mountinfo, const char *controllers, bool v1,
                       struct cgroup_layout *l, struct cgroup_tree *trees)
{
    ck_assert_int_eq(cgroup_layout_parse(cgroup, mountinfo, l), 0);
    return cgroup_trees(l, controllers, v1, trees);
}

START_TEST(pure_v2)
{
    struct cgroup_tree t[CGROUP_TREES_MAX];
    struct cgroup_layout l;
    size_t n = trees_of("0::/user.slice/session-1.scope\n", V2_MOUNT,
                        "cpuset cpu io memory hugetlb pids rdma\n", false, &l, t);

    ck_assert_uint_eq(n, 1);
    ck_assert(t[0].v2);
    ck_assert_str_eq(t[0].own, "/sys/fs/cgroup/user.slice/session-1.scope");
    ck_assert_uint_eq(t[0].controllers, (1u << CGROUP_CONTROLLERS) - 1);
    ck_assert_str_eq(cgroup_trees_name(t, n), "v2");
    /* Told to keep to v1, nothing is left. */
    n = cgroup_trees(&l, "memory", true, t);
    ck_assert_uint_eq(n, 0);
    ck_assert_str_eq(cgroup_trees_name(t, n), "none");
    cgroup_layout_done(&l);
}
END_TEST

static const char v1_cgroup[] = "9:name=systemd:/\n8:pids:/a\n4:memory:/deep/er\n2:cpu,cpuacct:/\n"
                                "6:freezer:/\n";
static const char v1_mounts[] =
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/me\\040mory rw - cgroup cgroup rw,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";

START_TEST(pure_v1)
{
    struct cgroup_tree t[CGROUP_TREES_MAX];
    struct cgroup_layout l;
    size_t n = trees_of(v1_cgroup, v1_mounts, "", false, &l, t);

    ck_assert_uint_eq(n, 4);
    ck_assert_str_eq(cgroup_trees_name(t, n), "v1");
    ck_assert_str_eq(t[0].own, "/sys/fs/cgroup/me mory/deep/er");
    ck_assert_uint_eq(t[0].controllers, 1u << CGROUP_MEMORY);
    /* Mounted together: one tree. */
    ck_assert_str_eq(t[1].own, "/sys/fs/cgroup/cpu,cpuacct");
    ck_assert_uint_eq(t[1].controllers, 1u << CGROUP_CPU | 1u << CGROUP_CPUACCT);
    ck_assert_str_eq(t[2].own, "/sys/fs/cgroup/pids/a");
    ck_assert_str_eq(t[3].own, "/sys/fs/cgroup/freezer");
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(hybrid)
{
    char cgroup[512], mounts[2048];
    struct cgroup_tree t[CGROUP_TREES_MAX];
    struct cgroup_layout l;
    size_t n;

    snprintf(cgroup, sizeof(cgroup), "%s0::/\n", v1_cgroup);
    snprintf(mounts, sizeof(mounts),
             "%s41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", v1_mounts);
    n = trees_of(cgroup, mounts, "\n", false, &l, t);
    ck_assert_uint_eq(n, 4);
    ck_assert_str_eq(cgroup_trees_name(t, n), "hybrid");
    /* Freezing and CPU time by the unified tree, limits by v1. */
    ck_assert(t[0].v2);
    ck_assert_str_eq(t[0].own, "/sys/fs/cgroup/unified");
    ck_assert_uint_eq(t[0].controllers, 1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER);
    ck_assert_uint_eq(t[2].controllers, 1u << CGROUP_CPU);
    /* A controller that only the unified tree has is used there. */
    free(l.v1[CGROUP_PIDS]);
    l.v1[CGROUP_PIDS] = NULL;
    n = cgroup_trees(&l, "pids", false, t);
    ck_assert_uint_eq(n, 3);
    ck_assert(t[0].controllers & 1u << CGROUP_PIDS);
    n = cgroup_trees(&l, "", true, t);
    ck_assert_str_eq(cgroup_trees_name(t, n), "v1");
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(seen_from_a_container)
{
    struct cgroup_layout l;

    /* The mount shows a part of the tree, and the process is in it. */
    ck_assert_int_eq(
        cgroup_layout_parse("4:memory:/docker/abc/x\n",
                            "35 31 0:32 /docker/abc /cg/memory ro - cgroup c rw,memory\n", &l),
        0);
    ck_assert_str_eq(l.v1[CGROUP_MEMORY], "/cg/memory/x");
    cgroup_layout_done(&l);
    /* A sibling that only begins alike. */
    ck_assert_int_eq(
        cgroup_layout_parse("4:memory:/docker/abcd\n",
                            "35 31 0:32 /docker/abc /cg/memory ro - cgroup c rw,memory\n", &l),
        0);
    ck_assert_ptr_null(l.v1[CGROUP_MEMORY]);
    cgroup_layout_done(&l);
    /* Outside of the cgroup namespace's root. */
    ck_assert_int_eq(cgroup_layout_parse("0::/../other\n", V2_MOUNT, &l), 0);
    ck_assert_ptr_null(l.v2);
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(other_shapes)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        ":::",
                                        "0:",
                                        "a - b",
                                        "1 2 3 4 5 6 - ",
                                        " - cgroup2 x y",
                                        "35 31 0:32 / /cg rw - cgroup\n",
                                        "4:memory"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            struct cgroup_layout l;

            ck_assert_int_eq(cgroup_layout_parse(texts[i], texts[k], &l), 0);
            ck_assert_ptr_null(l.v2);
            cgroup_layout_done(&l);
        }
    }
}
END_TEST

UNIT_MAIN("cgroup_layout", pure_v2, pure_v1, hybrid, seen_from_a_container, other_shapes)
