#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/cgroup.h"
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

/* ---- limits on v2, in a directory that plays the tree: the files that the kernel would make are
 * there */
static void put(const char *dir, const char *name, const char *text)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static void has(const char *dir, const char *name, const char *text)
{
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_read(-100, path, 100, &b), 0);
    ck_assert_msg(buffer_size(&b) == strlen(text) && !memcmp(buffer_bytes(&b), text, strlen(text)),
                  "%s holds %.*s", name, (int)buffer_size(&b), buffer_bytes(&b));
}

START_TEST(v2_usage_and_freeze)
{
    char dir[] = "/tmp/rouse-cgroup-XXXXXX", inner[64];
    struct cgroups c = {.count = 1, .name = "rouse-1"};
    struct cgroup_usage u;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    c.trees[0] = (struct cgroup_tree){.own = dir, .v2 = true, .controllers = 31};
    snprintf(inner, sizeof(inner), "%s/rouse-1/a", dir);
    ck_assert_int_eq(cgroup_usage(&c, "a", &u), -ENOENT);
    ck_assert_int_eq(file_mkdirs(inner, 0755), 0);
    put(inner, "memory.current", "4096\n");
    put(inner, "memory.peak", "8192\n");
    put(inner, "memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n");
    put(inner, "cpu.stat", "usage_usec 12\nuser_usec 7\n");
    put(inner, "cgroup.freeze", "0");
    put(inner, "cgroup.kill", "");
    ck_assert_int_eq(cgroup_usage(&c, "a", &u), 0);
    ck_assert_uint_eq(u.memory, 4096);
    ck_assert_uint_eq(u.memory_peak, 8192);
    ck_assert_uint_eq(u.oom_kills, 1);
    ck_assert_uint_eq(u.cpu_ns, 12000);
    ck_assert_int_eq(cgroup_freeze(&c, "a", true), 0);
    has(inner, "cgroup.freeze", "1");
    ck_assert_int_eq(cgroup_freeze(&c, "b", true), -ENOENT);
    ck_assert_int_eq(cgroup_kill(&c, "a"), 0);
    has(inner, "cgroup.kill", "1");
    file_remove_tree(dir);
}
END_TEST

UNIT_MAIN("cgroup_layout", pure_v2, pure_v1, hybrid, seen_from_a_container, other_shapes,
          v2_usage_and_freeze)
