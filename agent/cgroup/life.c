/* cgroup/life.c - the platform's own directory in each hierarchy: made at the start of a life, and
 * emptied and removed at its end or by the next one. Launcher only. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLEAN_TIME_NS (2 * NS_PER_S)

__attribute__((format(printf, 3, 4))) static void warn(char *to, size_t size, const char *fmt, ...)
{
    size_t n = strlen(to);
    va_list ap;

    if (n)
        n += (size_t)snprintf(to + n, size - n, "; ");
    va_start(ap, fmt);
    if (n < size)
        vsnprintf(to + n, size - n, fmt, ap);
    va_end(ap);
}

static void kill_pid(pid_t pid, void *arg)
{
    (void)arg;
    kill(pid, SIGKILL);
}

static void move_pid(pid_t pid, void *arg)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", pid);
    file_poke(AT_FDCWD, arg, text);
}

/* ---- the start */
static const struct {
    enum cgroup_controller what;
    const char *enable, *disable;
} v2_controls[] = {
    {CGROUP_MEMORY, "+memory", "-memory"},
    {CGROUP_CPU, "+cpu", "-cpu"},
    {CGROUP_PIDS, "+pids", "-pids"},
    {CGROUP_IO, "+io", "-io"},
};

/* Disks are shared by weight where that can be, and nobody is told where it cannot. */
static int delegate(struct cgroup_tree *t, const char *dir)
{
    char path[PATH_MAX + 32];
    int r = 0;

    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
    for (size_t i = 0; i < ARRAY_LEN(v2_controls) && r == 0; i++) {
        if (!(t->controllers & 1u << v2_controls[i].what))
            continue;
        r = file_poke(AT_FDCWD, path, v2_controls[i].enable);
        if (r < 0 && r != -EBUSY && v2_controls[i].what == CGROUP_IO) {
            t->controllers &= ~(1u << CGROUP_IO);
            r = 0;
        }
    }
    return r;
}

static int prepare_v2(struct cgroups *c, struct cgroup_tree *t, const char *dir, const pid_t *pids,
                      size_t n)
{
    char leaf[PATH_MAX], procs[PATH_MAX + 16];
    int r = delegate(t, t->own);

    if (r == -EBUSY) {
        snprintf(leaf, sizeof(leaf), "%s/%s/%s", t->own, c->name, CGROUP_AGENT_LEAF);
        if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
            return -errno;
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", leaf);
        for (size_t i = 0; i < n; i++)
            move_pid(pids[i], procs);
        r = delegate(t, t->own);
    }
    return r < 0 ? r : delegate(t, dir);
}

void cgroups_prepare(struct cgroups *c, const pid_t *pids, size_t n, char *warning, size_t size)
{
    static const enum cgroup_controller limits[] = {CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS};
    unsigned enforced = 0;

    for (size_t i = 0; i < c->count;) {
        struct cgroup_tree *t = &c->trees[i];
        char dir[PATH_MAX];
        int r;

        snprintf(dir, sizeof(dir), "%s/%s", t->own, c->name);
        r = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
        if (r < 0) {
            warn(warning, size, "mkdir %s: %s", dir, strerror(-r));
            memmove(t, t + 1, (--c->count - i) * sizeof(*t));
            continue;
        }
        if (t->v2) {
            r = prepare_v2(c, t, dir, pids, n);
            if (r == -EBUSY)
                warn(warning, size,
                     "cgroup %s holds other processes too, so it cannot pass on its controllers: "
                     "start the agent in a cgroup of its own (systemd-run --scope -p Delegate=yes)",
                     t->own);
            else if (r < 0)
                warn(warning, size, "%s/cgroup.subtree_control: %s", t->own, strerror(-r));
            if (r < 0)
                t->controllers = 1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER;
        }
        cgroup_tree_open(c, t);
        enforced |= t->controllers;
        i++;
    }
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (!(enforced & 1u << limits[i]))
            warn(warning, size, "%s is not limited", cgroup_controller_name(limits[i]));
}

/* ---- the end */
static int remove_instance(const char *dir, uint64_t deadline)
{
    static const char *const writes[][2] = {
        {"cgroup.kill", "1"}, {"freezer.state", "THAWED"}, {"cgroup.freeze", "0"}};

    for (;;) {
        struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        char path[PATH_MAX + 32];

        if (rmdir(dir) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
            snprintf(path, sizeof(path), "%s/%s", dir, writes[i][0]);
            file_poke(AT_FDCWD, path, writes[i][1]);
        }
        cgroup_pids(AT_FDCWD, dir, kill_pid, NULL);
        if (clock_monotonic_ns() > deadline)
            return -EBUSY;
        nanosleep(&pause, NULL);
    }
}

/* Gives the leaf's processes back to the cgroup they came from, which must delegate nothing for
 * that. */
static int remove_leaf(const struct cgroup_tree *t, const char *dir, const char *leaf)
{
    char path[PATH_MAX + 32];

    for (size_t i = 0; i < ARRAY_LEN(v2_controls); i++) {
        snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
        file_poke(AT_FDCWD, path, v2_controls[i].disable);
        snprintf(path, sizeof(path), "%s/cgroup.subtree_control", t->own);
        file_poke(AT_FDCWD, path, v2_controls[i].disable);
    }
    snprintf(path, sizeof(path), "%s/cgroup.procs", t->own);
    cgroup_pids(AT_FDCWD, leaf, move_pid, path);
    return rmdir(leaf) < 0 ? -errno : 0;
}

static int clean_tree(const struct cgroup_tree *t, const char *dir, uint64_t deadline, struct err *e)
{
    char path[PATH_MAX];
    struct dirent *d;
    bool leaf = false;
    DIR *list = opendir(dir);
    int r = 0;

    if (!list)
        return errno == ENOENT ? 0 : err_errno(e, errno, "cgroup: open %s", dir);
    while (r == 0 && (d = readdir(list))) {
        if (d->d_type != DT_DIR || d->d_name[0] == '.')
            continue;
        if (!strcmp(d->d_name, CGROUP_AGENT_LEAF)) {
            leaf = true;
            continue;
        }
        if (snprintf(path, sizeof(path), "%s/%s", dir, d->d_name) >= (int)sizeof(path))
            r = err_set(e, ENAMETOOLONG, "cgroup: %s is too long", path);
        else if ((r = remove_instance(path, deadline)) < 0)
            r = err_errno(e, -r, "cgroup: remove %s", path);
    }
    closedir(list);
    if (r == 0 && leaf && snprintf(path, sizeof(path), "%s/%s", dir, CGROUP_AGENT_LEAF) > 0 &&
        (r = remove_leaf(t, dir, path)) < 0)
        r = err_errno(e, -r, "cgroup: remove %s", path);
    if (r == 0 && rmdir(dir) < 0 && errno != ENOENT)
        r = err_errno(e, errno, "cgroup: remove %s", dir);
    return r;
}

int cgroups_clean(const struct cgroups *c, struct err *e)
{
    uint64_t deadline = clock_monotonic_ns() + CLEAN_TIME_NS;
    int r = 0;

    for (size_t i = 0; i < c->count; i++) {
        char dir[PATH_MAX];
        int one;

        if (snprintf(dir, sizeof(dir), "%s/%s", c->trees[i].own, c->name) >= (int)sizeof(dir))
            continue;
        one = clean_tree(&c->trees[i], dir, deadline, e);
        r = r ? r : one;
    }
    return r;
}
