#include "sandbox/cgroup.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CGROUP_FILE_MAX (1u << 20)
#define CPU_PERIOD_US   100000u
#define SOCKET_SHARE    4u /* of the memory limit, for socket buffers where they have their own */

static int read_text(const char *path, char **ret)
{
    cleanup_buffer struct buffer b = {0};
    int r = file_read(AT_FDCWD, path, CGROUP_FILE_MAX, &b);

    if (r < 0)
        return r;
    *ret = buffer_take_string(&b);
    return *ret ? 0 : -ENOMEM;
}

int cgroups_init(struct cgroups *c, const char *name, bool v1_only)
{
    cleanup_free char *cgroup = NULL, *mountinfo = NULL, *controllers = NULL;
    char path[PATH_MAX], suffix[64];
    int r;

    *c = (struct cgroups){0};
    snprintf(c->name, sizeof(c->name), "%s", name);
    r = read_text("/proc/self/cgroup", &cgroup);
    if (r == 0)
        r = read_text("/proc/self/mountinfo", &mountinfo);
    if (r == 0)
        r = cgroup_layout_parse(cgroup, mountinfo, &c->layout);
    if (r < 0)
        return r;
    /* Started from inside an earlier life's leaf: its parent's parent is what we work below. */
    snprintf(suffix, sizeof(suffix), "/%s/%s", name, CGROUP_AGENT_LEAF);
    if (c->layout.v2 && strlen(c->layout.v2) > strlen(suffix)) {
        char *tail = c->layout.v2 + strlen(c->layout.v2) - strlen(suffix);

        if (!strcmp(tail, suffix))
            *tail = '\0';
    }
    if (c->layout.v2) {
        snprintf(path, sizeof(path), "%s/cgroup.controllers", c->layout.v2);
        read_text(path, &controllers);
    }
    c->count = cgroup_trees(&c->layout, controllers ? controllers : "", v1_only, c->trees);
    return 0;
}

void cgroups_done(struct cgroups *c)
{
    cgroup_layout_done(&c->layout);
    c->count = 0;
}

/* ---- paths: OWN/rouse-ID[/INSTANCE[/FILE]] */
static const char *path_of(char to[PATH_MAX], const struct cgroups *c, const struct cgroup_tree *t,
                           const char *id, const char *file)
{
    snprintf(to, PATH_MAX, "%s/%s%s%s%s%s", t->own, c->name, id ? "/" : "", id ? id : "",
             file ? "/" : "", file ? file : "");
    return to;
}

static int poke(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                const char *file, const char *text)
{
    char path[PATH_MAX];

    return file_poke(AT_FDCWD, path_of(path, c, t, id, file), text);
}

static const struct cgroup_tree *tree_v2(const struct cgroups *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->trees[i].v2)
            return &c->trees[i];
    return NULL;
}

static const struct cgroup_tree *tree_with(const struct cgroups *c, enum cgroup_controller what)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->trees[i].controllers & 1u << what)
            return &c->trees[i];
    return NULL;
}

/* ---- limits */
static int poke_limit(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                      const char *file, const char *text, bool optional, struct err *e)
{
    char path[PATH_MAX];
    int r = file_poke(AT_FDCWD, path_of(path, c, t, id, file), text);

    if (r == -ENOENT && optional)
        return 0;
    return r < 0 ? err_errno(e, -r, "cgroup: write %s to %s", text, path) : 0;
}

static int limit_v1(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                    const struct cgroup_limits *l, struct err *e)
{
    char text[32];
    int r = 0;

    if (t->controllers & 1u << CGROUP_MEMORY && l->memory) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)l->memory);
        r = poke_limit(c, t, id, "memory.limit_in_bytes", text, false, e);
        if (r == 0)
            r = poke_limit(c, t, id, "memory.memsw.limit_in_bytes", text, true, e);
        if (r == 0)
            r = poke_limit(c, t, id, "memory.swappiness", "0", true, e);
        /* Socket buffers are no part of it here, and unlimited ones would eat the whole node's
         * tcp_mem and udp_mem. */
        snprintf(text, sizeof(text), "%llu", (unsigned long long)l->memory / SOCKET_SHARE);
        if (r == 0)
            r = poke_limit(c, t, id, "memory.kmem.tcp.limit_in_bytes", text, true, e);
    }
    if (r == 0 && t->controllers & 1u << CGROUP_CPU && l->cpu_millis) {
        uint64_t quota = (uint64_t)l->cpu_millis * CPU_PERIOD_US / 1000;

        snprintf(text, sizeof(text), "%u", CPU_PERIOD_US);
        r = poke_limit(c, t, id, "cpu.cfs_period_us", text, false, e);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)(quota < 1000 ? 1000 : quota));
        if (r == 0)
            r = poke_limit(c, t, id, "cpu.cfs_quota_us", text, false, e);
    }
    if (r == 0 && t->controllers & 1u << CGROUP_PIDS) {
        snprintf(text, sizeof(text), "%u", l->pids);
        r = poke_limit(c, t, id, "pids.max", text, false, e);
    }
    return r;
}

static int limit_v2(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                    const struct cgroup_limits *l, struct err *e)
{
    char text[64];
    int r = 0;

    if (t->controllers & 1u << CGROUP_MEMORY && l->memory) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)l->memory);
        r = poke_limit(c, t, id, "memory.max", text, false, e);
        if (r == 0)
            r = poke_limit(c, t, id, "memory.swap.max", "0", true, e);
        if (r == 0)
            r = poke_limit(c, t, id, "memory.oom.group", "1", true, e);
    }
    if (r == 0 && t->controllers & 1u << CGROUP_CPU && l->cpu_millis) {
        uint64_t quota = (uint64_t)l->cpu_millis * CPU_PERIOD_US / 1000;

        snprintf(text, sizeof(text), "%llu %u", (unsigned long long)(quota < 1000 ? 1000 : quota),
                 CPU_PERIOD_US);
        r = poke_limit(c, t, id, "cpu.max", text, false, e);
    }
    if (r == 0 && t->controllers & 1u << CGROUP_PIDS) {
        snprintf(text, sizeof(text), "%u", l->pids);
        r = poke_limit(c, t, id, "pids.max", text, false, e);
    }
    return r;
}

int cgroup_create_spare(const struct cgroups *c, const char *name)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < c->count; i++)
        if (!c->trees[i].v2 && mkdir(path_of(path, c, &c->trees[i], name, NULL), 0755) < 0)
            return -errno;
    return 0;
}

static int make_or_rename(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                          const char *spare, struct err *e)
{
    char path[PATH_MAX], old[PATH_MAX];

    path_of(path, c, t, id, NULL);
    if (!spare || t->v2)
        return mkdir(path, 0755) < 0 ? err_errno(e, errno, "cgroup: mkdir %s", path) : 0;
    if (rename(path_of(old, c, t, spare, NULL), path) < 0)
        return err_errno(e, errno, "cgroup: rename %s to %s", old, id);
    return 0;
}

int cgroup_create(const struct cgroups *c, const char *id, const char *spare,
                  const struct cgroup_limits *limits, int *ret_fd, struct err *e)
{
    cleanup_fd int fd = -1;
    char path[PATH_MAX];
    int r = 0;

    for (size_t i = 0; i < c->count && r == 0; i++) {
        const struct cgroup_tree *t = &c->trees[i];

        r = make_or_rename(c, t, id, spare, e);
        if (r == 0)
            r = t->v2 ? limit_v2(c, t, id, limits, e) : limit_v1(c, t, id, limits, e);
        if (r == 0 && t->v2) {
            fd = open(path_of(path, c, t, id, NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd < 0)
                r = err_errno(e, errno, "cgroup: open %s", path);
        }
    }
    if (r < 0) {
        /* With a spare inside the caller removes both names once it has ended that. */
        cgroup_remove(c, id);
        return r;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int cgroup_attach(const struct cgroups *c, const char *id, pid_t pid, struct err *e)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", pid);
    for (size_t i = 0; i < c->count; i++) {
        int r = c->trees[i].v2 ? 0 : poke_limit(c, &c->trees[i], id, "cgroup.procs", text, false, e);

        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_kill(const struct cgroups *c, const char *id)
{
    const struct cgroup_tree *t = tree_v2(c);

    if (t && poke(c, t, id, "cgroup.kill", "1") == 0)
        return 0;
    cgroup_freeze(c, id, false);
    return -EOPNOTSUPP;
}

int cgroup_freeze(const struct cgroups *c, const char *id, bool frozen)
{
    const struct cgroup_tree *t = tree_with(c, CGROUP_FREEZER);

    if (!t)
        return -EOPNOTSUPP;
    if (t->v2)
        return poke(c, t, id, "cgroup.freeze", frozen ? "1" : "0");
    return poke(c, t, id, "freezer.state", frozen ? "FROZEN" : "THAWED");
}

/* ---- reading */
static uint64_t read_u64(const struct cgroups *c, const struct cgroup_tree *t, const char *id,
                         const char *file, const char *key)
{
    cleanup_free char *text = NULL;
    char path[PATH_MAX];
    size_t n = key ? strlen(key) : 0;

    if (!t || read_text(path_of(path, c, t, id, file), &text) < 0)
        return 0;
    if (!key)
        return strtoull(text, NULL, 10);
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, n) && line[n] == ' ')
            return strtoull(line + n + 1, NULL, 10);
    }
    return 0;
}

int cgroup_usage(const struct cgroups *c, const char *id, struct cgroup_usage *ret)
{
    const struct cgroup_tree *memory = tree_with(c, CGROUP_MEMORY);
    const struct cgroup_tree *cpu = tree_with(c, CGROUP_CPUACCT);
    char path[PATH_MAX];
    size_t i = 0;

    while (i < c->count && access(path_of(path, c, &c->trees[i], id, NULL), F_OK) < 0)
        i++;
    if (i == c->count)
        return -ENOENT;
    *ret = (struct cgroup_usage){0};
    if (memory && memory->v2) {
        ret->memory = read_u64(c, memory, id, "memory.current", NULL);
        ret->memory_peak = read_u64(c, memory, id, "memory.peak", NULL);
        ret->oom_kills = read_u64(c, memory, id, "memory.events", "oom_kill");
    } else if (memory) {
        ret->memory = read_u64(c, memory, id, "memory.usage_in_bytes", NULL);
        ret->memory_peak = read_u64(c, memory, id, "memory.max_usage_in_bytes", NULL);
        ret->oom_kills = read_u64(c, memory, id, "memory.oom_control", "oom_kill");
    }
    if (cpu && cpu->v2)
        ret->cpu_ns = read_u64(c, cpu, id, "cpu.stat", "usage_usec") * NS_PER_US;
    else if (cpu)
        ret->cpu_ns = read_u64(c, cpu, id, "cpuacct.usage", NULL);
    return 0;
}

int cgroup_remove(const struct cgroups *c, const char *id)
{
    char path[PATH_MAX];
    int r = 0;

    for (size_t i = 0; i < c->count; i++)
        if (rmdir(path_of(path, c, &c->trees[i], id, NULL)) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}
