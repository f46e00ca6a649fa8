/* cgroup/limit.c - from limits to the files that hold them, each written only when it changes.
 *
 * A knob is one file; its text follows from the limits alone, so what a parked
 * sandbox has is known without reading, and a take writes the difference.
 *
 * memory.high lies 1/128 below memory.max. Above it the kernel reclaims on the
 * way back to user space, where no lock of the address space is held, so that
 * a function that reads large files pays there and not inside its faults.
 * It must lie no deeper: what cannot be reclaimed (anonymous memory without
 * swap) above it makes the kernel put the process to sleep, 2 s at a time, by
 * the square of the excess. Kubernetes set it to 0.8 and then 0.9 of the limit
 * and saw containers that neither ran nor were killed (KEP 2570, which stays
 * off for that); here, with a limit of 64 MiB on Linux 6.1, a program that wants
 * more is killed after 0.5 s without memory.high, after 7.8 s with 0.9 and not
 * within 30 s with 0.8. At 1/128 the computed sleep is under 10 ms for a whole
 * batch of 64 pages, which the kernel skips: 0.4 s. No soft limit on v1: it reclaims nothing but page cache
 * here, which global reclaim takes anyway, and the kernel calls it deprecated.
 *
 * Pressure information stays on: a switch of tasks costs the same without
 * (2.18 and 2.16 us), and turning it off would be a write a start. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CPU_PERIOD_US = 100000, /* the kernel's own default, on v1 never written */
    QUOTA_MIN_US = 1000,
    SOCKET_SHARE = 4, /* of the memory limit, for socket buffers where they have their own */
    HIGH_GAP = 128,
    TEXT_MAX = 32,
};

static void put_bytes(char to[TEXT_MAX], uint64_t bytes, const char *none)
{
    if (bytes)
        snprintf(to, TEXT_MAX, "%" PRIu64, bytes);
    else
        snprintf(to, TEXT_MAX, "%s", none);
}

static uint32_t clamp(uint32_t n, uint32_t low, uint32_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* ---- the texts */
static void memory_v2(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    put_bytes(to, l->memory, "max");
}
static void memory_high(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    put_bytes(to, l->memory - l->memory / HIGH_GAP, "max");
}
static void swap_v2(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%s", l->memory ? "0" : "max");
}
static void oom_group(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%d", l->memory ? 1 : 0);
}
static void memory_v1(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    put_bytes(to, l->memory, "-1");
}
static void swappiness(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%d", l->memory ? 0 : 60);
}
/* Socket buffers are no part of the memory limit on v1, and unlimited ones would eat the whole node's
 * tcp_mem and udp_mem. */
static void sockets_v1(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    put_bytes(to, l->memory / SOCKET_SHARE, "-1");
}

static uint32_t quota_us(const struct cgroup_limits *l)
{
    uint64_t us = (uint64_t)l->cpu_millis * CPU_PERIOD_US / 1000;

    return (uint32_t)(us < QUOTA_MIN_US ? QUOTA_MIN_US : us > UINT32_MAX ? UINT32_MAX : us);
}
static void cpu_max(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    if (l->cpu_millis)
        snprintf(to, TEXT_MAX, "%u %d", quota_us(l), CPU_PERIOD_US);
    else
        snprintf(to, TEXT_MAX, "max %d", CPU_PERIOD_US);
}
static void cpu_quota(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    if (l->cpu_millis)
        snprintf(to, TEXT_MAX, "%u", quota_us(l));
    else
        snprintf(to, TEXT_MAX, "-1");
}
/* One cpu is 1024 shares, as everywhere since Docker; without a limit a cgroup counts as one cpu. */
static uint32_t shares(const struct cgroup_limits *l)
{
    uint64_t n = l->cpu_millis ? (uint64_t)l->cpu_millis * 1024 / 1000 : 1024;

    return clamp((uint32_t)(n > 262144 ? 262144 : n), 2, 262144);
}
static void cpu_shares(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%u", shares(l));
}
/* Kubernetes' mapping of 2..262144 to 1..10000. The kernel's default, 100, is left where no limit is. */
static void cpu_weight(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    uint64_t n = l->cpu_millis ? 1 + ((uint64_t)shares(l) - 2) * 9999 / 262142 : 100;

    snprintf(to, TEXT_MAX, "%" PRIu64, n);
}
/* Disks are shared as cpus are: one cpu is the default weight. */
static void io_weight(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "default %u", l->cpu_millis ? clamp(l->cpu_millis / 10, 1, 10000) : 100);
}
static void bfq_weight(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%u", l->cpu_millis ? clamp(l->cpu_millis / 10, 1, 1000) : 100);
}
static void blkio_weight(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    snprintf(to, TEXT_MAX, "%u", l->cpu_millis ? clamp(l->cpu_millis / 2, 10, 1000) : 500);
}
static void pids_max(const struct cgroup_limits *l, char to[TEXT_MAX])
{
    put_bytes(to, l->pids, "max");
}

/* ---- the table */
static const struct knob {
    enum cgroup_controller what;
    bool v2, optional;
    enum {
        EITHER,
        GROWING,
        SHRINKING
    } when; /* of the memory limit; memsw may never be the smaller one */
    const char *file;
    void (*text)(const struct cgroup_limits *l, char to[TEXT_MAX]);
} knobs[] = {
    {CGROUP_MEMORY, true, false, EITHER, "memory.max", memory_v2},
    {CGROUP_MEMORY, true, true, EITHER, "memory.high", memory_high},
    {CGROUP_MEMORY, true, true, EITHER, "memory.swap.max", swap_v2},
    {CGROUP_MEMORY, true, true, EITHER, "memory.oom.group", oom_group},
    {CGROUP_CPU, true, false, EITHER, "cpu.max", cpu_max},
    {CGROUP_CPU, true, true, EITHER, "cpu.weight", cpu_weight},
    {CGROUP_IO, true, true, EITHER, "io.weight", io_weight},
    {CGROUP_IO, true, true, EITHER, "io.bfq.weight", bfq_weight},
    {CGROUP_PIDS, true, false, EITHER, "pids.max", pids_max},

    {CGROUP_MEMORY, false, true, GROWING, "memory.memsw.limit_in_bytes", memory_v1},
    {CGROUP_MEMORY, false, false, EITHER, "memory.limit_in_bytes", memory_v1},
    {CGROUP_MEMORY, false, true, SHRINKING, "memory.memsw.limit_in_bytes", memory_v1},
    {CGROUP_MEMORY, false, true, EITHER, "memory.swappiness", swappiness},
    {CGROUP_MEMORY, false, true, EITHER, "memory.kmem.tcp.limit_in_bytes", sockets_v1},
    {CGROUP_CPU, false, false, EITHER, "cpu.cfs_quota_us", cpu_quota},
    {CGROUP_CPU, false, true, EITHER, "cpu.shares", cpu_shares},
    {CGROUP_IO, false, true, EITHER, "blkio.bfq.weight", bfq_weight},
    {CGROUP_IO, false, true, EITHER, "blkio.weight", blkio_weight},
    {CGROUP_PIDS, false, false, EITHER, "pids.max", pids_max},
};
_Static_assert(ARRAY_LEN(knobs) <= 8 * sizeof(((struct cgroup_tree *)0)->absent), "one bit a knob");

static bool of_tree(const struct knob *k, const struct cgroup_tree *t)
{
    return k->v2 == t->v2 && t->controllers & 1u << k->what;
}

void cgroup_probe(struct cgroup_tree *t)
{
    t->absent = 0;
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
        if (of_tree(&knobs[i], t) && knobs[i].optional &&
            faccessat(t->dir, knobs[i].file, F_OK, 0) < 0)
            t->absent |= 1u << i;
}

static bool in_turn(const struct knob *k, uint64_t from, uint64_t to)
{
    bool grows = !to || (from && to > from);

    return k->when == EITHER || grows == (k->when == GROWING);
}

int cgroup_limit(const struct cgroups *c, const char *name, const struct cgroup_limits *from,
                 const struct cgroup_limits *to, struct err *e)
{
    static const struct cgroup_limits none;

    from = from ? from : &none;
    for (size_t t = 0; t < c->count; t++) {
        const struct cgroup_tree *tree = &c->trees[t];

        for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
            const struct knob *k = &knobs[i];
            char before[TEXT_MAX], after[TEXT_MAX], path[CGROUP_SHORT_MAX];
            int r;

            if (!of_tree(k, tree) || tree->absent & 1u << i || !in_turn(k, from->memory, to->memory))
                continue;
            k->text(from, before);
            k->text(to, after);
            if (!strcmp(before, after))
                continue;
            r = file_poke(tree->dir, cgroup_short(path, name, k->file), after);
            if (r < 0)
                return err_errno(e, -r, "cgroup: write %s to %s/%s/%s", after, tree->own, c->name,
                                 path);
        }
    }
    return 0;
}
