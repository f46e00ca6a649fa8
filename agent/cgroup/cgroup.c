#include "cgroup/internal.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CGROUP_FILE_MAX (1u << 20)

static int read_text(const char *path, char **ret)
{
    cleanup_buffer struct buffer b = {0};
    int r = file_read(AT_FDCWD, path, CGROUP_FILE_MAX, &b);

    if (r < 0)
        return r;
    *ret = buffer_take_string(&b);
    return *ret ? 0 : -ENOMEM;
}

static bool has_text(const char *path, const char *a, const char *b)
{
    cleanup_free char *text = NULL;

    return read_text(path, &text) == 0 && (strstr(text, a) || strstr(text, b));
}

/* Weights mean something to these schedulers, and to the kernel's cost model where it is on; all else
 * would have a hierarchy, with an attach on v1, for nothing. */
static bool disks_are_weighed(void)
{
    glob_t disks;
    bool yes = has_text("/sys/fs/cgroup/io.cost.qos", "enable=1", "enable=1");

    if (glob("/sys/block/*/queue/scheduler", GLOB_NOSORT, NULL, &disks) == 0)
        for (size_t i = 0; i < disks.gl_pathc && !yes; i++)
            yes = has_text(disks.gl_pathv[i], "[bfq]", "[cfq]");
    globfree(&disks);
    return yes;
}

static void leave_out(struct cgroups *c, enum cgroup_controller what)
{
    for (size_t i = 0; i < c->count;) {
        c->trees[i].controllers &= ~(1u << what);
        if (c->trees[i].controllers)
            i++;
        else
            memmove(&c->trees[i], &c->trees[i + 1], (--c->count - i) * sizeof(c->trees[i]));
    }
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
    if (!disks_are_weighed())
        leave_out(c, CGROUP_IO);
    return 0;
}

void cgroups_done(struct cgroups *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->trees[i].dir >= 0)
            close(c->trees[i].dir);
    cgroup_layout_done(&c->layout);
    c->count = 0;
}

void cgroup_tree_open(const struct cgroups *c, struct cgroup_tree *t)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", t->own, c->name) < (int)sizeof(path))
        t->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cgroup_probe(t);
}

void cgroups_open(struct cgroups *c)
{
    for (size_t i = 0; i < c->count; i++)
        cgroup_tree_open(c, &c->trees[i]);
}

/* ---- making */
static int make(const struct cgroups *c, const char *name, int *ret_fd, struct err *e)
{
    cleanup_fd int fd = -1;

    for (size_t i = 0; i < c->count; i++) {
        const struct cgroup_tree *t = &c->trees[i];

        if (mkdirat(t->dir, name, 0755) < 0)
            return err_errno(e, errno, "cgroup: make %s/%s/%s", t->own, c->name, name);
        if (!t->v2)
            continue;
        fd = openat(t->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_errno(e, errno, "cgroup: open %s/%s/%s", t->own, c->name, name);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int cgroup_create(const struct cgroups *c, const char *name, const struct cgroup_limits *limits,
                  int *ret_fd, struct err *e)
{
    cleanup_fd int fd = -1;
    int r = make(c, name, &fd, e);

    if (r == 0)
        r = cgroup_limit(c, name, NULL, limits, e);
    if (r < 0)
        cgroup_remove(c, name);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int cgroup_open_procs(const struct cgroups *c, const char *name, int fds[CGROUP_TREES_MAX],
                      size_t *ret_n, struct err *e)
{
    char path[CGROUP_SHORT_MAX];
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < c->count && r == 0; i++) {
        const struct cgroup_tree *t = &c->trees[i];
        int fd;

        if (t->v2)
            continue;
        fd = openat(t->dir, cgroup_short(path, name, "cgroup.procs"), O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            fds[n++] = fd;
        else
            r = err_errno(e, errno, "cgroup: open %s/%s/%s", t->own, c->name, path);
    }
    while (r < 0 && n)
        close(fds[--n]);
    *ret_n = n;
    return r;
}

/* ---- all in it */
int cgroup_pids(int at, const char *dir, void (*fn)(pid_t pid, void *arg), void *arg)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;
    char path[PATH_MAX + 16];
    int r, n = 0;

    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    r = file_read(at, path, CGROUP_FILE_MAX, &b);
    if (r < 0)
        return r;
    text = buffer_take_string(&b);
    if (!text)
        return -ENOMEM;
    for (char *p = text, *end; *p; p = *end ? end + 1 : end) {
        long pid = strtol(p, &end, 10);

        if (end == p)
            break;
        /* 0: a process outside this pid namespace, which is none of ours. */
        if (pid > 0)
            fn((pid_t)pid, arg);
        n++;
    }
    return n;
}

int cgroup_each_pid(const struct cgroup_tree *t, const char *id, void (*fn)(pid_t pid, void *arg),
                    void *arg)
{
    return cgroup_pids(t->dir, id, fn, arg);
}

struct victims {
    char where[64]; /* how their lines in /proc/PID/cgroup end */
};

/* Its number may be another's since the list was read: what is killed is what was then looked at. */
static void kill_member(pid_t pid, void *arg)
{
    cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    const struct victims *v = arg;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    if (fd >= 0 && has_text(path, v->where, v->where))
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

void cgroup_kill(const struct cgroups *c, const char *id)
{
    struct victims v;

    for (size_t i = 0; i < c->count; i++)
        if (c->trees[i].v2 && cgroup_poke(&c->trees[i], id, "cgroup.kill", "1") == 0)
            return;
    cgroup_freeze(c, id, false);
    snprintf(v.where, sizeof(v.where), "/%s/%s\n", c->name, id);
    if (c->count)
        cgroup_each_pid(&c->trees[0], id, kill_member, &v);
}

static const char *freezer_file(const struct cgroup_tree *t)
{
    return t->v2 ? "cgroup.freeze" : "freezer.state";
}

int cgroup_may_freeze(const struct cgroups *c, const char *id)
{
    const struct cgroup_tree *t = cgroup_tree_with(c, CGROUP_FREEZER);
    char path[CGROUP_SHORT_MAX];

    if (!t)
        return -EOPNOTSUPP;
    return faccessat(t->dir, cgroup_short(path, id, freezer_file(t)), W_OK, AT_EACCESS) < 0 ? -errno
                                                                                            : 0;
}

/* To read costs a tenth of a write, and waits for nobody. */
static bool is_thawed(const struct cgroup_tree *t, const char *id)
{
    const char *word = t->v2 ? "0\n" : "THAWED\n";
    char path[CGROUP_SHORT_MAX], text[16] = "";
    cleanup_fd int fd = openat(t->dir, cgroup_short(path, id, freezer_file(t)), O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && !strcmp(text, word);
}

int cgroup_freeze(const struct cgroups *c, const char *id, bool frozen)
{
    const struct cgroup_tree *t = cgroup_tree_with(c, CGROUP_FREEZER);

    if (!t)
        return -EOPNOTSUPP;
    if (!frozen && is_thawed(t, id))
        return 0;
    if (t->v2)
        return cgroup_poke(t, id, freezer_file(t), frozen ? "1" : "0");
    return cgroup_poke(t, id, freezer_file(t), frozen ? "FROZEN" : "THAWED");
}

int cgroup_remove(const struct cgroups *c, const char *id)
{
    int r = 0;

    for (size_t i = 0; i < c->count; i++)
        if (unlinkat(c->trees[i].dir, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}
