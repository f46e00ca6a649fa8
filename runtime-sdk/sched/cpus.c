/* cpus.c - see cpus.h. */
#include "sched/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPUS_MAX = 1024, LINE = 4096 };

static uint32_t bounded(uint64_t n)
{
    return n < 1 ? 1 : n > CPUS_MAX ? CPUS_MAX : (uint32_t)n;
}

static uint32_t affinity(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : bounded((uint64_t)CPU_COUNT(&set));
}

/* The first line of DIR/NAME. */
static int read_line(const char *dir, const char *name, char line[LINE])
{
    char path[LINE + 64];
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
    return quota > 0 && period > 0 ? bounded((uint64_t)((quota + period - 1) / period)) : CPUS_MAX;
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

/* A line of /proc/self/cgroup: "4:cpu,cpuacct:/path" or "0::/path". Limits hold for all above, too. */
static uint32_t quota_of(char *line)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    char dir[LINE + 64];
    uint32_t least = CPUS_MAX;
    bool v2;

    if (!path)
        return CPUS_MAX;
    *path++ = '\0';
    controllers++;
    path[strcspn(path, "\n")] = '\0';
    v2 = !*controllers;
    if (!v2 && strcmp(controllers, "cpu") && strncmp(controllers, "cpu,", 4) &&
        !strstr(controllers, ",cpu"))
        return CPUS_MAX;
    for (;;) {
        uint32_t n;
        char *slash;

        snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s%s", v2 ? "" : "/cpu", path);
        n = v2 ? quota_v2(dir) : quota_v1(dir);
        if (n < least)
            least = n;
        slash = strrchr(path, '/');
        if (!slash || !path[1])
            return least;
        slash[slash == path] = '\0';
    }
}

static uint32_t quota(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    uint32_t least = CPUS_MAX;
    char line[LINE];

    while (f && fgets(line, sizeof(line), f)) {
        uint32_t n = quota_of(line);

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
    limit = quota();
    return limit < cpus ? limit : cpus;
}
