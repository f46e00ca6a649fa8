/* cpus.c - see cpus.h. */
#include "sched/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096 };

static uint32_t bounded(uint64_t n)
{
    return n < 1 ? 1 : n > CPUS_MAX ? CPUS_MAX : (uint32_t)n;
}

/* The kernel wants room for as many as it was built for, which may be more than CPUS_MAX. */
static uint32_t affinity(void)
{
    for (size_t n = CPUS_MAX; n <= 64 * (size_t)CPUS_MAX; n *= 2) {
        size_t size = CPU_ALLOC_SIZE(n);
        cpu_set_t *set = CPU_ALLOC(n);
        int cpus = 0;

        if (!set)
            return 1;
        if (sched_getaffinity(0, size, set) == 0)
            cpus = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (cpus)
            return bounded((uint64_t)cpus);
    }
    return 1;
}

/* The first line of DIR/NAME. */
static int read_line(const char *dir, const char *name, char line[LINE])
{
    char path[4 * LINE];
    FILE *f;
    int r;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "re");
    if (!f)
        return -1;
    r = fgets(line, LINE, f) ? 0 : -1;
    fclose(f);
    return r;
}

static uint32_t quotient(long long quota, long long period)
{
    return quota > 0 && period > 0
               ? bounded((uint64_t)quota / (uint64_t)period + (quota % period > 0))
               : CPUS_MAX;
}

static uint32_t quota_v2(const char *dir)
{
    char line[LINE], *end;
    long long quota;

    if (read_line(dir, "cpu.max", line) < 0)
        return CPUS_MAX;
    quota = strtoll(line, &end, 10); /* 0 of "max" */
    return quotient(quota, strtoll(end, NULL, 10));
}

static uint32_t quota_v1(const char *dir)
{
    char quota[LINE], period[LINE];

    if (read_line(dir, "cpu.cfs_quota_us", quota) < 0 ||
        read_line(dir, "cpu.cfs_period_us", period) < 0)
        return CPUS_MAX;
    return quotient(atoll(quota), atoll(period));
}

/* Limits hold for all above, too. Where /sys/fs/cgroup begins at the container's own cgroup, and the path is
 * the machine's, only the last of the way up is there: the container's. `path` is cut on the way. */
static uint32_t quota_up(const char *mount, char *path, uint32_t (*quota)(const char *dir))
{
    char dir[3 * LINE];
    uint32_t least = CPUS_MAX;

    for (;;) {
        char *slash = strrchr(path, '/');
        uint32_t n;

        snprintf(dir, sizeof(dir), "%s%s", mount, path);
        n = quota(dir);
        if (n < least)
            least = n;
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static bool has_cpu(const char *controllers)
{
    for (const char *c = controllers; c; c = strchr(c, ',')) {
        c += *c == ',';
        if (!strncmp(c, "cpu", 3) && (!c[3] || c[3] == ','))
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup: "4:cpu,cpuacct:/path", of version 1, or "0::/path". */
static uint32_t quota_of(const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    char mount[LINE + 64], copy[LINE];
    const char *names[2];
    uint32_t least = CPUS_MAX;
    bool v2;

    if (!path)
        return CPUS_MAX;
    *path++ = '\0';
    controllers++;
    path[strcspn(path, "\n")] = '\0';
    v2 = !*controllers;
    if (!v2 && !has_cpu(controllers))
        return CPUS_MAX;
    /* where systemd mounts the second version beside the first; the name with all controllers, and its link */
    names[0] = v2 ? "" : controllers;
    names[1] = v2 ? "unified" : "cpu";
    for (int i = 0; i < 2; i++) {
        uint32_t n;

        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s%s", root, *names[i] ? "/" : "", names[i]);
        strcpy(copy, path);
        n = quota_up(mount, copy, v2 ? quota_v2 : quota_v1);
        if (n < least)
            least = n;
    }
    return least;
}

uint32_t cpus_quota(const char *root)
{
    char path[LINE], line[LINE];
    uint32_t least = CPUS_MAX;
    FILE *f;

    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        uint32_t n = quota_of(root, line);

        if (n < least)
            least = n;
    }
    if (f)
        fclose(f);
    return least;
}

uint32_t cpus_default(void)
{
    const char *text = getenv("ROUSE_MAXPROCS");
    uint32_t cpus = affinity(), limit;

    if (text) {
        char *end;
        long n = strtol(text, &end, 10);

        if (end != text && !*end && n >= 1 && n <= CPUS_MAX)
            return (uint32_t)n;
    }
    limit = cpus_quota("");
    return limit < cpus ? limit : cpus;
}
