/* cgroup/usage.c - what a sandbox uses, and taking memory back from one that sleeps. Any thread. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number in `file`, or the one behind `key` in a file of many. 0 or -errno. */
static int read_u64(const struct cgroup_tree *t, const char *id, const char *file, const char *key,
                    uint64_t *ret)
{
    char path[CGROUP_SHORT_MAX], text[4096];
    cleanup_fd int fd = openat(t->dir, cgroup_short(path, id, file), O_RDONLY | O_CLOEXEC);
    size_t n = key ? strlen(key) : 0;
    ssize_t got;

    if (fd < 0)
        return -errno;
    got = read(fd, text, sizeof(text) - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    if (!key) {
        *ret = strtoull(text, NULL, 10);
        return 0;
    }
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, n) && line[n] == ' ') {
            *ret = strtoull(line + n + 1, NULL, 10);
            return 0;
        }
    }
    return -ENODATA;
}

static int read_memory(const struct cgroup_tree *t, const char *id, uint64_t *ret)
{
    return read_u64(t, id, t->v2 ? "memory.current" : "memory.usage_in_bytes", NULL, ret);
}

static int read_cpu_ns(const struct cgroup_tree *t, const char *id, uint64_t *ret)
{
    int r = t->v2 ? read_u64(t, id, "cpu.stat", "usage_usec", ret)
                  : read_u64(t, id, "cpuacct.usage", NULL, ret);

    if (r == 0 && t->v2)
        *ret *= NS_PER_US;
    return r;
}

int cgroup_usage(const struct cgroups *c, const char *id, struct cgroup_usage *ret)
{
    const struct cgroup_tree *memory = cgroup_tree_with(c, CGROUP_MEMORY);
    const struct cgroup_tree *cpu = cgroup_tree_with(c, CGROUP_CPUACCT);
    struct cgroup_usage u = {0};
    int r = -ENOENT;

    if (memory)
        r = read_memory(memory, id, &u.memory);
    if (cpu && (!memory || r == 0))
        r = read_cpu_ns(cpu, id, &u.cpu_ns);
    if (r == 0)
        *ret = u;
    return r;
}

void cgroup_total(const struct cgroups *c, const char *id, struct cgroup_total *ret)
{
    const struct cgroup_tree *memory = cgroup_tree_with(c, CGROUP_MEMORY);
    const struct cgroup_tree *cpu = cgroup_tree_with(c, CGROUP_CPUACCT);

    *ret = (struct cgroup_total){0};
    if (memory) {
        read_u64(memory, id, memory->v2 ? "memory.peak" : "memory.max_usage_in_bytes", NULL,
                 &ret->memory_peak);
        read_u64(memory, id, memory->v2 ? "memory.events" : "memory.oom_control", "oom_kill",
                 &ret->oom_kills);
    }
    if (cpu)
        read_cpu_ns(cpu, id, &ret->cpu_ns);
}

/* ---- taking memory back */
/* What is written out stays so when swap is forbidden again: that only stops more from going. */
static int reclaim_v2(const struct cgroup_tree *t, const char *id, uint64_t bytes)
{
    char text[32];
    int r;

    cgroup_poke(t, id, "memory.swap.max", "max");
    snprintf(text, sizeof(text), "%" PRIu64, bytes);
    r = cgroup_poke(t, id, "memory.reclaim", text);
    cgroup_poke(t, id, "memory.swap.max", "0");
    return r == -EAGAIN ? 0 : r == -ENOENT ? -EOPNOTSUPP : r; /* EAGAIN: it found less */
}

/* All of it or nothing: v1 has no amount. */
static int reclaim_v1(const struct cgroup_tree *t, const char *id)
{
    int r;

    cgroup_poke(t, id, "memory.swappiness", "100");
    r = cgroup_poke(t, id, "memory.force_empty", "0");
    cgroup_poke(t, id, "memory.swappiness", "0");
    return r;
}

int cgroup_reclaim(const struct cgroups *c, const char *id, uint64_t bytes, uint64_t *ret_freed)
{
    const struct cgroup_tree *t = cgroup_tree_with(c, CGROUP_MEMORY);
    uint64_t before = 0, after = 0;
    int r = t ? read_memory(t, id, &before) : -EOPNOTSUPP;

    if (r < 0)
        return r;
    r = t->v2 ? reclaim_v2(t, id, bytes) : reclaim_v1(t, id);
    if (r == 0)
        r = read_memory(t, id, &after);
    if (r == 0 && ret_freed)
        *ret_freed = before > after ? before - after : 0;
    return r;
}
