#include "launcher/attach.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROC_FILE_MAX (1u << 20)
#define DEPTH_MAX     64

static char *read_proc(pid_t pid, const char *file)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    return file_read(AT_FDCWD, path, PROC_FILE_MAX, &b) < 0 ? NULL : buffer_take_string(&b);
}

static pid_t parent_of(pid_t pid)
{
    cleanup_free char *text = read_proc(pid, "stat");
    const char *end = text ? strrchr(text, ')') : NULL; /* its name may have some, too */

    return end && end[1] && end[2] && end[3] ? (pid_t)strtol(end + 3, NULL, 10) : 0;
}

bool attach_descends(pid_t pid, pid_t init)
{
    for (int k = 0; k < DEPTH_MAX && pid > 1; k++) {
        pid = parent_of(pid);
        if (pid == init)
            return true;
    }
    return false;
}

bool attach_has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return poll(&p, 1, 0) != 0;
}

/* ---- strangers */
struct visit {
    const struct cgroup_tree *tree;
    pid_t init;
};

/* Its own directory in the hierarchy of that tree. */
static const char *place_of(const struct cgroup_layout *l, const struct cgroup_tree *t)
{
    int k = 0;

    while (!(t->controllers & 1u << k))
        k++;
    return t->v2 ? l->v2 : l->v1[k];
}

/* Who has a number that was used a moment ago was born a moment ago, where its parent is. */
static void send_home(pid_t pid, void *arg)
{
    const struct visit *v = arg;
    cleanup_free char *cgroup = NULL, *mounts = NULL;
    struct cgroup_layout l = {0};
    char path[PATH_MAX], text[16];
    const char *place;

    if (pid == v->init || attach_descends(pid, v->init))
        return;
    cgroup = read_proc(parent_of(pid), "cgroup");
    mounts = read_proc(getpid(), "mountinfo");
    if (!cgroup || !mounts || cgroup_layout_parse(cgroup, mounts, &l) < 0)
        return;
    place = place_of(&l, v->tree);
    if (place && snprintf(path, sizeof(path), "%s/cgroup.procs", place) < (int)sizeof(path)) {
        snprintf(text, sizeof(text), "%d", pid);
        file_poke(AT_FDCWD, path, text);
    }
    cgroup_layout_done(&l);
}

void attach_send_home(const struct cgroup_tree *t, const char *cgroup, pid_t init)
{
    cgroup_each_pid(t, cgroup, send_home, &(struct visit){t, init});
}

/* ---- the attach */
static int attach_to(const struct cgroup_tree *t, const char *cgroup, int pidfd, pid_t pid, pid_t init)
{
    char path[CGROUP_NAME_MAX + 16], text[16];
    int r;

    if (attach_has_ended(pidfd))
        return -ESRCH;
    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    snprintf(text, sizeof(text), "%d", pid);
    r = file_poke(t->dir, path, text);
    if (!attach_has_ended(pidfd))
        return r;
    attach_send_home(t, cgroup, init);
    return -ESRCH;
}

int attach_process(const struct cgroups *c, const char *cgroup, int pidfd, pid_t pid, pid_t init)
{
    int r = 0;

    for (size_t i = 0; i < c->count && r == 0; i++)
        r = attach_to(&c->trees[i], cgroup, pidfd, pid, init);
    return r;
}
