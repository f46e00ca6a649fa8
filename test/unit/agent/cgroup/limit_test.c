/* Limits and what is read, in directories that play the hierarchies: the files that the kernel would
 * make are there, and show what was written. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/internal.h"
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char dir[32], box[80];
    struct cgroups c;
};

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
                  "%s holds %.*s, not %s", name, (int)buffer_size(&b), buffer_bytes(&b), text);
}

/* One with `files` both where they are looked for and in a sandbox. */
static void tree_make(struct tree *t, bool v2, unsigned controllers, const char *const *files)
{
    char top[64];

    *t = (struct tree){.dir = "/tmp/rouse-cgroup-XXXXXX", .c = {.count = 1, .name = "rouse-1"}};
    ck_assert_ptr_nonnull(mkdtemp(t->dir));
    t->c.trees[0] =
        (struct cgroup_tree){.own = t->dir, .v2 = v2, .controllers = controllers, .dir = -1};
    snprintf(top, sizeof(top), "%s/rouse-1", t->dir);
    snprintf(t->box, sizeof(t->box), "%s/a", top);
    ck_assert_int_eq(file_mkdirs(t->box, 0755), 0);
    for (; *files; files++) {
        put(top, *files, "");
        put(t->box, *files, "");
    }
    cgroups_open(&t->c);
}

static void tree_done(struct tree *t)
{
    cgroups_done(&t->c);
    file_remove_tree(t->dir);
}

static void blank(const struct tree *t, const char *const *files)
{
    for (; *files; files++)
        put(t->box, *files, "");
}

#define ALL_LIMITS (1u << CGROUP_MEMORY | 1u << CGROUP_CPU | 1u << CGROUP_PIDS | 1u << CGROUP_IO)
static const struct cgroup_limits kind = {.memory = 128 << 20, .cpu_millis = 500, .pids = 257};

START_TEST(only_what_differs_is_written_on_v2)
{
    static const char *const files[] = {"memory.max",       "memory.high", "memory.swap.max",
                                        "memory.oom.group", "cpu.max",     "cpu.weight",
                                        "io.weight",        "pids.max",    NULL};
    struct cgroup_limits to = kind;
    struct tree t;

    tree_make(&t, true, ALL_LIMITS, files);
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, NULL), 0);
    has(t.box, "memory.max", "134217728");
    has(t.box, "memory.high", "133169152");
    has(t.box, "memory.swap.max", "0");
    has(t.box, "memory.oom.group", "1");
    has(t.box, "cpu.max", "50000 100000");
    has(t.box, "cpu.weight", "20");
    has(t.box, "io.weight", "default 50");
    has(t.box, "pids.max", "257");

    blank(&t, files);
    ck_assert_int_eq(cgroup_limit(&t.c, "a", &kind, &kind, NULL), 0);
    for (const char *const *f = files; *f; f++)
        has(t.box, *f, "");

    to.memory = 64 << 20;
    ck_assert_int_eq(cgroup_limit(&t.c, "a", &kind, &to, NULL), 0);
    has(t.box, "memory.max", "67108864");
    has(t.box, "memory.high", "66584576");
    has(t.box, "memory.swap.max", "");
    has(t.box, "cpu.max", "");
    has(t.box, "pids.max", "");

    /* Without a limit of cpu it weighs what the kernel gives by itself. */
    to = kind;
    to.cpu_millis = 0;
    ck_assert_int_eq(cgroup_limit(&t.c, "a", &kind, &to, NULL), 0);
    has(t.box, "cpu.max", "max 100000");
    has(t.box, "cpu.weight", "100");
    has(t.box, "io.weight", "default 100");
    tree_done(&t);
}
END_TEST

START_TEST(v1_and_its_order)
{
    static const char *const files[] = {"memory.limit_in_bytes",
                                        "memory.memsw.limit_in_bytes",
                                        "memory.swappiness",
                                        "memory.kmem.tcp.limit_in_bytes",
                                        "cpu.cfs_quota_us",
                                        "cpu.cfs_period_us",
                                        "cpu.shares",
                                        "blkio.weight",
                                        "pids.max",
                                        NULL};
    struct cgroup_limits to = kind;
    struct err e = {0};
    struct tree t;
    char path[PATH_MAX];

    tree_make(&t, false, ALL_LIMITS, files);
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, NULL), 0);
    has(t.box, "memory.limit_in_bytes", "134217728");
    has(t.box, "memory.memsw.limit_in_bytes", "134217728");
    has(t.box, "memory.swappiness", "0");
    has(t.box, "memory.kmem.tcp.limit_in_bytes", "33554432");
    has(t.box, "cpu.cfs_quota_us", "50000");
    has(t.box, "cpu.cfs_period_us", "");
    has(t.box, "cpu.shares", "512");
    has(t.box, "blkio.weight", "250");
    has(t.box, "pids.max", "257");

    /* The kernel refuses a limit above that of memory and swap together: whichever of the two comes
     * second is not written when the first is refused. */
    snprintf(path, sizeof(path), "%s/memory.memsw.limit_in_bytes", t.box);
    ck_assert_int_eq(unlink(path), 0);
    blank(&t, (const char *const[]){"memory.limit_in_bytes", NULL});
    to.memory = 256 << 20;
    ck_assert_int_eq(cgroup_limit(&t.c, "a", &kind, &to, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.message, "rouse-1/a/memory.memsw.limit_in_bytes"));
    has(t.box, "memory.limit_in_bytes", "");
    to.memory = 64 << 20;
    ck_assert_int_eq(cgroup_limit(&t.c, "a", &kind, &to, NULL), -ENOENT);
    has(t.box, "memory.limit_in_bytes", "67108864");
    tree_done(&t);
}
END_TEST

/* Files that this kernel lacks are not looked for at every start; a controller's own must be there. */
START_TEST(what_is_absent)
{
    static const char *const few[] = {"memory.max", "pids.max", NULL};
    struct err e = {0};
    struct tree t;

    tree_make(&t, true, 1u << CGROUP_MEMORY | 1u << CGROUP_PIDS, few);
    put(t.box, "memory.high", "");
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, NULL), 0);
    has(t.box, "memory.max", "134217728");
    has(t.box, "memory.high", "");
    t.c.trees[0].controllers |= 1u << CGROUP_CPU;
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.message, "write 50000 100000 to "));
    ck_assert_ptr_nonnull(strstr(e.message, "/rouse-1/a/cpu.max"));
    tree_done(&t);
}
END_TEST

START_TEST(use_freeze_and_kill_on_v2)
{
    struct cgroup_usage u;
    struct cgroup_total all;
    struct tree t;

    tree_make(&t, true, 63, (const char *const[]){NULL});
    ck_assert_int_eq(cgroup_usage(&t.c, "none", &u), -ENOENT);
    put(t.box, "memory.current", "4096\n");
    put(t.box, "memory.peak", "8192\n");
    put(t.box, "memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n");
    put(t.box, "cpu.stat", "usage_usec 12\nuser_usec 7\n");
    put(t.box, "cgroup.freeze", "0");
    put(t.box, "cgroup.kill", "");
    ck_assert_int_eq(cgroup_usage(&t.c, "a", &u), 0);
    ck_assert_uint_eq(u.memory, 4096);
    ck_assert_uint_eq(u.cpu_ns, 12000);
    cgroup_total(&t.c, "a", &all);
    ck_assert_uint_eq(all.memory_peak, 8192);
    ck_assert_uint_eq(all.oom_kills, 1);
    ck_assert_uint_eq(all.cpu_ns, 12000);
    ck_assert_int_eq(cgroup_freeze(&t.c, "a", true), 0);
    has(t.box, "cgroup.freeze", "1");
    ck_assert_int_eq(cgroup_freeze(&t.c, "b", true), -ENOENT);
    cgroup_kill(&t.c, "a");
    has(t.box, "cgroup.kill", "1");
    tree_done(&t);
}
END_TEST

START_TEST(reclaim)
{
    static const char *const files[] = {"memory.swap.max", "memory.reclaim", NULL};
    uint64_t freed = 7;
    struct tree t;

    tree_make(&t, true, 1u << CGROUP_MEMORY, files);
    ck_assert_int_eq(cgroup_reclaim(&t.c, "a", 1 << 20, &freed), -ENOENT);
    put(t.box, "memory.current", "8192\n");
    ck_assert_int_eq(cgroup_reclaim(&t.c, "a", 1 << 20, &freed), 0);
    ck_assert_uint_eq(freed, 0);
    has(t.box, "memory.reclaim", "1048576");
    has(t.box, "memory.swap.max", "0ax"); /* "max", then "0" over it */
    tree_done(&t);

    tree_make(&t, true, 1u << CGROUP_MEMORY, (const char *const[]){NULL});
    put(t.box, "memory.current", "8192\n");
    ck_assert_int_eq(cgroup_reclaim(&t.c, "a", 1 << 20, NULL), -EOPNOTSUPP);
    tree_done(&t);
}
END_TEST

/* What this node cannot enforce is said once, at the start: by its path, and by what has no limit then. */
START_TEST(warnings)
{
    static const char *const files[] = {"memory.max", "cpu.max", "pids.max", NULL};
    char text[2048], warning[4096];
    struct tree t;

    tree_make(&t, true, ALL_LIMITS, files);
    put(t.dir, "cgroup.subtree_control", "");
    snprintf(text, sizeof(text), "%s/rouse-1", t.dir);
    put(text, "cgroup.subtree_control", "");
    *warning = '\0';
    cgroups_prepare(&t.c, NULL, 0, warning, sizeof(warning));
    ck_assert_str_eq(warning, "");
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, NULL), 0);
    tree_done(&t);

    /* A tree that cannot be delegated is still good for freezing and counting. */
    tree_make(&t, true, ALL_LIMITS, files);
    *warning = '\0';
    cgroups_prepare(&t.c, NULL, 0, warning, sizeof(warning));
    snprintf(text, sizeof(text),
             "%s/cgroup.subtree_control: No such file or directory; memory is not limited; "
             "cpu is not limited; pids is not limited",
             t.dir);
    ck_assert_str_eq(warning, text);
    ck_assert_int_eq(cgroup_limit(&t.c, "a", NULL, &kind, NULL), 0);
    ck_assert_ptr_nonnull(cgroup_tree_with(&t.c, CGROUP_FREEZER));
    tree_done(&t);

    /* One that cannot be written to is none. */
    tree_make(&t, false, 1u << CGROUP_CPU | 1u << CGROUP_PIDS,
              (const char *const[]){"cpu.cfs_quota_us", "pids.max", NULL});
    t.c.trees[1] =
        (struct cgroup_tree){.own = "/proc/nowhere", .controllers = 1u << CGROUP_MEMORY, .dir = -1};
    t.c.count = 2;
    *warning = '\0';
    cgroups_prepare(&t.c, NULL, 0, warning, sizeof(warning));
    ck_assert_str_eq(
        warning, "mkdir /proc/nowhere/rouse-1: No such file or directory; memory is not limited");
    ck_assert_uint_eq(t.c.count, 1);
    tree_done(&t);
}
END_TEST

UNIT_MAIN("cgroup_limit", only_what_differs_is_written_on_v2, v1_and_its_order, what_is_absent,
          use_freeze_and_kill_on_v2, reclaim, warnings)
