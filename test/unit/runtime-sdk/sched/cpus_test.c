/* The quota of cpus, in trees of files as the kernel shows them. */
#include "sched/cpus.h"
#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}
static void clear(void)
{
    ck_assert_int_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void file(const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void tree(const char *cgroup)
{
    strcpy(root, "/tmp/cpus_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    file("proc/self/cgroup", cgroup);
}

static void quota_is(uint32_t want)
{
    uint32_t n = cpus_quota(root);

    clear();
    ck_assert_uint_eq(n, want);
}

START_TEST(without_files_there_is_none)
{
    ck_assert_uint_eq(cpus_quota("/nonexistent"), CPUS_MAX);
    tree("0::/a\n");
    quota_is(CPUS_MAX);
    tree("garbage\n\n:\n1:cpu\n");
    quota_is(CPUS_MAX);
}
END_TEST

static void version_2(const char *max, uint32_t want)
{
    tree("0::/a\n");
    file("sys/fs/cgroup/a/cpu.max", max);
    quota_is(want);
}

START_TEST(rounded_up)
{
    version_2("max 100000\n", CPUS_MAX);
    version_2("100000 100000\n", 1);
    version_2("100001 100000\n", 2);
    version_2("150000 100000\n", 2);
    version_2("1000 100000\n", 1);
    version_2("800000 200000\n", 4);
    version_2("9223372036854775807 1\n", CPUS_MAX);
    version_2("100000\n", CPUS_MAX);
    version_2("100000 0\n", CPUS_MAX);
    version_2("-1 100000\n", CPUS_MAX);
    version_2("", CPUS_MAX);
}
END_TEST

START_TEST(the_least_on_the_way_up)
{
    tree("0::/a/b/c\n");
    file("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    file("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    file("sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    quota_is(2);
    tree("0::/a/b/c\n");
    file("sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    file("sys/fs/cgroup/a/b/c/cpu.max", "300000 100000\n");
    file("sys/fs/cgroup/a/other/cpu.max", "100000 100000\n");
    quota_is(3);
}
END_TEST

/* A cgroup namespace, and a container whose path is the machine's but whose files are its own. */
START_TEST(of_a_container)
{
    tree("0::/\n");
    file("sys/fs/cgroup/cpu.max", "300000 100000\n");
    quota_is(3);
    tree("0::/docker/0123\n");
    file("sys/fs/cgroup/cpu.max", "300000 100000\n");
    quota_is(3);
    tree("0::/../other\n");
    file("sys/fs/cgroup/cpu.max", "300000 100000\n");
    quota_is(3);
}
END_TEST

START_TEST(of_version_1)
{
    tree("5:memory:/m\n4:cpu,cpuacct:/a/b\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "250000\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    file("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    file("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    quota_is(3);
    tree("4:cpuacct,cpu:/a\n"); /* no link by the short name */
    file("sys/fs/cgroup/cpuacct,cpu/a/cpu.cfs_quota_us", "200000\n");
    file("sys/fs/cgroup/cpuacct,cpu/a/cpu.cfs_period_us", "100000\n");
    quota_is(2);
    tree("4:cpu:/a\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n");
    quota_is(CPUS_MAX);
}
END_TEST

START_TEST(of_both)
{
    tree("4:cpu,cpuacct:/a\n0::/b\n"); /* the second has no controllers */
    file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    file("sys/fs/cgroup/unified/b/cgroup.procs", "");
    quota_is(2);
    tree("5:memory:/b\n0::/b\n"); /* the second has the cpus */
    file("sys/fs/cgroup/unified/b/cpu.max", "500000 100000\n");
    quota_is(5);
}
END_TEST

/* Their path is another hierarchy's: below that of "cpu" it is somebody else's. */
START_TEST(other_controllers_are_not_cpu)
{
    tree("3:cpuset,cpuacct:/a\n7:cpuacct:/a\n8:name=cpu:/a\n9:mycpu:/a\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
    file("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    quota_is(CPUS_MAX);
}
END_TEST

START_TEST(the_environment_first)
{
    setenv("ROUSE_MAXPROCS", "1024", 1);
    ck_assert_uint_eq(cpus_default(), 1024);
    for (const char *const *wrong = (const char *const[]){"0", "1025", "-1", "2x", "", NULL};
         *wrong; wrong++) {
        setenv("ROUSE_MAXPROCS", *wrong, 1);
        ck_assert_uint_ge(cpus_default(), 1);
        ck_assert_uint_le(cpus_default(), (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    }
}
END_TEST

UNIT_MAIN("sched/cpus", without_files_there_is_none, rounded_up, the_least_on_the_way_up,
          of_a_container, of_version_1, of_both, other_controllers_are_not_cpu, the_environment_first)
